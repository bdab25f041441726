"""The ladder of formats: what a missed gate changes, where a forced failure lands, and what is written of the image."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from espike.forge import config, contracts, deployment, measures, models
from espike.forge.contracts import PHASES, Verdict
from espike.forge.phases import adjust, pack
from espike.forge.phases.adjust import Knobs, adjusted
from espike.forge.registry import Registry
from espike.forge.run import Ended, run

LADDER = ("lossless", "w4", "b53", "b62", "ternary")
CONFIG = """
[run]
suite = "digits"
name = "ladder"
verify = []

[adopt]
candidates = ["reasoning"]
hidden = [16]
epochs = 6

[evolve]
generations = 0

[settle]
bursts_most = 0
margin_most = 0

[train]
examples = 300
validation = 200
test = 200
epochs_per_level = 3
advance_at = 0.3

[tune]
cycles_most = 0

[fit]
prune = 0.0
search = { generations = 0 }

[pack]
rungs = ["lossless", "w4", "b53", "b62", "ternary"]
retries = 2

[gates]
calibration_error_most = 0.5
retention = 0.1
"""


def missed(*gates: str) -> list[Verdict]:
    return [Verdict(gate, "pack/retention_cumulative", 0.0, 1.0, False, "rolled back") for gate in gates]


@pytest.mark.parametrize(
    ("gates", "before", "after", "why"),
    [
        (("fits esp32c3",), Knobs(), Knobs(10, 0, 0.1), "fits esp32c3: prune 10 % more"),
        (("keeps the deadline",), Knobs(10, 0, 0.1), Knobs(10, 0, 0.2), "keeps the deadline: prune 10 % more"),
        (("quiet_when_idle",), Knobs(), Knobs(10, 1.0), "quiet_when_idle: train quieter"),
        (("recovers", "all is kept"), Knobs(20, 1.0), Knobs(20, 2.0), "recovers: train quieter"),
        (("all is kept",), Knobs(), Knobs(10), "all is kept: train on with these bits"),
        (("rates are kept", "dynamics are kept"), Knobs(10), Knobs(20),
         "rates are kept, dynamics are kept: train on with these bits"),
        (("servo acts as before",), Knobs(), Knobs(10), "servo acts as before: train on with these bits"),
        (("digits is kept", "fits esp32"), Knobs(), Knobs(10, 0, 0.1), "fits esp32: prune 10 % more"),
        (("digits is kept", "fits esp32"), Knobs(10, 0, 0.3), Knobs(20, 0, 0.3),
         "digits is kept: train on with these bits"),
    ],
)  # fmt: skip
def test_a_missed_gate_turns_the_knob_of_its_rule(
    gates: tuple[str, ...], before: Knobs, after: Knobs, why: str
) -> None:
    assert adjusted(before, missed(*gates)) == (why, after)


def test_what_no_knob_answers_is_not_tried_again() -> None:
    assert adjusted(Knobs(), missed("image is whole")) is None
    assert adjusted(Knobs(), []) is None
    assert adjusted(Knobs(adjust.EPOCHS_MOST), missed("all is kept")) is None
    assert adjusted(Knobs(0, adjust.QUIET_MOST), missed("recovers")) is None
    assert adjusted(Knobs(0, 0, adjust.PRUNED_MOST), missed("fits esp32")) is None


def test_every_invariant_has_a_rule() -> None:
    for name in measures.INVARIANTS:
        assert adjusted(Knobs(), missed(name)) is not None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with a run up to fit -> it, and the run."""
    folder = tmp_path_factory.mktemp("ladder")
    with Registry.open(folder / "home") as registry:
        ended = run(registry, config.parse(CONFIG, "ladder.toml"), phases=PHASES[:-1])
        assert ended.success, ended.reason
    return folder / "home", ended.run


