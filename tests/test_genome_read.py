"""Every form of a genome file is read into one model, and everything else is refused in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from genomes import FUNCTION, REAL, area, genome, patterns, rule, vectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espike.genome import develop, from_json, parse, read
from espike.genome.model import Plasticity
from espike_sim.errors import EspikeError

SPECIFICATION: dict[str, Any] = {
    "genome_version": "2.0",
    "physiology": {
        "quantization": {
            "precision": "int8",
            "ranges": {"membrane_potential_min": -100.0, "membrane_potential_max": 50.0, "threshold_max": 100.0},
            "validation": {"strict_bounds": True, "log_quantization_loss": True},
        }
    },
    "blueprint": {
        "cortical_areas": {
            "visual_cortex": {"neuron_count": 10000, "parameters": {"threshold": 50.0, "leak_coefficient": 0.97}}
        }
    },
}


def two_areas(**physiology: Any) -> dict[str, Any]:
    return genome(
        area("a_____", (2, 2, 1), {"b_____": [rule("v")]}, leak_c=0.25),
        area("b_____", (3, 1, 1)),
        morphologies={"v": vectors([0, 0, 0])},
        **physiology,
    )


def test_every_gene() -> None:
    made = genome(
        area(
            "a_____", (2, 3, 4), None, _n_cnt=2, fire_t=1.5, ftincx=0.1, ftincy=0.2, ftincz=0.3, fthlim=9, leak_c=0.25,
            refrac=3, c_fr_c=4, snooze=5, excite=0.5, mp_acc=True, pstcr_=7, pspuni=True, mp_psp=True,
            __name="Eye", _group="ipu", rcordx=1, rcordy=-2, rcordz=3,
        )
    )  # fmt: skip
    a = from_json(made).areas[0]
    assert (a.id, a.name, a.group, a.dimensions, a.neurons_per_voxel, a.count) == (
        "a_____",
        "Eye",
        "IPU",
        (2, 3, 4),
        2,
        48,
    )
    assert (a.threshold, a.threshold_increment, a.limit, a.leak) == (1.5, (0.1, 0.2, 0.3), 9, 0.25)
    assert (a.refractory, a.fire_limit, a.snooze, a.excitability) == (3, 4, 5, 0.5)
    assert (a.accumulate, a.psp, a.psp_uniform, a.psp_driven) == (True, 7, True, True)
    assert a.relative_coordinate == (1, -2, 3)


def test_absent_genes_take_the_defaults() -> None:
    a = from_json(genome(area("a_____", (1, 1, 1)))).areas[0]
    assert (a.threshold, a.limit, a.leak, a.refractory, a.fire_limit, a.snooze) == (1, 0, 0, 0, 0, 0)
    assert (a.excitability, a.accumulate, a.psp, a.psp_uniform, a.neurons_per_voxel) == (1, False, 1, False, 1)


@pytest.mark.parametrize("suffix", ["i", "f"])
def test_snooze_is_read_in_either_spelling(suffix: str) -> None:
    made = genome(area("a_____", (1, 1, 1)))
    made["blueprint"][f"_____10c-a_____-nx-snooze-{suffix}"] = 6
    assert from_json(made).areas[0].snooze == 6


def test_clamps_are_said() -> None:
    made = genome(
        area("a_____", (1, 1, 1), {"a_____": [["v", [1, 1, 1], -300.5, False]]}, leak_c=10, pstcr_=300),
        area("b_____", (1, 1, 1), leak_c=-1, pstcr_=2.75),
        area("c_____", (1, 1, 1), {"a_____": [["v", [1, 1, 1], -0.5, False]]}, refrac=70000),
        morphologies={"v": vectors([0, 0, 0])},
    )
    g = from_json(made)
    assert [a.leak for a in g.areas] == [1, 0, 0]
    assert [a.psp for a in g.areas] == [255, 2, 1]
    assert [r.multiplier for r in g.rules] == [-255, -0.5]
    assert [str(note) for note in g.notes] == [
        "area a_____: leak 10 is clamped to 1",
        "area a_____: psp 300 is clamped to 255",
        "area b_____: leak -1 is clamped to 0",
        "area b_____: psp 2.75 is truncated to 2",
        "area c_____: refractory period 70000 is clamped to 65535",
        "mapping a_____ -> a_____, rule v: multiplier -300.5 is clamped to -255",
    ]
    assert g.notes[0].path == "blueprint._____10c-a_____-nx-leak_c-f"


@pytest.mark.parametrize(
    ("value", "read_as", "notes"), [(0, 0, 0), (0.5, 0.5, 0), (1, 1, 0), (50, 1, 1), (100, 1, 0), (-3, 0, 0)]
)
def test_excitability_units(value: float, read_as: float, notes: int) -> None:
    g = from_json(genome(area("a_____", (1, 1, 1), excite=value)))
    assert (g.areas[0].excitability, len(g.notes)) == (read_as, notes)


@pytest.mark.parametrize(("value", "read_as"), [(0, 0), (3, 3), (65534, 65534), (65535, 0), (1000000, 0)])
def test_fire_limit_off(value: int, read_as: int) -> None:
    assert from_json(genome(area("a_____", (1, 1, 1), c_fr_c=value))).areas[0].fire_limit == read_as


@pytest.mark.parametrize("entries", range(1, 10))
def test_array_rules_have_4_to_8_entries(entries: int) -> None:
    whole = ["v", [1, 1, 1], -2.5, True, 1, 2, 3, 4, 5]
    made = genome(area("a_____", (1, 1, 1), {"a_____": [whole[:entries]]}), morphologies={"v": vectors([0, 0, 0])})
    if 4 <= entries <= 8:
        found = from_json(made).rules[0]
        said = {4: {}, 5: {"constant": 1}, 6: {"ltp_multiplier": 2}, 7: {"ltd_multiplier": 3}, 8: {"window": 4}}
        plastic = Plasticity(**{k: v for n, given in said.items() if n <= entries for k, v in given.items()})
        assert (found.multiplier, found.plastic, found.attractivity) == (-2.5, plastic, 100)
    else:
        with pytest.raises(EspikeError, match=r"blueprint\._____10c-a_____-cx-dstmap-d\.a_____\S*: the rule has"):
            from_json(made)


def test_object_rules() -> None:
    full = {
        "morphology_id": "v",
        "postSynapticCurrent_multiplier": 0.5,
        "plasticity_flag": True,
        "synapse_attractivity": 40,
        "plasticity_window": 5,
        "delay": 7,
    }
    made = genome(area("a_____", (1, 1, 1), {"a_____": [full, {"morphology_id": "v"}]}), morphologies={"v": vectors()})
    a, b = from_json(made).rules
    assert (a.multiplier, a.plastic, a.attractivity, a.delay) == (0.5, Plasticity(window=5), 40, 7)
    assert (b.multiplier, b.plastic, b.attractivity, b.delay) == (1, None, 100, 1)


def test_older_forms() -> None:
    """The 10b prefix, kinds as the only key, one bare pair, keys of another scope or suffix, a delay at the top."""
    made = {
        "version": "2.0",
        "burst_delay": 1,
        "neuron_morphologies": {
            "placeholder": {},
            "block": {"vectors": [[0, 0, 0]]},
            "one": {"vectors": [1, 0, 0]},
            "pairs": {"patterns": [[[0, 0, 0], [1, 0, 0]], [["*", 0, 0], ["?", 0, 0]]]},
            "pair": {"patterns": [["*", "*", "*"], ["*", "?", "*"]]},
            "expander_x": {"functions": True},
        },
        "blueprint": {
            "_____10b-_____s-__-__name-t": "smart_car",
            "_____10b-i__inf-cx-__name-t": "ir",
            "_____10b-i__inf-nx-___bbx-i": 3,
            "_____10b-i__inf-nx-___bby-i": 1,
            "_____10b-i__inf-nx-___bbz-i": 1,
            "_____10b-i__inf-cx-_n_cnt_i": 2,
            "_____10b-i__inf-cx-pstcr_-f": -500,
            "_____10b-i__inf-cx-dstmap-d": {"i__inf": [["block", [1, 1, 1], 1, False]]},
        },
    }
    g = from_json(made)
    assert [(a.id, a.name, a.count, a.psp) for a in g.areas] == [("i__inf", "ir", 6, 0)]
    assert g.timestep_s == 1
    assert g.morphologies["one"].vectors == ((1, 0, 0),)
    assert len(g.morphologies["pairs"].patterns) == 2
    assert g.morphologies["pair"].patterns == ((("*", "*", "*"), ("*", "?", "*")),)
    assert [g.morphologies[n].kind for n in ("placeholder", "block", "expander_x")] == [
        "without a kind",
        "vectors",
        "function",
    ]
    assert develop(g).synapses == 6


@pytest.mark.parametrize(
    ("physiology", "precision"),
    [
        ({}, "fp32"),
        ({"quantization_precision": "f16"}, "fp16"),
        ({"quantization_precision": "HALF"}, "fp16"),
        ({"quantization": {"precision": "i8"}}, "int8"),
        ({"quantization": "float32"}, "fp32"),
        ({"quantization": {"precision": "int8"}, "quantization_precision": "i8"}, "int8"),
    ],
)
def test_precision(physiology: dict[str, Any], precision: str) -> None:
    assert from_json(two_areas(**physiology)).quantization.precision == precision


@pytest.mark.parametrize(
    ("physiology", "path"),
    [
        ({"quantization_precision": "int4"}, "physiology.quantization_precision"),
        ({"quantization": {"precision": "bf16"}}, "physiology.quantization.precision"),
        ({"quantization": {"precision": 8}}, "physiology.quantization.precision"),
        ({"quantization": {"precision": "int8"}, "quantization_precision": "fp32"}, "quantization_precision"),
    ],
)
def test_unknown_precision_names_its_field(physiology: dict[str, Any], path: str) -> None:
    with pytest.raises(EspikeError, match=path):
        from_json(two_areas(**physiology))


@pytest.mark.parametrize("name", ["simulation_timestep", "burst_delay"])
def test_timestep(name: str) -> None:
    assert from_json(two_areas(**{name: 0.025})).timestep_s == 0.025


def test_specification_shape() -> None:
    g = from_json(SPECIFICATION)
    a = g.areas[0]
    assert (a.id, a.count, a.threshold, a.accumulate) == ("visual_cortex", 10000, 50, True)
    assert a.leak == pytest.approx(0.03)
    assert (g.quantization.precision, g.quantization.strict_bounds) == ("int8", True)
    assert g.quantization.ranges["membrane_potential_min"] == -100
    assert develop(g).neurons == 10003


def test_specification_mappings_and_morphologies() -> None:
    made = {
        "blueprint": {
            "cortical_areas": {
                "in": {"cortical_id": "in_1", "cortical_neuron_count": 4, "dimensions": {"x": 2, "y": 2, "z": 1},
                       "morphology_id": "lif",
                       "cortical_mapping_dstn": {
                           "out": {"cortical_mapping_type": "fully_connected", "postsynaptic_current": 12}}},
                "out": {"neuron_count": 3, "cortical_mapping_dstn": {"in_1": "one_to_one"}},
            }
        },
        "morphologies": {"lif": {"parameters": {
            "firing_threshold_starting_value": 50, "leak_coefficient": 0.75, "firing_threshold_limit": 100,
            "refractory_period": 2, "postsynaptic_current": 255, "mp_charge_accumulation": False}}},
    }  # fmt: skip
    c = develop(from_json(made))
    assert [(a.id, a.count) for a in c.areas[3:]] == [("in_1", 4), ("out", 3)]
    assert (c.threshold[3], c.limit[3], c.refractory[3], c.leak[3]) == (50, 100, 2, 0.25)
    assert c.source.tolist() == [3] * 3 + [4] * 3 + [5] * 3 + [6] * 3 + [7, 8]
    assert c.weight.tolist() == [4.0] * 12 + [1.0, 1.0]


def test_what_is_not_used_is_said() -> None:
    made = copy.deepcopy(SPECIFICATION)
    visual = made["blueprint"]["cortical_areas"]["visual_cortex"]
    visual["cortical_synapses_per_neuron"] = 10
    visual["parameters"] |= {"leak_variability": 0, "degeneracy": 1}
    assert [str(note) for note in from_json(made).notes] == [
        "area visual_cortex: cortical_synapses_per_neuron 10 is not used",
        "area visual_cortex: parameter degeneracy 1 is not used",
    ]
    flat = from_json(genome(area("a_____", (1, 1, 1), synatt=20)))
    assert [str(note) for note in flat.notes] == ["area a_____: synatt 20 is not used, rules have their own"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is no JSON"),
        (b"{", "line 1, column 2"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[1, 2]", "no genome"),
        (b"{}", "no genome"),
        (b'{"blueprint": {}}', "no area"),
        (b'{"blueprint": {"x": NaN}}', "NaN"),
        (b"[" * 100000, "nested too deep"),
        (b"9" * 5000, "too many digits"),
        (b'{"version": "4.0", "blueprint": {"_____10c-a_____-cx-___bbx-i": 1}}', "version 4.0"),
        (b'{"version": "3.0", "blueprint": {"_____10c-a_____-cx-___bbx-i": 1}}', "has no ___bby"),
        (b'{"version": "3.0", "blueprint": {"Y19fX2F": {"cortical_name": "a"}}}', "no block_boundaries"),
        (b'{"version": "2.1", "blueprint": {"c": {"block_boundaries": [1, 1]}}}', "has 2 entries, expected 3"),
        (
            b'{"version": "2.1", "blueprint": {"c": {"block_boundaries": [1, 1, 1]}, "d": {}}}',
            "area d has no block_boundaries",
        ),
        (b'{"version": "2.1", "blueprint": {"c__lef": {"cortical_name": "a"}}}', "hierarchical"),
    ],
)
def test_what_is_no_genome(text: bytes, says: str) -> None:
    with pytest.raises(EspikeError, match=says) as caught:
        parse(text, "file.json")
    assert str(caught.value).startswith("file.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("x", [0, -1, 2**31, 1.5, "4", True, 1e999])
def test_sizes_that_do_not_fit(x: Any) -> None:
    made = two_areas()
    made["blueprint"]["_____10c-a_____-cx-___bbx-i"] = x
    with pytest.raises(EspikeError, match=r"blueprint\._____10c-a_____-cx-___bb|area a_____"):
        from_json(made)


def test_total_beyond_2_to_the_31() -> None:
    big = genome(area("a_____", (2**30, 1, 1)), area("b_____", (2**30, 1, 1)))
    with pytest.raises(EspikeError, match="2147483648 neurons"):
        from_json(big)
    with pytest.raises(EspikeError, match="do not fit in memory"):
        develop(from_json(genome(area("a_____", (2**30, 1, 1)))))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EspikeError, match="No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(EspikeError, match="cannot read"):
        read(tmp_path)


def test_a_file_with_a_key_twice(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    text = json.dumps(two_areas())
    path.write_text(text.replace('"version": "2.0"', '"version": "1.0", "version": "2.0"'))
    g = read(path)
    assert "version appears twice" in str(g.notes[0])
    assert len(g.hash) == 64


FULL = genome(
    area("_power", (1, 1, 1), {"a_____": [rule("fan")]}),
    area("a_____", (3, 2, 1), {"b_____": [rule("projector", 2), ["v", [1, 1, 1], -1.5, True, 1, 1, 1]]}, _n_cnt=2),
    area("b_____", (2, 2, 2), {"a_____": [{"morphology_id": "p", "synapse_attractivity": 50}]}, leak_c=0.5, excite=0.5),
    morphologies={
        "v": vectors([0, 0, 0], [1, 0, 0]),
        "p": patterns([["*", 0, "?"], ["!", "?", 0]], [[0, 0, 0], [1, 1, 0]]),
        "fan": patterns([[0, 0, 0], ["*", "*", "*"]]),
        "projector": FUNCTION,
    },
    simulation_timestep=0.01,
    quantization={"precision": "int8", "ranges": {"threshold_min": 0}, "validation": {"strict_bounds": False}},
)
STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 9),
    st.sampled_from([2**31, -(2**63), 10**30, 1e300, 1e999, 0.5, "", "*"]),
    st.text(max_size=4), st.just([]), st.just({}), st.just([[0, 0, 0]]), st.just({"a_____": [["v", [1, 1, 1], 1, 0]]}),
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value below."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_genomes_raise_only_one_line_errors(data: st.DataObject) -> None:
    made = copy.deepcopy(data.draw(st.sampled_from([FULL, SPECIFICATION])))
    for _ in range(data.draw(st.integers(1, 3))):
        spots = places(made)
        if not spots:
            break
        container, key = spots[data.draw(st.integers(0, len(spots) - 1))]
        if data.draw(st.booleans()):
            del container[key]
        else:
            container[key] = copy.deepcopy(data.draw(STRANGE))
    said = ""
    try:
        develop(parse(json.dumps(made).encode()), memory_bytes=1 << 22)
    except EspikeError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
@pytest.mark.parametrize(
    ("name", "areas", "neurons", "rules", "precision"),
    [
        ("barebones_genome", 2, 2, 0, "fp32"),
        ("test_genome", 2, 12289, 0, "fp32"),
        ("essential_genome", 24, 55357, 18, "fp16"),
        ("vision_genome", 25, 204862, 18, "fp32"),
        ("community_pong", 17, 56555, 14, "fp32"),
        ("community_gesture", 37, 8352, 29, "fp32"),
        ("community_turtlebot", 25, 14005, 18, "fp32"),
        ("community_pioneer2", 5, 223, 56, "fp32"),
        ("example_int8_genome", 2, 150, 1, "int8"),
        ("example_fp32_genome", 2, 150, 1, "fp32"),
    ],
)
def test_real_genomes(name: str, areas: int, neurons: int, rules: int, precision: str) -> None:
    g = read(REAL / f"{name}.json")
    assert (len(g.areas), sum(a.count for a in g.areas), len(g.rules)) == (areas, neurons, rules)
    assert g.quantization.precision == precision
