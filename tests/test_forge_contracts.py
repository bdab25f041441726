"""Catalogue, hand-off rules, and records as JSON: golden files, and mutations that schema and reader refuse."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from espike.forge import catalogue, contracts, schemas
from espike.forge.contracts import (
    AnyRule,
    Handoff,
    MaxBurst,
    MaxBytes,
    MaxRam,
    MinAccuracy,
    MinFitness,
    Model,
    NeuronRange,
    NumModels,
    PhaseResult,
    Provenance,
    RequiredMetadata,
    RequiredObjects,
    SynapseRange,
)  # fmt: skip
from espike.forge.deployment import Deployment, Profile
from espike_sim.errors import EspikeError

GOLDEN = Path(__file__).parent / "golden_forge"
KINDS: dict[str, type] = {
    "model": Model, "handoff": Handoff, "phase-result": PhaseResult, "deployment": Deployment, "profile": Profile,
}  # fmt: skip
OPEN = ("metrics", "artefacts", "sections")
"""Objects with keys of any name."""
NULL = ("specialization", "master", "image", "flash_most", "ram_most")
"""May be null, in some record."""
MASTER, IMAGE = "ab" * 32, "cd" * 32
AT = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
FORMATS = FormatChecker(["uuid"])


@FORMATS.checks("date-time", ValueError)
def is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def model(**changes: Any) -> Model:
    """A model of phase train, with what `changes` say."""
    facts: dict[str, Any] = {
        "phase": "train", "name": "digits_memory", "created_at": AT, "parameters": 2410, "bytes": 5120,
        "bytes_per_synapse": 2.25, "neurons": 138, "synapses": 2272, "master": MASTER, "image": IMAGE,
        "session": "0f8fad5b-d9cb-469f-a165-70867728950e", "provenance": Provenance("0.1.0", 7),
        "specialization": "memory_integration", "board": "esp32c3", "formats": ("d8w8",), "tags": ("digits",),
        "metrics": {"train/accuracy": 0.93, "fit/performance/ram_bytes": 9000, "fit/performance/burst_us": 410.5},
    }  # fmt: skip
    facts |= changes
    content = facts["master"] or facts["image"]
    facts.setdefault("id", contracts.model_id(facts["phase"], facts["name"], facts["created_at"], content))
    return Model(**facts)


def failed(rule: AnyRule, *models: Model, has: Callable[[str], bool] = lambda key: True) -> list[str]:
    """Rules that fail, by name."""
    failures = contracts.evaluate(Handoff("train", "tune", models, (rule,)), has)
    assert all(failure.reason for failure in failures)
    return [failure.rule for failure in failures]


def accuracy(value: Any) -> Model:
    return model(metrics={} if value is None else {"train/accuracy": value})


RULES: list[tuple[AnyRule, Model, Model]] = [
    (NeuronRange(1, 138), model(), model(neurons=139)),
    (NeuronRange(138, 200), model(), model(neurons=137)),
    (SynapseRange(1, 2272), model(), model(synapses=2273)),
    (SynapseRange(2272, 2272), model(), model(synapses=2271)),
    (MaxBytes(5120), model(), model(bytes=5121)),
    (MinAccuracy("train/accuracy", 0.9), accuracy(0.9), accuracy(0.89999)),
    (MinAccuracy("train/accuracy", 0.0), accuracy(0), accuracy(None)),
    (MinAccuracy("train/accuracy", 0.0), accuracy(1), accuracy(True)),
    (MinAccuracy("train/accuracy", 0.0), accuracy(1), accuracy("0.9")),
    (MinFitness("evolve/final_fitness", -1), model(metrics={"evolve/final_fitness": -1.0}), model()),
    (MaxRam("fit/performance/ram_bytes", 9000), model(), model(metrics={"fit/performance/ram_bytes": 9001})),
    (MaxRam("fit/performance/ram_bytes", 9000), model(), model(metrics={})),
    (MaxBurst("fit/performance/burst_us", 410.5), model(), model(metrics={"fit/performance/burst_us": 411.0})),
    (MaxBurst("fit/performance/burst_us", 410.5), model(), accuracy(1)),
    (RequiredMetadata(("specialization",)), model(), model(specialization=None)),
    (RequiredMetadata(("board", "formats")), model(), model(formats=())),
    (RequiredMetadata(("metrics",)), model(), model(metrics={})),
    (RequiredObjects(("master",)), model(), model(master=None)),
    (RequiredObjects(("master", "image")), model(), model(image=None)),
]


@pytest.mark.parametrize(("rule", "good", "bad"), RULES)
def test_each_rule_passes_and_fails(rule: AnyRule, good: Model, bad: Model) -> None:
    assert failed(rule, good) == []
    assert failed(rule, bad) == [rule.__struct_config__.tag]
    assert failed(rule, good, bad, good) == [rule.__struct_config__.tag]


def test_every_rule_is_tried() -> None:
    tried = {type(rule) for rule, _, _ in RULES}
    assert tried | {NumModels} == set(contracts.AnyRule.__args__)  # type: ignore[attr-defined]


def test_models_are_counted() -> None:
    for count, names in [(0, ["num_models"]), (1, []), (3, []), (4, ["num_models"])]:
        assert failed(NumModels(1, 3), *[model()] * count) == names


def test_a_rule_of_an_unknown_metric_fails() -> None:
    good = model(metrics={"train/acuracy": 1.0})
    (failure,) = contracts.evaluate(Handoff("train", "tune", (good,), (MinAccuracy("train/acuracy", 0.5),)), bool)
    assert "not in the catalogue" in failure.reason


def test_objects_must_be_in_the_registry() -> None:
    rule = RequiredObjects(("master", "image"))
    assert failed(rule, model(), has=lambda key: key == MASTER) == ["required_objects"]
    assert failed(rule, model(), has=lambda key: False) == ["required_objects"] * 2


def test_all_failures_are_named() -> None:
    rules = (NumModels(2), NeuronRange(1, 10), MaxBytes(1), MinAccuracy("train/accuracy", 1))
    bad = Handoff("train", "tune", (model(),), rules)
    with pytest.raises(EspikeError) as caught:
        contracts.require(bad, lambda key: True)
    assert all(name in str(caught.value) for name in ("num_models", "neurons", "max_bytes", "min_accuracy", model().id))
    contracts.require(Handoff("train", "tune", (model(),), contracts.standard("tune")), lambda key: True)


def test_the_trainer_refuses_an_image_without_master() -> None:
    given = Handoff("quant", "train", (model(master=None, phase="quant"),), contracts.standard("train"))
    with pytest.raises(EspikeError, match=r"required_objects: .* has no master"):
        contracts.require(given, lambda key: True)


def test_ids_say_when_and_what() -> None:
    assert model().id == "train_digits_memory_20260301_123005_abababab"
    for wrong in ("train_digits_memory_20260301_123005_abababac", "tune_digits_memory_20260301_123005_abababab"):
        with pytest.raises(ValueError, match="id does not follow"):
            model(id=wrong)


def test_success_and_gates_agree() -> None:
    verdict = contracts.Verdict("retention", "pack/retention_cumulative", 0.9, 0.95, False)
    with pytest.raises(ValueError, match="a gate failed"):
        PhaseResult(True, "pack", (), {}, {}, 1.0, (verdict,))
    with pytest.raises(ValueError, match="without a reason"):
        PhaseResult(False, "pack", (), {}, {}, 1.0, (verdict,))
    with pytest.raises(ValueError, match="does not come before"):
        Handoff("tune", "train", (), ())


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schemas.documents()[f"{name}.schema.json"], format_checker=FORMATS)


@pytest.mark.parametrize("name", KINDS)
def test_golden_files_are_valid(name: str) -> None:
    text = (GOLDEN / f"{name}.json").read_text()
    validator(name).validate(json.loads(text))
    value = contracts.read(text, KINDS[name], name)
    assert json.loads(contracts.write(value)) == json.loads(text), "a golden file names every field"
    assert contracts.read(contracts.write(value), KINDS[name], name) == value


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Path of every value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else []
    return [at, *(path for key, value in pairs for path in places(value, (*at, key)))]


def _at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def mutations(data: Any) -> list[tuple[str, Any]]:
    """Each a golden file with one thing wrong."""
    made = []
    required = {
        "rules",
        "models",
        "id",
        "session",
        "phase",
        "gate",
        "passed",
        "success",
        "seconds",
        "provenance",
        "rule",
    }
    for path in places(data):
        value, parent = _at(data, path), path[:-1]
        free = "metrics" in parent or "artefacts" in parent
        if isinstance(value, dict) and path[-1:] not in [(name,) for name in OPEN]:
            made.append((f"{path} + key", partial(_at, path=path), lambda node: node.update(further=1)))
        if path and not (free and isinstance(value, int | float | str) and "artefacts" not in parent):
            for worse in ([[value]], None if path[-1] not in NULL else {"a": 1}):
                made.append((f"{path} = {worse}", partial(_at, path=parent), partial(_put, key=path[-1], value=worse)))
        if path and path[-1] in required and isinstance(_at(data, parent), dict) and not free:
            made.append((f"del {path}", partial(_at, path=parent), partial(_del, key=path[-1])))
        if isinstance(value, int | float) and not isinstance(value, bool) and not free:
            made.append((f"-{path}", partial(_at, path=parent), partial(_put, key=path[-1], value=-(2.0**1023))))
    wrong = []
    for name, find, change in made:
        copy = deepcopy(data)
        change(find(copy))
        wrong.append((name, copy))
    return wrong


def _put(node: Any, key: Any, value: Any) -> None:
    node[key] = value


def _del(node: Any, key: Any) -> None:
    del node[key]


@pytest.mark.parametrize("name", KINDS)
def test_schema_and_reader_refuse_each_mutation(name: str) -> None:
    check, kind = validator(name), KINDS[name]
    wrong = mutations(json.loads((GOLDEN / f"{name}.json").read_text()))
    assert len(wrong) > 30
    for what, data in wrong:
        assert not check.is_valid(data), what
        with pytest.raises(EspikeError, match=kind.__name__):
            contracts.read(json.dumps(data), kind, what)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("model", ("id",), "train_digits_20261_123005_abababab"),
        ("model", ("id",), "grow_digits_memory_20260301_123005_abababab"),
        ("model", ("id",), "train_digits_memory_20260301_123005_abababab\n"),
        ("model", ("session",), "0f8fad5b-d9cb-469f-a165"),
        ("model", ("master",), MASTER[:-1]),
        ("model", ("master",), MASTER + "\n"),
        ("model", ("master",), MASTER.upper()),
        ("model", ("created_at",), "2026-13-01T12:30:05Z"),
        ("model", ("created_at",), "2026-03-01T12:30:05"),
        ("model", ("created_at",), "yesterday"),
        ("model", ("created_at",), "0001-01-01T00:00:00+23:00Z"),
        ("model", ("parameters",), 0),
        ("model", ("specialization",), "speed"),
        ("model", ("metrics", "train/accuracy"), None),
        ("handoff", ("source",), "grow"),
        ("handoff", ("rules", 0, "rule"), "num_model"),
        ("handoff", ("rules", 3, "least"), 1.5),
        ("phase-result", ("seconds",), -0.1),
        ("phase-result", ("artefacts", "report"), "../../etc/passwd"),
    ],
)
def test_schema_and_reader_refuse(name: str, path: tuple[Any, ...], value: Any) -> None:
    data = json.loads((GOLDEN / f"{name}.json").read_text())
    _put(_at(data, path[:-1]), path[-1], value)
    assert not validator(name).is_valid(data)
    with pytest.raises(EspikeError):
        contracts.read(json.dumps(data), KINDS[name], name)


def test_damaged_json_is_refused() -> None:
    text = (GOLDEN / "model.json").read_bytes()
    draw = random.Random(5)
    for cut in draw.sample(range(len(text.rstrip())), 60):
        with pytest.raises(EspikeError):
            contracts.read(text[:cut], Model, "cut")
    with pytest.raises(EspikeError):
        contracts.read(b"[" * 100_000, Model, "deep")
    with pytest.raises(EspikeError):
        contracts.read(b'"\xff"', Model, "bytes")
    with pytest.raises(EspikeError):
        contracts.read(text.replace(b"2026-03-01T12:30:05Z", b"0001-01-01T00:00:00+23:00"), Model, "early")


# the catalogue


def test_the_catalogue_is_sound() -> None:
    assert catalogue.lint(catalogue.entries()) == []
    assert sum(map(catalogue.count, catalogue.PHASES)) == catalogue.count() == len(catalogue.entries())
    assert all(catalogue.count(phase) >= 10 for phase in catalogue.PHASES)


def test_every_template_matches_its_names() -> None:
    for entry in catalogue.entries():
        name = "/".join("x3" if piece.startswith("{") else piece for piece in entry.pieces)
        assert catalogue.match(name) is entry


@pytest.mark.parametrize(
    "name", ["", "train", "train/acuracy", "train/level/3", "train/level//accuracy", "train/level/../accuracy",
             "train/level/{level}/accuracy", "train/level/a b/accuracy", "Train/accuracy", "train/accuracy/", "/train"],
)  # fmt: skip
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(EspikeError, match="not in the catalogue"):
        catalogue.match(name)


def test_names_of_the_first_specification_are_there() -> None:
    names = (
        "train/edge_of_chaos_optimal_level train/edge_of_chaos_accuracy train/dream_consolidation_epochs "
        "train/level/4/train_loss train/level/4/train_accuracy train/level/4/epochs_to_completion "
        "train/stages_completed train/curriculum_levels_completed train/final_curriculum_accuracy "
        "train/total_training_hours train/catastrophic_forgetting_prevented train/dequantization_accuracy "
        "train/calibration/ece train/device/servo/violations train/invariant/quiet/margin train/grok/detected "
        "tune/a_cycle/3/solve_after tune/half_baking_iterations tune/baking_loss_reduction fit/deployment/target_met "
        "fit/optimization/pruning_ratio pack/phase1_to_phase4_compression pack/phase4_to_phase8_compression "
        "pack/accuracy_vs_phase1 pack/final_compression_level pack/rung/w4/compression_ratio "
        "pack/compressed_format pack/decompression_required evolve/merge/slerp/success_rate "
        "evolve/generation/7/best_fitness system/host/rss_bytes deploy/esp32c3/target_met"
    )
    for name in names.split():
        catalogue.match(name)
    text = catalogue.FILE.read_text()
    assert not any(word in text for word in ("perplexity", "vocab", "token", "persona", "thought", "usd"))


def test_the_table_has_a_row_for_each() -> None:
    rows = catalogue.markdown().splitlines()
    assert len(rows) == catalogue.count() + 2
    assert all(row.count("|") == 5 for row in rows)
    assert any(row.startswith("| `train/level/{level}/accuracy` | ratio | float | ") for row in rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[train]\n"level/{a}/x" = ["1", "int", "m"]\n"level/best/x" = ["1", "int", "m"]', "ambiguous"),
        ('[train]\n"{a}/{b}" = ["1", "int", "m"]\n"x/{b}" = ["1", "int", "m"]', "ambiguous"),
        ('[grow]\nx = ["1", "int", "m"]', "belongs to no phase"),
        ('[train]\nx = ["1", "number", "m"]', "lacks"),
        ('[train]\nx = ["1", "int", ""]', "lacks"),
        ('[train]\n"{a}/{a}" = ["1", "int", "m"]', "field twice"),
        ('[train]\n"x//y" = ["1", "int", "m"]', "is no name"),
        ('[train]\n"X" = ["1", "int", "m"]', "is no name"),
    ],
)
def test_lint_finds(text: str, said: str) -> None:
    found = catalogue.lint(catalogue.read(text, "a"))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize("text", ["[train", 'x = ["1", "int", "m"]', '[train]\nx = ["1", "int"]', "[train]\nx = 3"])
def test_a_damaged_catalogue_is_refused(text: str) -> None:
    with pytest.raises(EspikeError):
        catalogue.read(text, "a")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("train/accuracy", [0.5, 1, 0], [True, "1", None, float("nan"), float("inf")]),
        ("train/total_epochs", [3, 0], [3.0, False, "3"]),
        ("train/grok/detected", [True, False], [0, 1, "yes"]),
        ("pack/final_compression_level", ["b53"], [3, True, None]),
    ],
)
def test_values_have_their_types(name: str, good: list[Any], bad: list[Any]) -> None:
    entry = catalogue.match(name)
    for value in good:
        entry.check(value)
    for value in bad:
        with pytest.raises(EspikeError, match="metric"):
            entry.check(value)


def test_times_are_marked() -> None:
    assert catalogue.match("train/seconds").is_time
    assert not catalogue.match("fit/performance/burst_us").is_time
    assert all(e.is_time for e in catalogue.entries() if e.unit in ("s", "h") or e.phase == "system")


def test_structs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        model().bytes = 3  # type: ignore[misc]
    assert msgspec.structs.replace(model(), bytes=3).bytes == 3
