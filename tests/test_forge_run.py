"""Runs of the forge: to the end, again, killed and resumed, sabotaged; the same to the last byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command import Done
from command import run as command

from espike.forge.context import SABOTAGES
from espike.forge.contracts import PHASES
from espike.forge.registry import Registry

TINY = """
[run]
suite = "digits"
name = "tiny"
seed = 3
verify = ["native"]

[adopt]
candidates = ["reasoning", "adaptive"]
hidden = [16, 12]
epochs = 8

[evolve]
population = 4
generations = 1

[settle]
bursts_most = 1
margin_most = 3

[train]
examples = 500
validation = 200
test = 200
epochs_per_level = 5
advance_at = 0.5

[tune]
cycles_most = 2

[fit]
prune = 0.2
search = { population = 4, generations = 1 }

[pack]
rungs = ["lossless", "w4"]
retries = 0

[gates]
calibration_error_most = 0.5
"""
LEVELS = """
[run]
suite = "split-digits"
name = "levels"
seed = 1
verify = []

[adopt]
candidates = ["reasoning"]
hidden = [32]
epochs = 1

[evolve]
population = 2
generations = 0

[settle]
bursts_most = 0
margin_most = 0

[train]
epochs_per_level = 6
advance_at = 0.6
max_retries = 0

