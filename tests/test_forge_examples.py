"""examples/*.toml, quick: each run ends in an image that passed its gates, and every number of it is computed again."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import engines
import pytest
from command import run as command
from forge_homes import Forged, forge

from espike import boards
from espike.forge import catalogue, config
from espike.forge.contracts import PHASES
from espike.forge.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ("digits", "gestures", "devices", "knocks")
SCORES = {"digits": 0.9, "gestures": 0.9, "devices": 0.8, "knocks": 0.9}
"""What the image of a quick run gets right of its test items, at least."""
EMULATED = "emu-rv32"


def example(name: str, folder: Path) -> Path:
    """The example's file; without the emulated board where this machine has no tools for it."""
    path = ROOT / "examples" / f"{name}.toml"
    missing = boards.boards()[EMULATED].missing
    if not missing:
        return path
    if os.environ.get("ESPIKE_CI"):
        engines.lack(f"board {EMULATED}: {', '.join(missing)} not found")
    copy = folder / path.name
    text = path.read_text().replace('suite = "knocks"', f'suite = "{path.parent / "knocks"}"')
    copy.write_text(text.replace(f', "{EMULATED}"', ""))
    assert config.load(copy).run.verify == ("native",)
    return copy


def quick(name: str, folder: Path, request: pytest.FixtureRequest) -> tuple[Path, Any]:
    """(home, what the run told): of digits the session's, which is the same configuration."""
    path = example(name, folder)
    if name == "digits" and path.parent != folder:
        forged = request.getfixturevalue("forged")
        return forged.home, forged.done.json
    home = folder / "home"
    done = command("forge", "run", path, "--quick", "--home", home, "--json", cwd=folder)
    assert done.code == 0, done.err
    return home, done.json


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_every_number_is_computed_again(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home, told = quick(name, tmp_path, request)
    assert told["success"]
    assert [phase["phase"] for phase in told["phases"]] == list(PHASES)
    assert all(gate["passed"] for phase in told["phases"] for gate in phase["gates"])
    again = forge(home, "validate", "--recompute", told["run"], "--json", cwd=tmp_path).json
    assert again["success"]
    assert again["wrong"] == []
    assert again["equal"] > 100
    (model,) = told["models"]
    found = forge(home, "models", "sim", model, "--json", cwd=tmp_path).json
    assert found["accuracy"] >= SCORES[name]
    forge(home, "models", "save", model, tmp_path / "out", "--json", cwd=tmp_path)
    flashed = command("flash", tmp_path / "out" / "image.spk", "--board", "native", "--json", cwd=tmp_path)
    assert flashed.code == 0, flashed.err


def test_the_guide_s_commands_are_commands() -> None:
    """Every line of docs/forge-examples.md: its verb exists, and knows its options."""
    guide = (ROOT / "docs" / "forge-examples.md").read_text()
    blocks = [rest.split("```")[0] for rest in guide.split("```sh\n")[1:]]
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    assert len(lines) > 10
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "espike"
        verb = [word for word in words if word.isalpha() and word.islower()][:3]
        options = [word for word in words if word.startswith("--")]
        texts = [command(*verb[:count], "--help", cwd=ROOT) for count in range(1, len(verb) + 1)]
        said = [done.out for done in texts if done.code == 0]
        assert said, line
        assert all(option in "".join(said) for option in options), line


EVERY = """
[run]
suite = "graded"
levels = [1, 8, 9]
name = "every"
verify = ["native"]
deadline_us = 1000000

[adopt]
candidates = ["memory"]
hidden = [24]
epochs = 2

[evolve]
population = 2
generations = 1

[quant]
ternary = true

[train]
examples = 100
validation = 60
test = 60
epochs_per_level = 1
max_retries = 0
advance_at = 0.0
quiet = 1.0

[tune]
cycles_most = 8
plateau_window = 1
target = 1.0

[fit]
prune = 0.1
search = { generations = 0 }

[pack]
rungs = ["lossless"]

[gates]
retention = 0.0
agreement = 0.0
device_success = 0.0
forgetting_most = 1.0
calibration_error_most = 1.0
consistency = 0.0
"""
ELSEWHERE = {"tune/solve_rate_held_out"}
"""Metrics of tasks that are held out, which neither run has; tests of devices see them."""


def test_every_metric_of_the_catalogue_is_measured_by_some_run(forged: Forged, tmp_path: Path) -> None:
    (tmp_path / "every.toml").write_text(EVERY)
    done = command("forge", "run", "every.toml", "--home", "home", "--json", cwd=tmp_path)
    assert done.code in (0, 1), done.err
    names = set()
    for home in (forged.home, tmp_path / "home"):
        with Registry.open(home) as registry:
            names |= {metric.name for run in registry.runs() for _, metric in registry.metrics(run.run)}
    found = {catalogue.match(name).template for name in names}
    assert {entry.template for entry in catalogue.entries()} - found - ELSEWHERE == set()
