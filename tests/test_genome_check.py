"""Findings of `check`, one genome each; the pictures and texts of `show`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from genomes import FUNCTION, REAL, area, genome, rule, vectors

from espike.genome import check, develop, from_json, new, read, show, text
from espike_sim.errors import EspikeError

HERE = {"here": vectors([0, 0, 0])}


def chain(**genes: Any) -> dict[str, Any]:
    """Input -> middle -> output, with which nothing is wrong; genes are the middle's."""
    return genome(
        area("i_____", (2, 1, 1), {"c_____": [rule("here")]}, _group="IPU"),
        area("c_____", (2, 1, 1), {"o_____": [rule("here")]}, **genes),
        area("o_____", (2, 1, 1), _group="OPU"),
        morphologies=dict(HERE),
    )


def found(made: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(f.severity, f.path, f.text) for f in check(from_json(made))]


def test_nothing_wrong() -> None:
    assert check(from_json(chain())) == []


C = "blueprint._____10c-c_____"


@pytest.mark.parametrize(
    ("genes", "severity", "path", "says"),
    [
        ({"fire_t": 0}, "warning", C, "threshold 0 is met at rest"),
        ({"fire_t": 2, "ftincx": -3}, "warning", C, "threshold -1 is met at rest"),
        ({"fire_t": 2, "ftincx": 9, "fthlim": 10}, "error", C, "the limit 10 lies below the threshold 11"),
        ({"excite": 0}, "warning", C, "excitability 0, so it never fires"),
        ({"snooze": 3}, "warning", C, "snooze 3 without a consecutive fire limit does nothing"),
        ({"leak_c": 0.5}, "warning", C, "leak 0.5 does nothing, its charge does not accumulate"),
        ({"leak_c": 5, "mp_acc": True}, "warning", f"{C}-nx-leak_c-f", "leak 5 is clamped to 1"),
        ({"memory": True}, "warning", C, "memory is not developed"),
        ({"pstcr_": 0}, "warning", f"{C}-cx-dstmap-d.o_____[0]", "its weights are 0"),
    ],
)
def test_findings_of_an_area(genes: dict[str, Any], severity: str, path: str, says: str) -> None:
    findings = found(chain(**genes))
    assert [(s, p) for s, p, _ in findings] == [(severity, path)]
    assert says in findings[0][2]


@pytest.mark.parametrize(
    ("target", "a_rule", "severity", "says"),
    [
        ("x_____", rule("here"), "error", "there is no area x_____"),
        ("o_____", rule("there"), "error", "morphology there is not defined"),
        ("o_____", rule("tile"), "warning", "its kind, composite, is not grown"),
        ("o_____", rule("randomizer"), "warning", "grows with extended"),
        ("o_____", rule("far"), "warning", "grows no synapse"),
        ("o_____", rule("here", 0), "warning", "its weights are 0"),
        ("o_____", rule("here", 300), "warning", "multiplier 300 is clamped to 255"),
    ],
)
def test_findings_of_a_rule(target: str, a_rule: list[Any], severity: str, says: str) -> None:
    made = chain()
    mappings = made["blueprint"]["_____10c-c_____-cx-dstmap-d"]
    mappings[target] = [*mappings.get(target, []), a_rule]
    made["neuron_morphologies"] |= {"tile": {"type": "composite"}, "randomizer": FUNCTION, "far": vectors([9, 0, 0])}
    findings = check(from_json(made))
    assert [f.severity for f in findings] == [severity]
    assert says in findings[0].text
    assert findings[0].path.startswith(f"blueprint._____10c-c_____-cx-dstmap-d.{target}[")


def test_areas_on_no_path() -> None:
    made = genome(
        area("i_____", (1, 1, 1), {"c_____": [rule("here")]}, _group="IPU"),
        area("c_____", (1, 1, 1)),
        area("d_____", (1, 1, 1), {"o_____": [rule("here")]}),
        area("o_____", (1, 1, 1), _group="OPU"),
        area("e_____", (1, 1, 1)),
        morphologies=HERE,
    )
    assert [t for _, _, t in found(made)] == [
        "area c_____: it reaches nothing",
        "area d_____: nothing reaches it",
        "area e_____: no synapse touches it",
    ]


def test_names_and_core_areas_given_twice() -> None:
    made = chain(__name="i_____") | {}
    made["blueprint"] |= area("_power", (1, 1, 1)) | area("___pwr", (1, 1, 1))
    texts = [t for _, _, t in found(made)]
    assert texts[0].startswith("area _power: there are two power areas")
    assert "area c_____: the name i_____ is shared by i_____, c_____" in texts


def test_a_file_with_stray_keys(tmp_path: Path) -> None:
    made = chain()
    made["blueprint"] |= {
        "_____10b-_____s-__-__name-t": "smart_car",
        "_____10c-x_____-nx-fire_t-f": 3,
        "_____10c-c_____-nx-fire_q-f": 3,
    }
    path = tmp_path / "g.json"
    path.write_text(json.dumps(made))
    assert [(f.path, f.text) for f in check(path)] == [
        ("blueprint._____10b-_____s-__-__name-t", "the key belongs to no area"),
        ("blueprint._____10c-x_____-nx-fire_t-f", "the key belongs to no area: x_____ has no size"),
        ("blueprint._____10c-c_____-nx-fire_q-f", "the gene fire_q is unknown"),
    ]


def test_a_file_that_is_no_genome_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(json.dumps(chain() | {"physiology": {"quantization_precision": "int4"}}))
    (finding,) = check(path)
    assert (finding.severity, finding.path) == ("error", "physiology.quantization_precision")
    assert str(finding) == (
        'error: physiology.quantization_precision: precision "int4" is unknown; write fp32, fp16 or int8'
    )
    with pytest.raises(EspikeError, match="cannot read"):
        check(tmp_path / "none.json")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_real_genomes_have_no_errors() -> None:
    files = sorted(REAL.glob("*.json"))
    assert len(files) == 10
    for file in files:
        assert not [f for f in check(file) if f.severity == "error"], file
    pong = [f.text for f in check(REAL / "community_pong.json")]
    assert "mapping o__mot -> i__acc, rule move_right: grows no synapse" in pong


def test_text() -> None:
    lines = text(develop(from_json(chain(_n_cnt=2, __name="Middle"))))
    assert lines[0] == "11 neurons, 6 synapses, 6 areas"
    assert lines[2] == "i_____    IPU     2 x 1 x 1 = 2 neurons"
    assert lines[3] == "          -> c_____    2 synapses  here"
    assert lines[5] == "c_____    CUSTOM  2 x 1 x 1 x 2 = 4 neurons  Middle"
    assert lines[-4] == "touched by no synapse:"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    made = [from_json(chain()), from_json(new("reservoir")), from_json(genome(area("a_____", (1, 1, 1))))]
    if REAL.is_dir():
        made.append(read(REAL / "community_gesture.json"))
    for g in made:
        show(develop(g), tmp_path / f"picture{suffix}", "A $title")
        assert (tmp_path / f"picture{suffix}").stat().st_size > 1000


def test_pictures_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c = develop(from_json(chain()))
    with pytest.raises(EspikeError, match="is no picture file"):
        show(c, tmp_path / "picture.txt")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EspikeError, match=r"install espike\[plot\]"):
        show(c, tmp_path / "picture.png")
