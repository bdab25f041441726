"""Every number of a run computed again: equal, or named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from forge_homes import Forged, edit, forge, last_json, object_path

from espike.forge import measures
from espike.forge.registry import Registry

TAMPERED = {
    "train/accuracy": 0.99,
    "pack/final_bytes": 1,
    "evolve/best_merge_operator": "magic",
    "train/level/1/passed": 0,
    "quant/accuracy": 0.0,
}


def test_every_metric_of_a_run_is_computed_again(forged: Forged) -> None:
    done = forge(forged.home, "validate", "--recompute", forged.run[:6], "--json")
    found = done.json
    assert found["success"]
    assert found["wrong"] == []
    with Registry.open(forged.home) as registry:
        rows = registry.metrics(forged.run)
    left = {row["name"]: row["reason"] for row in found["not_recomputed"]}
    assert found["equal"] + len(left) == len(rows)
    assert found["equal"] > 150
    assert set(left) == {m.name for _, m in rows if m.entry.is_time or m.function == "board"}
    assert set(left.values()) == {"a time", "of the machine that ran it", "measured on a board"}


def test_what_was_tampered_with_is_named(forged: Forged, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    for name, value in TAMPERED.items():
        edit(home, "UPDATE metrics SET value = ? WHERE name = ?", value, name)
    edit(home, "UPDATE metrics SET value = value * (1 + 3e-16) WHERE name = 'fit/accuracy'")  # the last bit
    edit(home, "UPDATE metrics SET parameters = '{\"nonsense\": 1}' WHERE name = 'quant/bytes'")
    edit(home, "UPDATE metrics SET function = 'guess' WHERE name = 'settle/accuracy'")
    done = forge(home, "validate", "--recompute", "newest", "--json")
    assert done.code == 1
    found = last_json(done)
    assert not found["success"]
    rows = {row["name"]: row for row in found["wrong"]}
    assert set(rows) == {*TAMPERED, "fit/accuracy", "quant/bytes", "settle/accuracy"}
    for name in TAMPERED:
        assert "the registry says" in rows[name]["reason"]
        assert rows[name]["kept"] == TAMPERED[name] != rows[name]["computed"]
    assert "nonsense" in rows["quant/bytes"]["reason"]
    assert rows["settle/accuracy"]["reason"] == "there is no measure guess"


def test_damaged_and_missing_objects_are_named(forged: Forged, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    with Registry.open(home) as registry:
        (model,) = registry.promoted()
        adopted = registry.models(phase="adopt")[0]
    assert model.image is not None
    assert adopted.image is not None
    assert adopted.image != model.image
    object_path(home, adopted.image).unlink()
    path = object_path(home, model.image)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    done = forge(home, "validate", "--recompute", "newest")
    assert done.code == 1
    said = {line.split(": ")[1]: line for line in done.errors}
    for name, key in (
        (f"image of {model.id}", model.image), ("pack/final_bytes", model.image),
        (f"image of {adopted.id}", adopted.image),
    ):  # fmt: skip
        assert key in said[name]
    assert "is damaged" in said["pack/final_bytes"]
    assert f"{len(said)} wrong" in done.out.splitlines()[-1]


def test_a_measure_is_of_objects_and_parameters_alone(forged: Forged) -> None:
    """The registry names no function that is not there, and none that was never called."""
    with sqlite3.connect(forged.home / "registry.db") as db:
        names = {row[0] for row in db.execute("SELECT DISTINCT function FROM metrics")}
    db.close()
    assert names - {"clock", "host", "board"} <= set(measures.MEASURES)