[gates]
calibration_error_most = 0.5
"""
CAUGHT = {
    "corrupt-image": "image is whole",
    "poison-update": "an update is no step back",
    "inflate-weights": "accuracy is kept",
    "small-board": "fits esp32c3",
    "stuck-output": "quiet_when_idle",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("forge")
    (made / "tiny.toml").write_text(TINY)
    (made / "levels.toml").write_text(LEVELS)
    return made


def forge(folder: Path, *arguments: str, home: str = "home", config: str | None = "tiny.toml") -> Done:
    given = () if config is None else (config,)
    return command("forge", "run", *given, "--home", home, "--json", *arguments, cwd=folder)


def told(done: Done) -> Any:
    """The JSON of a run, also of one that failed."""
    return json.loads(done.out.splitlines()[-1])


@pytest.fixture(scope="module")
def first(folder: Path) -> Done:
    """A run that nothing was kept for."""
    return forge(folder)


def test_a_run_ends_in_a_verified_image(first: Done, folder: Path) -> None:
    assert first.code == 0, first.err
    found = first.json
    assert found["success"]
    assert [phase["phase"] for phase in found["phases"]] == list(PHASES)
    assert all(gate["passed"] for phase in found["phases"] for gate in phase["gates"])
    with Registry.open(folder / "home") as registry:
        (active,) = registry.promoted()
        assert active.image == found["image"]
        assert registry.metrics(found["run"], prefix="deploy/native/bit_exact")[0][1].value is True


def test_the_same_configuration_gives_the_same_hash(first: Done, folder: Path) -> None:
    again = forge(folder)
    assert again.json["image"] == first.json["image"]
    with Registry.open(folder / "home") as registry:
        lines = [line.text for line in registry.logs(again.json["run"]) if "steps computed" in line.text]
    assert len(lines) == len(PHASES)
    assert all(" 0 steps computed" in line for line in lines)


def test_a_whole_run_needs_no_network(first: Done, folder: Path) -> None:
    """In a network namespace of its own, without even a loopback, on one core; from nothing to the same hash."""
    alone = ["unshare", "-rn"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no network namespaces")
    line = [*alone, sys.executable, "-m", "espike", "forge", "run", "tiny.toml", "--home", "other", "--json"]
    one = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, env=one)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["image"] == first.json["image"]


def test_killed_in_every_phase_and_resumed(first: Done, folder: Path) -> None:
    """kill -9 as soon as a phase has begun, one phase after the other, in one run."""
    home = folder / "killed"
    run = ""
    for phase in PHASES:
        arguments = ["tiny.toml"] if not run else ["--resume", run]
        process = subprocess.Popen(
            [sys.executable, "-m", "espike", "forge", "run", *arguments, "--home", "killed"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        run = _wait_for(home, phase, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = forge(folder, "--resume", run, home="killed", config=None)
    assert done.code == 0, done.err
    assert done.json["image"] == first.json["image"]


def _wait_for(home: Path, phase: str, process: subprocess.Popen[bytes]) -> str:
    """Until a run has begun a phase, or is over -> its id."""
    for _ in range(6000):
        time.sleep(0.02)
        if not (home / "registry.db").exists():
            continue
        with Registry.open(home) as registry:
            runs = registry.runs()
            if runs and (process.poll() is not None or phase in [p.phase for p in registry.phases(runs[0].run)]):
                return runs[0].run
    raise AssertionError(f"phase {phase} never began")


@pytest.mark.parametrize("kind", CAUGHT)
def test_sabotage_is_caught_by_its_gate(kind: str, first: Done, folder: Path) -> None:
    assert first.code == 0
    done = forge(folder, "--sabotage", kind)
    assert done.code == 1
    found = told(done)
    missed = [gate["gate"] for phase in found["phases"] for gate in phase["gates"] if not gate["passed"]]
    assert CAUGHT[kind] in missed
    assert CAUGHT[kind] in found["reason"]
    with Registry.open(folder / "home") as registry:
        assert {model.image for model in registry.promoted()} == {first.json["image"]}


def test_every_sabotage_is_tested() -> None:
    assert {*CAUGHT, "no-replay"} == set(SABOTAGES)


TRAINING = [word for phase in PHASES[:5] for word in ("--phase", phase)]


def test_replay_keeps_old_levels_and_without_it_they_are_forgotten(folder: Path) -> None:
    kept = forge(folder, *TRAINING, home="levels", config="levels.toml")
    assert kept.code == 0, kept.err
    lost = forge(folder, *TRAINING, "--sabotage", "no-replay", home="levels", config="levels.toml")
    assert lost.code == 1
    assert "old levels are kept" in told(lost)["reason"]
    with Registry.open(folder / "levels") as registry:
        values = [registry.metrics(told(done)["run"], prefix="train/forgetting")[0][1].value for done in (kept, lost)]
    assert values[0] <= 0.05 < values[1]  # type: ignore[operator]


def test_one_phase_alone(first: Done, folder: Path) -> None:
    run = first.json["run"]
    again = forge(folder, "--resume", run, "--phase", "quant")
    assert again.code == 0
    assert [phase["phase"] for phase in again.json["phases"]] == ["quant"]
    nothing = forge(folder, "--phase", "pack", home="empty")
    assert nothing.code == 2
    assert "--resume" in nothing.err


def test_a_model_without_its_master_is_refused(first: Done, folder: Path) -> None:
    """The trainer takes floats: a hand-off whose master is gone names the rule."""
    with Registry.open(folder / "home") as registry:
        model = registry.models(session=first.json["run"], phase="quant")[0]
        assert model.master is not None
        path = next((folder / "home" / "objects").rglob(model.master))
        path.chmod(0o644)
        whole = path.read_bytes()
        path.unlink()
    try:
        done = forge(folder, "--resume", first.json["run"], "--phase", "train")
        assert done.code == 1
        assert "required_objects" in told(done)["reason"]
    finally:
        path.write_bytes(whole)


def test_wrong_usage(folder: Path) -> None:
    assert command("forge", "run", "--home", "x", cwd=folder).code == 2
    assert forge(folder, "--phase", "nonsense").code == 2
    wrong = forge(folder, "--sabotage", "nonsense", home="x")
    assert wrong.code == 2
    assert "corrupt-image" in wrong.err
    (folder / "bad.toml").write_text('[run]\nsuite = "digits"\nsed = 3\n')
    bad = forge(folder, config="bad.toml")
    assert bad.code == 2
    assert "bad.toml:3" in bad.err
    (folder / "lost.toml").write_text('[run]\nsuite = "nowhere"\n')
    lost = forge(folder, config="lost.toml", home="x")
    assert lost.code == 2
    assert "nowhere" in lost.err
    assert "Traceback" not in lost.err


GRADED = """
[run]
suite = "graded"
name = "graded"
seed = {seed}
levels = [3, 4, 5, 6]
verify = []

[adopt]
candidates = ["memory", "reasoning"]
hidden = [48]
epochs = 10

[evolve]
population = 6
generations = 4

[train]
examples = 300
validation = 200
test = 200
rate = 0.005
"""


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 6))
def test_merging_betters_the_first_generation_on_some_level(seed: int, tmp_path: Path) -> None:
    (tmp_path / "graded.toml").write_text(GRADED.format(seed=seed))
    done = forge(tmp_path, "--phase", "adopt", "--phase", "evolve", config="graded.toml")
    with Registry.open(tmp_path / "home") as registry:
        found = {m.name: m.value for _, m in registry.metrics(done.json["run"], "evolve")}
    gains = [found[f"evolve/level/{level}/gain"] for level in (3, 4, 5, 6)]
    assert max(gains) > 0  # type: ignore[type-var]
    assert found["evolve/fitness_improvement"] > 0  # type: ignore[operator]
