"""Registry: objects, steps, models, cleaning, zips; processes that write at once, and processes that are killed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from espike.forge import contracts, registry
from espike.forge.contracts import Model, PhaseResult, Provenance
from espike.forge.registry import Metric, Registry
from espike_sim.errors import EspikeError

CONFIG = '[run]\nsuite = "digits"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "forge"


def begin(r: Registry, name: str = "digits") -> str:
    run = r.run_begin(name, CONFIG, 7, "0.1.0")
    r.phase_begin(run, "train")
    return run


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def key(n: int) -> str:
    return sha(b"step %d" % n)


def step(r: Registry, run: str, n: int) -> str:
    """A step with one object and two metrics -> the object's hash."""
    made = r.put(b"object %d" % n)
    metrics = [
        Metric(f"train/level/{n}/accuracy", n / 1000, "accuracy", (made,), {"items": 10}, n),
        Metric(f"train/level/{n}/passed", n % 2 == 1, "passed", (made,)),
    ]
    r.keep_step(key(n), run, "train", f"level {n}", {"level": n}, {"master": made}, {"n": n}, metrics, 0.5)
    return made


def model(r: Registry, run: str, text: str = "a", **changes: Any) -> Model:
    """A model whose master and image are texts."""
    master, image = r.put(f"master {text}".encode()), r.put(f"image {text}".encode())
    facts: dict[str, Any] = {
        "phase": "train", "name": "digits", "created_at": datetime(2026, 3, 1, tzinfo=UTC), "parameters": 10,
        "bytes": 7, "bytes_per_synapse": 1.5, "neurons": 4, "synapses": 5, "master": master, "image": image,
        "session": run, "provenance": Provenance("0.1.0", 7), "board": "esp32c3", "tags": ("a", "b"),
        "metrics": {"train/accuracy": 0.5, "train/grok/detected": True},
    }  # fmt: skip
    facts |= changes
    return Model(id=contracts.model_id(facts["phase"], facts["name"], facts["created_at"], facts["master"]), **facts)


# objects


def test_objects_are_named_by_content(home: Path) -> None:
    with Registry.open(home) as r:
        (home / "a.bin").write_bytes(b"hello")
        assert r.put(b"hello") == r.put(home / "a.bin") == sha(b"hello")
        assert r.get(sha(b"hello")) == b"hello"
        assert (home / "objects" / sha(b"hello")[:2] / sha(b"hello")).is_file()
        assert r.put(b"") == sha(b"")
        assert {path.name for path in r.objects.files()} == {sha(b"hello"), sha(b"")}


def test_absent_and_damaged_objects_are_refused_and_mended(home: Path) -> None:
    with Registry.open(home) as r:
        made = r.put(b"hello")
        path = r.objects.path(made)
        for damage in (b"", b"hellp", b"hell", b"hello!"):
            path.write_bytes(damage)
            with pytest.raises(EspikeError, match="damaged"):
                r.get(made)
        r.put(b"hello")
        assert r.get(made) == b"hello"
        with pytest.raises(EspikeError, match="no object"):
            r.get(sha(b"other"))
        for bad in ("", "../../etc/passwd", made.upper(), made + "\n", made[:-1]):
            assert not r.has(bad)
            with pytest.raises(EspikeError, match="no SHA-256"):
                r.get(bad)
        with pytest.raises(EspikeError, match="cannot be kept"):
            r.put(home / "none")


def test_the_home_is_where_boards_keep_theirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESPIKE_HOME", str(tmp_path))
    assert registry.home() == tmp_path / "forge"
    assert registry.home("x") == Path("x")


# the file