def packed(home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, failing: dict[str, str], **pack_: Any) -> Ended:
    """The pack phase, in which rungs miss a gate: {rung: gate}."""
    judged = pack._gates

    def gates(context: Any, name: str, *others: Any) -> list[Verdict]:
        found = [gate for gate in judged(context, name, *others) if gate.passed]
        return [*found, *missed(failing[name])] if name in failing else found

    monkeypatch.setattr(pack, "_gates", gates)
    asked = config.parse(CONFIG, "ladder.toml")
    asked = replace_pack(asked, **pack_)
    with Registry.open(home[0]) as registry:
        return run(registry, asked, resume=home[1], phases=("pack",))


def replace_pack(asked: config.Config, **changes: Any) -> config.Config:
    from espike.forge.packages import msgspec

    replaced: config.Config = msgspec.structs.replace(asked, pack=msgspec.structs.replace(asked.pack, **changes))
    return replaced


@pytest.mark.parametrize("reached", range(-1, len(LADDER)))
def test_a_forced_failure_lands_on_the_rung_above(
    reached: int, home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever rung fails, the smallest image of the rungs before it goes on; where the first fails, none does."""
    failing = {LADDER[reached + 1]: "image is whole"} if reached + 1 < len(LADDER) else {}
    ended = packed(home, monkeypatch, failing)
    if reached < 0:
        assert not ended.success
        assert ended.reason.startswith("pack: gate image is whole")
        return
    (model,) = ended.models
    assert ended.success, ended.reason
    assert model.formats[0] in LADDER[: reached + 1]
    with Registry.open(home[0]) as registry:
        sizes = {name: registry.metrics(ended.run, prefix=f"pack/rung/{name}/bytes") for name in LADDER[: reached + 1]}
        assert model.bytes == min(found[0][1].value for found in sizes.values())
        assert registry.metrics(ended.run, prefix=f"pack/rung/{model.formats[0]}/promoted")[0][1].value is True
        assert [m.image for m in registry.promoted()] == [model.image]


def test_every_retry_says_its_cause_and_its_change(home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = packed(home, monkeypatch, {"w4": "all is kept"})
    with Registry.open(home[0]) as registry:
        found = {m.name: m.value for _, m in registry.metrics(ended.run, prefix="pack/rung/w4/")}
        lines = [line.text for line in registry.logs(ended.run) if line.text.startswith("rung w4: all is kept: ")]
        trained = [step.name for step in registry.steps(ended.run) if step.name.startswith("train/w4/")]
    assert found["pack/rung/w4/retries"] == 2
    assert found["pack/rung/w4/change"] == "all is kept: train on with these bits"
    assert found["pack/rung/w4/passed"] is False
    assert found["pack/rung/w4/promoted"] is False
    assert len(lines) >= 2
    assert {"train/w4/10", "train/w4/20"} <= set(trained)
    assert ended.models[0].formats == ("lossless",)


def test_the_image_is_described_by_what_it_is(
    home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = packed(home, monkeypatch, {})
    (model,) = ended.models
    with Registry.open(home[0]) as registry:
        files = {path.name: path for path in models.save(registry, model, tmp_path)}
        data = (tmp_path / "image.spk").read_bytes()
        gates = contracts.read(registry.get(model.gates[0]), tuple[Verdict, ...], "gates")
    assert {"image.toml", "profile.json", "image.quantized.npz"} <= set(files)
    assert gates == ended.results[-1].gates
    found = contracts.read(json.dumps(tomllib.loads(files["image.toml"].read_text())), deployment.Deployment, "toml")
    assert (found.image.sha256, found.image.bytes, found.image.level) == (model.image, len(data), model.formats[0])
    assert found.interface.labels == tuple("0123456789")
    took = contracts.read(files["profile.json"].read_text(), deployment.Profile, "json")
    assert sum(took.sections.values()) == len(data)
    assert took.burst_us <= took.burst_us_p99 <= took.burst_us_max
    assert took.bursts_per_s == pytest.approx(1e6 / took.burst_us)
    assert took.energy_uj > 0
