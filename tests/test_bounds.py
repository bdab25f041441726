"""The genome's ranges: clamped and counted, or refused with area and value; the quantization report as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
from genomes import area, genome, patterns, rule

from espike.genome import develop, from_json
from espike.quantize import quantize, warnings
from espike_sim import connectome
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

ALL = patterns([["*", "*", "*"], ["*", "*", "*"]])


def grown(strict: bool = False, log: bool = False, precision: str = "int8", **ranges: float) -> Any:
    """Two areas: thresholds 20, 40, ... 100, and 50 with a limit of 90."""
    quantization = {
        "precision": precision,
        "ranges": ranges,
        "validation": {"strict_bounds": strict, "log_quantization_loss": log},
    }
    return genome(
        area("a_____", (5, 1, 1), {"b_____": [rule("all")]}, fire_t=20, ftincx=20),
        area("b_____", (3, 1, 1), fire_t=50, fthlim=90, pstcr_=5),
        morphologies={"all": ALL},
        quantization=quantization,
    )


def developed(**how: Any) -> Connectome:
    return develop(from_json(grown(**how)))


def test_values_outside_are_clamped_and_counted() -> None:
    q = quantize(developed(threshold_min=30, threshold_max=70, membrane_potential_max=80, membrane_potential_min=-80))
    rows = {row["area"]: row for row in q.report["areas"]}
    assert rows["a_____"]["thresholds_clamped"] == 3
    assert (rows["b_____"]["thresholds_clamped"], rows["b_____"]["limits_beyond_range"]) == (0, 3)
    assert "thresholds_clamped" not in rows["_power"]
    thresholds = (q.threshold * (q.scale / (1 << q.guard_bits.astype(int)))[q.area_of_neuron])[3:]
    assert np.allclose(thresholds, [30, 40, 60, 70, 70, 50, 50, 50], rtol=0.002)
    assert q.limit[-1] == 32767
    said = warnings(q.report)
    assert "area a_____: 3 thresholds lay outside the genome's range and were clamped to it" in said
    assert "area b_____: 3 limits lie above the genome's range of potentials and became none" in said


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"threshold_max": 70}, "area a_____: threshold 80 leaves -inf..70"),
        ({"threshold_min": 60}, "area a_____: threshold 20 leaves 60..inf"),
        ({"membrane_potential_max": 80}, "area b_____: limit 90 leaves the membrane's range, up to 80"),
    ],
)
def test_strict_bounds_name_area_and_value(ranges: dict[str, float], says: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(json.dumps(grown(strict=True, **ranges)))
    for path in ("g.json", "g.npz"):
        if path == "g.npz":
            assert command.run("grow", "g.json", "-o", "g.npz", cwd=tmp_path).code == 0
        done = command.run("pack", path, "-o", "g.spk", cwd=tmp_path)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert says in done.err
    assert not (tmp_path / "g.spk").exists()


def test_what_lies_inside_and_fp32_are_left_alone() -> None:
    inside = {"threshold_min": 20, "threshold_max": 100, "membrane_potential_min": -100, "membrane_potential_max": 100}
    q = quantize(developed(strict=True, **inside))
    plain = quantize(developed())
    assert q.report["areas"][-2]["thresholds_clamped"] == 0
    assert np.array_equal(q.threshold, plain.threshold)
    exact = quantize(developed(strict=True, precision="fp32", threshold_max=30))
    assert exact.threshold[7] == 100


def test_a_wide_range_of_potentials_takes_resolution() -> None:
    plain, wide = quantize(developed()), quantize(developed(membrane_potential_min=-700, membrane_potential_max=50))
    unit = [q.report["areas"][-1]["unit"] for q in (plain, wide)]
    assert unit[1] == 4 * unit[0]
    assert 32767 * unit[1] >= 700 > 32767 * unit[1] / 2


def test_ranges_travel_with_the_connectome(tmp_path: Path) -> None:
    made = developed(strict=True, log=True, threshold_max=100)
    connectome.save(made, tmp_path / "c.npz")
    read = connectome.load(tmp_path / "c.npz")
    assert read.quantization == made.quantization
    assert read.hash == made.hash != developed().hash
    assert developed().quantization.as_json() == {}


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"threshold_min": 5, "threshold_max": 4}, "threshold_min 5 is above threshold_max 4"),
        ({"membrane_potential_min": 5}, "leaves out 0"),
    ],
)
def test_ranges_must_make_sense(ranges: dict[str, float], says: str) -> None:
    with pytest.raises(EspikeError, match=says):
        from_json(grown(**ranges))


@pytest.mark.parametrize("how", ["option", "genome"])
def test_the_report_is_printed(how: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(json.dumps(grown(log=how == "genome", threshold_max=70)))
    done = command.run("pack", "g.json", *(["--report"] if how == "option" else []), cwd=tmp_path)
    assert done.code == 0
    assert "quantization report, int8" in done.out
    assert all(word in done.out for word in ("clamped", "weak", "a_____", "b_____"))
    assert "2 thresholds lay outside" in done.err
    report = command.run("pack", "g.json", "--json", cwd=tmp_path).json["report"]
    fields = {"scale", "guard_bits", "shifts", "weight_error", "weight_error_rms", "thresholds_clamped", "weights_lost"}
    assert fields <= set(report["areas"][-1])