def test_a_newer_registry_is_refused(home: Path) -> None:
    Registry.open(home).close()
    with sqlite3.connect(home / "registry.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(EspikeError, match=r"newer espike \(version 2, this one knows 1\); update espike"):
        Registry.open(home)


def test_foreign_and_damaged_files_are_refused(home: Path) -> None:
    home.mkdir()
    with sqlite3.connect(home / "registry.db") as db:
        db.execute("CREATE TABLE other (a)")
    db.close()
    with pytest.raises(EspikeError, match="no registry"):
        Registry.open(home)
    (home / "registry.db").write_bytes(b"no database at all " * 99)
    with pytest.raises(EspikeError, match="cannot be used"):
        Registry.open(home)
    (home / "file").write_text("")
    with pytest.raises(EspikeError, match="cannot be used"):
        Registry.open(home / "file")


# steps and metrics


def test_a_step_is_found_with_its_metrics_by_every_run(home: Path) -> None:
    with Registry.open(home) as r:
        first = begin(r)
        assert r.find_step(key(3), first, "train") is None
        made = step(r, first, 3)
        second = begin(r)
        assert r.metrics(second) == []
        found = r.find_step(key(3), second, "train")
        assert found is not None
        assert (found.outputs, found.results, found.inputs) == ({"master": made}, {"n": 3}, {"level": 3})
        expected = [
            ("train", Metric("train/level/3/accuracy", 0.003, "accuracy", (made,), {"items": 10}, 3)),
            ("train", Metric("train/level/3/passed", True, "passed", (made,))),
        ]
        assert r.metrics(first) == r.metrics(second) == expected
        assert r.metrics(first, "tune") == r.metrics(first, prefix="tune/") == []
        assert [s.key for s in r.steps(second)] == [key(3)]


def test_a_step_whose_object_is_gone_or_damaged_is_done_again(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        path = r.objects.path(step(r, run, 1))
        for harm in (path.unlink, lambda: path.write_bytes(b"damaged")):
            harm()
            assert r.find_step(key(1)) is None
            step(r, run, 1)
            assert r.find_step(key(1)) is not None


def test_a_step_and_its_metrics_are_kept_together_or_not_at_all(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        good, made = Metric("train/accuracy", 0.5, "accuracy"), r.put(b"x")
        bad: list[tuple[Metric, str]] = [
            (Metric("train/acuracy", 0.5, "accuracy"), "not in the catalogue"),
            (Metric("train/accuracy", "much", "accuracy"), "expected float"),
            (Metric("train/accuracy", float("nan"), "accuracy"), "no measurement"),
            (Metric("train/accuracy", 0.5, ""), "what function"),
            (Metric("train/accuracy", 0.5, "f", (sha(b"y"),)), "is not there"),
            (Metric("train/accuracy", 0.5, "f", (), {"a": float("inf")}), "no JSON value"),
        ]
        for metric, said in bad:
            with pytest.raises(EspikeError, match=said):
                r.keep_step(key(1), run, "train", "a", {}, {"x": made}, {}, [good, metric])
            with pytest.raises(EspikeError, match=said):
                r.metric(run, "train", good, metric)
        with pytest.raises(EspikeError, match="output y of step a"):
            r.keep_step(key(1), run, "train", "a", {}, {"y": sha(b"y")})
        with pytest.raises(EspikeError, match="cannot be used"):
            r.keep_step(key(1), "no run", "train", "a", {}, {"x": made})
        assert r.find_step(key(1)) is None
        assert r.metrics(run) == []


def test_a_step_that_differs_is_told(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        step(r, run, 1)
        step(r, run, 1)
        assert len(r.metrics(run)) == 2
        with pytest.raises(EspikeError, match="other outputs"):
            r.keep_step(key(1), run, "train", "level 1", {"level": 1}, {"master": r.put(b"other")}, {"n": 1})


def test_a_metric_logged_again_is_replaced(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        for value in (0.25, 0.5):
            r.metric(run, "train", Metric("train/accuracy", value, "accuracy"))
        r.metric(run, "", Metric("system/run/seconds", 2.5, "monotonic"))
        assert [(p, m.name, m.value) for p, m in r.metrics(run)] == [
            ("", "system/run/seconds", 2.5), ("train", "train/accuracy", 0.5),
        ]  # fmt: skip


# runs, models, logs


def test_runs_and_phases_are_told(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        assert [(p.phase, p.status, p.result) for p in r.phases(run)] == [("train", "running", None)]
        made, report = model(r, run), r.put(b"report")
        result = PhaseResult(True, "train", (made.id,), {"train/accuracy": 0.5}, {"report": report}, 3.5)
        r.phase_end(run, result, [made])
        assert r.phases(run)[0].result == result
        assert r.artefacts(run) == {("train", "report"): report}
        assert r.models(run) == [made]
        r.run_end(run, True, seconds=2.0)
        assert r.run_begin("digits", CONFIG, 7, "0.1.0", run) == run
        r.run_end(run, False, "gate", 1.0)
        found = r.find_run(run[:8])
        assert (found.status, found.reason, found.seconds, found.config) == ("failed", "gate", 3.0, CONFIG)
        assert r.find_run().run == run
        with pytest.raises(EspikeError, match="0 runs"):
            r.find_run("zz")
        with pytest.raises(EspikeError, match="no run zz"):
            r.run_begin("digits", CONFIG, 7, "0.1.0", "zz")


def test_a_phase_that_is_wrong_leaves_nothing(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        made = model(r, run)
        wrong = [
            PhaseResult(True, "tune", (), {}, {}, 1.0),
            PhaseResult(True, "train", (), {"train/acuracy": 1}, {}, 1.0),
            PhaseResult(True, "train", (), {}, {"report": sha(b"no")}, 1.0),
        ]
        for result in wrong:
            with pytest.raises(EspikeError):
                r.phase_end(run, result, [made])
        assert r.models() == []
        assert r.phases(run)[0].status == "running"


def test_models_are_kept_once_with_their_parents(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        first = r.keep_model(model(r, run))
        later = model(r, run, created_at=datetime(2026, 3, 2, tzinfo=UTC))
        assert r.keep_model(later) == first
        child = model(r, run, "b", phase="tune", provenance=Provenance("0.1.0", 7, "", (first.id,)), tags=())
        grandchild = model(r, run, "c", phase="fit", provenance=Provenance("0.1.0", 7, "", (child.id,)))
        assert [r.keep_model(m) for m in (child, grandchild)] == [child, grandchild]
        assert r.model(child.id) == child
        assert set(r.lineage(grandchild.id)) == {(grandchild.id, child.id), (child.id, first.id)}
        assert r.models(phase="tune") == [child]
        assert r.models(tag="a") == [grandchild, first]
        with pytest.raises(EspikeError, match="no model"):
            r.model("x")
        with pytest.raises(EspikeError, match="of another session or image"):
            r.keep_model(model(r, begin(r)))
        with pytest.raises(EspikeError, match="is not there"):
            r.keep_model(model(r, run, "d", master=sha(b"none")))
        with pytest.raises(EspikeError, match="not in the catalogue"):
            r.keep_model(model(r, run, "d", metrics={"train/acuracy": 1}))


def test_promoted_is_one_and_whole(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        one, two = r.keep_model(model(r, run)), r.keep_model(model(r, run, "b", phase="pack"))
        other = r.keep_model(model(r, run, "c", board="esp32s3"))
        for each in (other, one, two):
            r.promote(each.id)
        assert r.promoted() == sorted([two, other], key=lambda m: m.id)
        r.objects.path(one.image or "").write_bytes(b"damaged")
        with pytest.raises(EspikeError, match="damaged"):
            r.promote(one.id)
        assert two in r.promoted()


def test_logs_are_read_from_a_number_on(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        for text in ("one", "two", "three"):
            r.log(run, "train" if text != "two" else "tune", text)
        lines = r.logs(run)
        assert [line.text for line in lines] == ["one", "two", "three"]
        assert [line.text for line in r.logs(after=lines[0].number, phase="train")] == ["three"]


# cleaning


def test_clean_keeps_what_is_needed(home: Path) -> None:
    with Registry.open(home) as r:
        runs = [begin(r) for _ in range(4)]
        made = [step(r, run, n) for n, run in enumerate(runs)]
        r.find_step(key(1), runs[3], "train")  # the newest stands on a step of an old one
        parent = r.keep_model(model(r, runs[1], "parent"))
        active = r.keep_model(model(r, runs[0], "active", provenance=Provenance("0.1.0", 7, "", (parent.id,))))
        loser = r.keep_model(model(r, runs[2], "loser"))
        r.promote(active.id)
        loose = r.put(b"loose")
        for run in runs:
            r.run_end(run, True)
        expected = r.clean(1, age_s=0)
        assert (expected.runs, expected.models, expected.steps) == ((runs[2], runs[1]), (loser.id,), 1)
        assert len(r.runs()) == 4
        assert r.has(loose)
        assert r.clean(1, dry_run=False, age_s=0) == expected
        assert [run.run for run in r.runs()] == [runs[3], runs[0]]
        gone = {made[2], loser.master, loser.image, loose}
        assert expected.objects == len(gone)
        assert not any(map(r.has, filter(None, gone)))
        for kept in (made[0], made[1], made[3], active.master, active.image, parent.master, parent.image):
            r.get(kept or "")
        assert r.find_step(key(1)) is not None
        assert r.find_step(key(2)) is None
        assert r.promoted() == [active]
        assert r.clean(0, dry_run=False, age_s=0).runs == (runs[3],)
        r.get(active.image or "")


def test_clean_leaves_runs_that_run_and_what_is_young(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        made, young = step(r, run, 1), r.put(b"young")
        assert r.clean(0, dry_run=False).runs == ()
        assert r.has(young)
        assert r.clean(0, dry_run=False, age_s=0).objects == 1
        assert r.has(made)


# zips


def packed(home: Path) -> tuple[Model, Path]:
    with Registry.open(home) as r:
        run = begin(r)
        made = r.keep_model(model(r, run, gates=(r.put(b"gates"),)))
        metrics = [Metric("train/accuracy", 0.5, "accuracy", (made.image or "",), {"items": 9}, 3)]
        r.keep_step(key(1), run, "train", "a", {}, {"image": made.image or ""}, {}, metrics)
        r.metric(run, "train", Metric("train/grok/detected", True, "grok", (made.master or "",)))
        r.export_model(made.id, home / "m.zip")
        return made, home / "m.zip"


def test_a_zip_gives_the_model_back(home: Path, tmp_path: Path) -> None:
    made, path = packed(home)
    with Registry.open(tmp_path / "other") as r:
        for _ in range(2):
            assert r.import_model(path) == made.id
        assert r.model(made.id) == made
        assert r.get(made.image or "") == b"image a"
        assert [m.value for _, m in r.metrics(made.session)] == [0.5, True]
        assert r.find_run().config == CONFIG
        r.export_model(made.id, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()
    with Registry.open(home) as r:
        assert r.import_model(path) == made.id
        assert len(r.metrics(made.session)) == 2


def test_damaged_zips_are_refused(home: Path, tmp_path: Path) -> None:
    made, path = packed(home)
    data, draw = path.read_bytes(), random.Random(3)
    cuts = [data[:n] for n in draw.sample(range(len(data)), 60)]
    flips = []
    for _ in range(250):
        at = draw.randrange(len(data))
        flips.append(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
    refused = 0
    for n, damaged in enumerate(cuts + flips):
        (home / "d.zip").write_bytes(damaged)
        with Registry.open(tmp_path / "other") as r:
            try:
                r.import_model(home / "d.zip")
            except EspikeError:
                refused += 1
                assert n < len(cuts) or r.models() in ([], [made])
            else:
                assert n >= len(cuts)  # a bit that says nothing, such as a file's date
                assert r.model(made.id) == made
    assert refused > 250


def rewritten(path: Path, change: Any) -> Path:
    """The zip with its files changed, and a manifest that agrees."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    manifest = json.loads(files.pop("manifest.json"))
    manifest["files"] = {name: sha(data) for name, data in files.items()}
    with zipfile.ZipFile(path.with_name("r.zip"), "w") as archive:
        for name, data in (files | {"manifest.json": json.dumps(manifest).encode()}).items():
            archive.writestr(name, data)
    return path.with_name("r.zip")


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.update({"../../evil": b"x"}),
        lambda files: files.update({"/etc/evil": b"x"}),
        lambda files: files.update({"objects/" + "0" * 64: b"x"}),
        lambda files: files.update({"objects/" + sha(b"x"): b"x"}),
        lambda files: files.pop("objects/" + sha(b"image a")),
        lambda files: files.pop("metrics.json"),
        lambda files: files.update({"config.toml": b"\xff"}),
        lambda files: files.update({"model.json": files["model.json"].replace(b'"neurons":4', b'"neurons":0')}),
        lambda files: files.update({"metrics.json": files["metrics.json"].replace(b"train/acc", b"train/ac")}),
        lambda files: files.update({"metrics.json": files["metrics.json"].replace(b"0.5", b'"much"')}),
    ],
)
def test_foreign_zips_are_refused_whole(home: Path, tmp_path: Path, change: Any) -> None:
    _, path = packed(home)
    path = rewritten(path, change)
    with Registry.open(tmp_path / "other") as r:
        with pytest.raises(EspikeError):
            r.import_model(path)
        assert r.models() == r.runs() == list(r.objects.files()) == []
    assert not list(tmp_path.rglob("evil"))


def test_zips_that_unpack_to_too_much_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = packed(home)
    monkeypatch.setattr("espike.forge.bundle.BYTES_MOST", 100)
    with Registry.open(home) as r:
        with pytest.raises(EspikeError, match="more than 100 bytes"):
            r.import_model(path)
        with pytest.raises(EspikeError, match="cannot be read"):
            r.import_model(home / "none.zip")


# at once, and killed


def test_threads_share_a_registry(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        threads = [threading.Thread(target=lambda: [step(r, run, n) for n in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(r.steps(run)) == 20
        assert len(r.metrics(run)) == 40


def work(home: Path, run: str, shared: Registry | None) -> None:
    with shared or Registry.open(home) as r:
        for n in range(15):
            step(r, run, n)
            r.log(run, "train", str(n))
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("forked", [False, True])
def test_processes_share_a_home(home: Path, forked: bool) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(home, run, r if forked else None)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * 4
        assert len(r.steps(run)) == 15
        assert len(r.metrics(run)) == 30
        assert len(r.logs(run)) == 60
        assert len(list(r.objects.files())) == 15


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_forge_registry import *
r = Registry.open(Path(sys.argv[1]))
run = begin(r)
print(run, flush=True)
for n in range(int(sys.argv[3]), 100_000):
    step(r, run, n)
    one = r.keep_model(model(r, run, str(n), name=f"n{n}"))
    r.promote(one.id)
    print(n, flush=True)
"""


@pytest.mark.parametrize("round", range(4))
def test_what_was_said_to_be_kept_survives_kill_9(home: Path, round: int) -> None:
    draw, first = random.Random(round), 0
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, str(home), str(Path(__file__).parent), str(first)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        process.stdout.readline()
        time.sleep(draw.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
        last = max(said, default=first)
        with Registry.open(home) as r:
            assert r.find_run(run).status == "killed"
            kept = [step.inputs["level"] for step in r.steps(run)]
            assert kept in ([*range(first, last + 1)], [*range(first, last + 2)])
            for n in kept:
                found = r.find_step(key(n))
                assert found is not None
                assert r.get(found.outputs["master"]) == b"object %d" % n
            assert len(r.metrics(run)) == 2 * len(kept)
            models = r.models(run)
            assert len(models) >= last - first + 1
            for each in r.promoted():
                r.get(each.image or "")
            assert f"n{last}" in {each.name for each in r.promoted()}
            step(r, begin(r), 10**6)  # it can be written too
            r.clean(1, dry_run=False, age_s=0)
        with sqlite3.connect(home / "registry.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.close()
        assert not list((home / "objects").glob("??/.*.tmp"))
        first = last + 2


def scribble(home: Path) -> None:
    with Registry.open(home) as r:
        run = begin(r)
        for n in range(10_000):
            step(r, run, n)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_registry_that_was_killed_while_it_was_made_opens(tmp_path: Path) -> None:
    draw, context = random.Random(1), multiprocessing.get_context("fork")
    for round in range(25):
        home = tmp_path / str(round)
        process = context.Process(target=scribble, args=(home,))
        process.start()
        time.sleep(draw.random() * 0.03)
        process.kill()
        process.join()
        with Registry.open(home) as r:
            for run in r.runs():
                assert len(r.metrics(run.run)) == 2 * len(r.steps(run.run))
            assert step(r, begin(r), 10**6)
