"""The verbs of `espike forge` on a real run: what they print, their JSON, their exit codes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from command import run as command
from forge_homes import CONFIG, Forged, edit, forge, last_json

from espike import network
from espike.forge import config, system
from espike.forge.contracts import PHASES, PhaseResult, Verdict
from espike.forge.registry import Registry
from espike.forge.run import kind_of_failure
from espike.network import Options
from espike_sim.errors import EspikeError

PACKED = "pack_digits"


def promoted(home: Path) -> str:
    with Registry.open(home) as registry:
        (model,) = registry.promoted()
    return model.id


def test_a_run_says_a_line_per_phase_and_success_in_json(forged: Forged) -> None:
    found = forged.done.json
    assert found["success"]
    assert (found["kind"], found["reason"]) == ("", "")
    assert forged.done.err.splitlines() == [f"phase {i} of 8: {phase}" for i, phase in enumerate(PHASES, 1)]
    assert [phase["phase"] for phase in found["phases"]] == list(PHASES)
    gates = [gate["gate"] for gate in found["phases"][-1]["gates"]]
    assert gates[-2:] == ["native answers as the host", "emu-rv32 answers as the host"]


def test_a_gate_that_is_missed_is_no_success(forged: Forged, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    done = forge(home, "run", CONFIG, "--quick", "--quiet", "--sabotage", "small-board")
    assert done.code == 1
    assert "success" not in done.out
    assert "FAILED" in done.out
    (line,) = done.err.splitlines()
    assert line.startswith("espike: forge: gate: fit: gate fits esp32c3")
    status = forge(home, "status", "--session", "newest", "--json").json
    assert (status["status"], status["kind"]) == ("failed", "gate")
    assert promoted(home) == promoted(forged.home)


def test_a_board_that_is_not_there_is_a_device_s_failure(forged: Forged, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    text = CONFIG.read_text().replace('["native", "emu-rv32"]', '["socket://127.0.0.1:1"]')
    (tmp_path / "lost.toml").write_text(text)
    done = forge(home, "run", tmp_path / "lost.toml", "--quick", "--json")
    assert done.code == 1
    found = last_json(done)
    assert found["kind"] == "device"
    assert "127.0.0.1:1" in found["reason"]
    assert promoted(home) == promoted(forged.home)
    status = forge(home, "status", "--session", found["run"], "--json").json
    assert status["kind"] == "device"
    assert status["phases"][-1]["status"] == "failed"


def test_kinds_of_failure() -> None:
    missed = Verdict("g", "fit/accuracy", 0.0, 1.0, False)
    result = PhaseResult(False, "fit", (), {}, {}, 0.0, (missed,), "gate g")
    assert kind_of_failure([result], "fit: gate g") == "gate"
    assert kind_of_failure([result], "boards: native answers as the host") == "device"
    assert kind_of_failure([], "train: hand-off quant to train: breaks its contract: num_models") == "contract"
    assert kind_of_failure([], "adopt: out of paper") == "error"
    assert kind_of_failure([result], "") == ""


def test_status_lists_runs_and_shows_one(forged: Forged) -> None:
    (row,) = forge(forged.home, "status", "--json").json
    assert (row["run"], row["status"]) == (forged.run, "done")
    found = forge(forged.home, "status", "--session", forged.run[:5], "--json").json
    assert [phase["status"] for phase in found["phases"]] == ["done"] * 8
    assert found["promoted"] == [promoted(forged.home)]
    text = forge(forged.home, "status", "--session", "newest")
    assert "(active)" in text.out
    assert forged.run[:8] in forge(forged.home, "status").out


def test_phases_say_what_they_take_and_gave(forged: Forged, tmp_path: Path) -> None:
    found = forge(forged.home, "phases", forged.run, "--json").json["phases"]
    assert [row["phase"] for row in found] == list(PHASES)
    assert all(row["about"] and row["inputs"] and row["models"] for row in found)
    assert "required_objects: objects master and image" in found[-1]["inputs"]
    assert found[-1]["artefacts"]
    assert "passed fits esp32c3" in forge(forged.home, "phases").out
    (tmp_path / "empty").mkdir()
    empty = forge(tmp_path / "empty", "phases", "--json", cwd=tmp_path).json
    assert empty["run"] is None
    assert {row["status"] for row in empty["phases"]} == {"not begun"}


def test_models_are_listed_by_phase_tag_and_run(forged: Forged) -> None:
    everything = forge(forged.home, "models", "list", "--json").json
    assert len(everything) == 10
    (packed,) = forge(forged.home, "models", "list", "--phase", "pack", "--json").json
    assert packed["promoted"]
    assert packed["tags"] == ["packed"]
    assert forge(forged.home, "models", "list", "--tag", "packed", "--json").json == [packed]
    assert forge(forged.home, "models", "list", "--session", "newest", "--json").json == everything
    assert packed["id"] in forge(forged.home, "models", "list").out
    assert forge(forged.home, "models", "list", "--phase", "nonsense").code == 2


def test_a_model_is_shown_presented_and_saved(forged: Forged, tmp_path: Path) -> None:
    found = forge(forged.home, "models", "show", PACKED, "--json").json
    assert found["promoted"]
    assert len(found["lineage"]) >= 6
    assert found["image"] in forge(forged.home, "models", "show", PACKED).out
    tried = forge(forged.home, "models", "sim", PACKED, "--json").json
    assert tried["accuracy"] == found["metrics"]["pack/final_accuracy"]
    matrix = np.array(tried["confusion"])
    assert matrix.sum() == tried["items"] == 360
    assert np.trace(matrix[:, :-1]) == tried["right"]
    data = CONFIG.parent / "digits" / "digits.npz"
    assert forge(forged.home, "models", "sim", PACKED, "--data", data, "--json").json["right"] == tried["right"]
    assert f"{tried['right']} of 360 right" in forge(forged.home, "models", "sim", PACKED).out
    saved = forge(forged.home, "models", "save", PACKED, tmp_path / "saved")
    names = ["master.npz", "image.spk", "image.toml", "profile.json", "image.quantized.npz"]
    assert [Path(line).name for line in saved.out.split()] == names
    image = tmp_path / "saved" / "image.spk"
    assert network.load_quantized(image, Options()).hash == network.load_image(image).network_hash
    classified = command("classify", image, data, "--json", cwd=tmp_path).json
    assert classified["right"] == tried["right"]


def test_a_model_crosses_to_another_home(forged: Forged, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    assert forge(forged.home, "export", PACKED, path, "--json").json["model"] == promoted(forged.home)
    other = tmp_path / "other"
    assert forge(other, "import", path, cwd=tmp_path).out.strip() == promoted(forged.home)
    there, here = (forge(h, "models", "show", PACKED, "--json").json["image"] for h in (other, forged.home))
    assert there == here
    assert forge(other, "status", "--json").json[0]["status"] == "imported"
    lost = forge(other, "models", "sim", PACKED)
    assert lost.code == 1
    assert len(lost.errors) == 1


def test_logs_are_printed_by_phase_and_followed_to_the_end(forged: Forged) -> None:
    lines = forge(forged.home, "logs", "--phase", "pack", "--json").out.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["phase"] for row in rows} == {"pack"}
    assert rows[0]["text"] == "begins"
    followed = forge(forged.home, "logs", forged.run, "--follow")
    assert followed.code == 0
    assert len(followed.out.splitlines()) > len(rows)


def test_clean_never_deletes_the_active_image(forged: Forged, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    with Registry.open(home) as registry:
        registry.run_end(registry.run_begin("old", "", 0, "0"), False, "broke")
        key = registry.put(b"of nobody")
        active = registry.promoted()[0]
    edit(home, "UPDATE runs SET started = '2020-01-01T00:00:00+00:00' WHERE name = 'old'")
    past = time.time() - 86400
    for path in (home / "objects").rglob("*"):
        os.utime(path, (past, past))
    dry = forge(home, "clean", "--keep", "0", "--json").json
    assert dry["dry_run"]
    assert len(dry["runs"]) == 1
    assert dry["objects"] == 1
    with Registry.open(home) as registry:
        assert registry.has(key)
    assert forge(home, "clean", "--keep", "0", "--yes").code == 0
    with Registry.open(home) as registry:
        assert not registry.has(key)
        assert [run.run for run in registry.runs()] == [forged.run]
        assert registry.promoted() == [active]
        assert active.image is not None
        assert registry.get(active.image)
    assert forge(home, "models", "sim", PACKED).code == 0


def test_configurations_are_shown_validated_and_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command("forge", "config", "show", CONFIG, "--quick", cwd=tmp_path)
    assert config.parse(shown.out, "shown") == config.load(CONFIG, quick=True)
    assert command("forge", "config", "show", CONFIG, "--json", cwd=tmp_path).json["run"]["suite"] == "digits"
    assert command("forge", "config", "validate", CONFIG, cwd=tmp_path).out.strip().endswith("valid")
    assert command("forge", "config", "schema", "--json", cwd=tmp_path).json["title"].startswith("espike")
    path = tmp_path / "net.toml"
    path.write_text('[run]\nsuite = "digits"\nseed = 1\n')
    monkeypatch.setenv("EDITOR", "sed -i s/seed.=.1/seed=2/")
    assert command("forge", "config", "edit", path, "--json", cwd=tmp_path).json["state"] == "changed"
    monkeypatch.setenv("EDITOR", "sed -i s/seed=2/seed=-2/")
    broken = command("forge", "config", "edit", path, cwd=tmp_path)
    assert broken.code == 2
    assert f"{path}:3: run.seed" in broken.err
    assert "seed=2" in path.read_text()
    assert "seed=-2" in (tmp_path / "net.toml.rejected").read_text()
    assert command("forge", "config", "edit", path, "--force", cwd=tmp_path).code == 0
    assert "seed=-2" in path.read_text()


@pytest.mark.parametrize("verb", [["run"], ["config", "validate"], ["config", "show"]])
def test_a_broken_configuration_is_wrong_usage_with_its_line(verb: list[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[run]\nsuite = "digits"\n\n[train]\nbatch = 0\n')
    done = command("forge", *verb, path, cwd=tmp_path)
    assert done.code == 2
    assert done.errors == [f"espike: {path}:5: train.batch: is 0, expected int >= 1"]
    told = command("forge", *verb, path, "--json", cwd=tmp_path)
    assert told.code == 2
    assert last_json(told)["problems"] == [{"line": 5, "text": "train.batch: is 0, expected int >= 1"}]


def test_a_configuration_of_a_suite_that_is_not_there_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "lost.toml").write_text('[run]\nsuite = "nowhere"\n')
    for verb in (["config", "validate"], ["run", "--home", "home"]):
        done = command("forge", *verb, "lost.toml", cwd=tmp_path)
        assert done.code == 2
        assert "nowhere" in done.err
        assert command("forge", *verb, "none.toml", cwd=tmp_path).code == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--session", "abc"],
        ["phases", "xyz"],
        ["logs", "xyz"],
        ["report", "xyz"],
        ["validate", "--recompute", "xyz"],
        ["metrics", "show", "xyz"],
        ["metrics", "export", "xyz", "a.csv", "--to", "csv"],
        ["models", "show", "nobody"],
        ["models", "show", "digits"],
        ["models", "sim", "nobody"],
        ["models", "save", "nobody", "folder"],
        ["export", "nobody", "a.zip"],
        ["import", "nowhere.zip"],
        ["run", "--resume", "xyz"],
    ],
)
def test_what_is_not_there_is_said_in_one_line(words: list[str], forged: Forged, tmp_path: Path) -> None:
    done = forge(forged.home, *words, cwd=tmp_path)
    assert done.code == 1
    assert len(done.errors) == 1
    assert done.errors[0].startswith("espike: ")


@pytest.mark.parametrize(
    "words",
    [["status"], ["phases"], ["logs"], ["report"], ["clean"], ["models", "list"], ["export", "any", "a.zip"],
     ["validate", "--recompute", "newest"], ["run", "--resume", "newest"]],
)  # fmt: skip
def test_a_home_is_made_only_where_something_is_kept(words: list[str], tmp_path: Path) -> None:
    done = forge(tmp_path / "typo", *words, cwd=tmp_path)
    assert (done.code, done.errors) == (1, [f"espike: {tmp_path / 'typo'}: no such folder; espike forge run makes it"])
    assert not list(tmp_path.iterdir())


def test_this_machine_is_checked(forged: Forged, monkeypatch: pytest.MonkeyPatch) -> None:
    found = forge(forged.home, "validate", "--check", "core", "--check", "home", "--json").json
    assert [check["name"] for check in found["checks"]] == ["core", "home"]
    assert found["success"]
    assert forge(forged.home, "validate", "--check", "nonsense").code == 2

    def broken(_: Path) -> str:
        raise EspikeError("is broken")

    monkeypatch.setitem(system.CHECKS, "compiler", broken)
    done = forge(forged.home, "validate", "--check", "compiler", "--check", "ports", "--json")
    assert done.code == 1
    assert [check["passed"] for check in last_json(done)["checks"]] == [False, True]
    assert "is broken" in forge(forged.home, "validate", "--check", "compiler").out
    assert forge(forged.home, "validate", "--check", "ports").code == 0


def test_the_core_s_check_sees_a_wrong_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stimulus = system.random_stimulus
    monkeypatch.setattr(system, "Reference", lambda q: system.Host(system.ImageView(system.image.pack(q).data)))
    assert "as the reference" in system.core(tmp_path)
    other = system.random_network(99, "int8")
    monkeypatch.setattr(system, "Reference", lambda q: system.Host(system.ImageView(system.image.pack(other).data)))
    monkeypatch.setattr(system, "random_stimulus", lambda q, seed, bursts: stimulus(other, seed, bursts))
    assert not system.check(("core",), tmp_path)[0].passed


def test_tasks_are_listed_shown_and_imported(tmp_path: Path) -> None:
    suites = {suite["suite"]: suite for suite in command("forge", "tasks", "list", "--json", cwd=tmp_path).json}
    assert set(suites) == {"graded", "devices", "digits", "gestures", "split-digits"}
    devices = command("forge", "tasks", "show", "devices", "--json", cwd=tmp_path).json
    assert devices == suites["devices"]
    assert [task["task"] for task in devices["tasks"] if task["held_out"]] == ["valve"]
    assert "never trained on" in command("forge", "tasks", "show", "devices", cwd=tmp_path).out
    rng = np.random.default_rng(0)
    label = np.array(["up", "down"] * 20)
    np.savez(tmp_path / "own.npz", x=rng.integers(0, 50, (40, 6, 2)), y=label)
    made = command("forge", "tasks", "import", "own.npz", "-o", "own", "--json", cwd=tmp_path).json
    assert sorted(made["labels"]) == ["down", "up"]
    assert command("forge", "tasks", "show", "own", "--json", cwd=tmp_path).json["labels"] == made["labels"]
    assert command("forge", "tasks", "show", "nowhere", cwd=tmp_path).code == 1
