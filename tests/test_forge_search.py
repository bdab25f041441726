"""The search of the forge: the same front on one process, several, and a Dask cluster; better than chance."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import run as command

from espike.forge.registry import Registry
from espike.forge.search import drawn, first, front, volume

distributed = pytest.importorskip("distributed")
pytest.importorskip("pymoo")

CONFIG = """
[run]
suite = "digits"
name = "searched"
seed = 5
verify = []

[adopt]
candidates = ["adaptive"]
hidden = [16]
epochs = 8

[evolve]
population = 2
generations = 0

[settle]
bursts_most = 0
margin_most = 0

[train]
examples = 300
validation = 150
test = 150
epochs_per_level = 2
advance_at = 0.3

[tune]
cycles_most = 0

[gates]
consistency = 0.5
retention = 0.8
calibration_error_most = 0.5

[fit]
prune = 0.3

[fit.search]
population = 4
generations = 2
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run that has all phases up to tune, and its id."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "one.toml").write_text(CONFIG)
    phases = [word for phase in ("adopt", "evolve", "settle", "quant", "train", "tune") for word in ("--phase", phase)]
    done = command("forge", "run", "one.toml", "--home", "before", "--json", *phases, cwd=folder)
    return folder, done.json["run"]


Front = tuple[str | None, list[tuple[str, object]]]


def searched(before: tuple[Path, str], home: str, more: str, config: str = CONFIG) -> Front:
    """The image that fit chose, and all that was measured of the search."""
    folder, run = before
    if not (folder / home).exists():
        shutil.copytree(folder / "before", folder / home)
    (folder / f"{home}.toml").write_text(config + more)
    done = command("forge", "run", f"{home}.toml", "--home", home, "--resume", run, "--phase", "fit", cwd=folder)
    assert done.code == 0, done.err
    with Registry.open(folder / home) as registry:
        found = [(m.name, m.value) for _, m in registry.metrics(run, "fit", "fit/search")]
        models = registry.models(session=run, phase="fit")
    return models[-1].image, found


@pytest.fixture(scope="module")
def alone(before: tuple[Path, str]) -> Front:
    return searched(before, "alone", "workers = 1\n")


def test_several_processes_find_the_same_front(before: tuple[Path, str], alone: Front) -> None:
    assert searched(before, "several", "workers = 2\n") == alone


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler and a worker, processes of their own, over TCP on this machine."""
    address = f"tcp://127.0.0.1:{_free_port()}"
    port = address.rsplit(":", 1)[1]
    line = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    processes = [subprocess.Popen([*line, "--no-dashboard"], cwd=tmp_path, stderr=subprocess.DEVNULL)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "1", "--nthreads", "1"]
    worker += ["--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(tmp_path)]
    processes.append(subprocess.Popen(worker, cwd=tmp_path, stderr=subprocess.DEVNULL))
    yield address
    for process in reversed(processes):
        process.terminate()
        process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_cluster_of_processes_finds_the_same_front(before: tuple[Path, str], alone: Front, scheduler: str) -> None:
    time.sleep(1)
    assert searched(before, "cluster", f'scheduler = "{scheduler}"\n') == alone


def test_a_local_cluster_finds_the_same_front(before: tuple[Path, str], alone: Front) -> None:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        assert searched(before, "local", f'scheduler = "{cluster.scheduler_address}"\n') == alone


def test_a_scheduler_that_is_not_there_is_one_line(before: tuple[Path, str]) -> None:
    folder, run = before
    shutil.copytree(folder / "before", folder / "nobody")
    (folder / "nobody.toml").write_text(CONFIG + f'scheduler = "tcp://127.0.0.1:{_free_port()}"\n')
    done = command("forge", "run", "nobody.toml", "--home", "nobody", "--resume", run, "--phase", "fit", cwd=folder)
    assert done.code == 1
    assert "cannot reach the scheduler" in done.err
    assert "Traceback" not in done.err


def test_hypervolume_grows_and_is_reported_beside_chance(alone: Front) -> None:
    found = dict(alone[1])
    curve = [found[f"fit/search/generation/{i}/hypervolume"] for i in range(3)]
    assert curve == sorted(curve)  # type: ignore[type-var]
    assert curve[-1] == pytest.approx(found["fit/search/hypervolume"])
    assert 0 < found["fit/search/random_hypervolume"] < 1  # type: ignore[operator]
    points = sorted(
        (found[f"fit/search/front/{i}/bytes"], found[f"fit/search/front/{i}/error"])
        for i in range(20)
        if f"fit/search/front/{i}/bytes" in found
    )
    assert len(points) >= 2
    assert [error for _, error in points] == sorted((error for _, error in points), reverse=True)


def test_a_space_of_few_networks_is_searched_whole(before: tuple[Path, str]) -> None:
    """Of one width and no pruning there is a network for each of four numbers of bursts."""
    config = CONFIG.replace("prune = 0.3", "prune = 0.0\nbits = [8]")
    found = dict(searched(before, "few", "workers = 1\n", config)[1])
    assert found["fit/search/evaluations"] == 4
    assert found["fit/search/hypervolume"] == found["fit/search/random_hypervolume"]


def test_what_the_gate_would_refuse_is_not_chosen(before: tuple[Path, str]) -> None:
    """Nearly any loss is allowed to the search and none to its phase, which passes all the same."""
    config = CONFIG.replace("prune = 0.3", "prune = 0.9\nbits = [8, 2]\nscore_loss_most = 0.9")
    found = dict(searched(before, "strict", "workers = 1\n", config.replace("retention = 0.8", "retention = 1.0"))[1])
    smallest = found["fit/search/front/0/error"]
    assert smallest > 0.3, "there was something to refuse"  # type: ignore[operator]


def test_a_first_generation_spans_the_front() -> None:
    found = [tuple(genes) for genes in first([3, 3, 9, 4], 8, 1).tolist()]
    assert found[:4] == [(2, 2, 8, 0), (0, 0, 0, 0), (1, 1, 8, 0), (1, 1, 0, 0)]
    assert len(set(found)) == 8
    assert first([3, 3, 9, 4], 8, 1).tolist() == list(map(list, found))
    assert first([3, 3, 9, 4], 8, 2).tolist() != list(map(list, found))
    assert first([1, 1, 1], 6, 1).tolist() == [[0, 0, 0]]


def test_chance_draws_nothing_twice() -> None:
    found = drawn([3, 2, 1], 6, np.random.default_rng(1))
    assert sorted(found) == [(a, b, 0) for a in range(3) for b in range(2)]
    assert len(drawn([3, 2, 1], 99, np.random.default_rng(1), [(1, 1, 0)])) == 5


def test_front_and_volume() -> None:
    from espike.forge.search import Individual

    def one(error: float, size: int, feasible: bool = True) -> Individual:
        return Individual((size,), "", "", error, size, feasible)

    some = [one(0.1, 100), one(0.2, 50), one(0.3, 60), one(0.05, 90, feasible=False), one(0.1, 120)]
    assert [i.bytes for i in front(some)] == [50, 100]
    assert volume(some, 200) == pytest.approx(0.8 * 0.75 + 0.1 * 0.5)
    assert volume(some[3:4], 200) == 0
    assert np.isfinite(volume([], 1))
