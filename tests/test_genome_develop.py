"""What grows, checked by hand for each rule and against a slow developer for random genomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slow_develop
from genomes import CORE_NEURONS, FUNCTION, REAL, area, genome, patterns, rule, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from espike.genome import develop, from_json, read, summary
from espike_sim.connectome import Connectome, load, save
from espike_sim.errors import EspikeError
from espike_sim.learning import Learning


def grow_pairs(
    morphology: dict[str, Any],
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    name: str = "m",
    extended: bool = False,
    **genes: Any,
) -> list[tuple[int, int]]:
    """(source, target) of what one rule grows from area a to area b, counted within their areas."""
    made = genome(
        area("a_____", source, {"b_____": [rule(name)]}, **genes),
        area("b_____", target, **genes),
        morphologies={name: morphology},
    )
    c = develop(from_json(made), extended=extended)
    a, b = c.areas[CORE_NEURONS:]
    return [(int(s) - a.first, int(t) - b.first) for s, t in zip(c.source, c.target, strict=True)]


def test_vectors_drop_what_is_out_of_bounds_and_doubles() -> None:
    assert grow_pairs(vectors([1, 0, 0], [0, 0, 0], [1, 0, 0]), (3, 1, 1), (3, 1, 1)) == [
        (0, 0), (0, 1), (1, 1), (1, 2), (2, 2),
    ]  # fmt: skip
    assert grow_pairs(vectors([-1, 1, 0]), (2, 2, 1), (2, 2, 1)) == [(2, 1)]
    assert grow_pairs(vectors(), (2, 1, 1), (2, 1, 1)) == []


def test_ids_run_through_z_first() -> None:
    assert grow_pairs(vectors([0, 0, 1]), (2, 1, 2), (2, 1, 2)) == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("source", "destination", "pairs"),
    [
        ([1, 0, 0], [2, 0, 0], [(1, 2)]),
        ([5, 0, 0], [2, 0, 0], []),
        ([0, 0, 0], [7, 0, 0], []),
        (["*", 0, 0], ["?", 0, 0], [(0, 0), (1, 1)]),
        (["!", "?", "*"], [0, 0, 0], [(0, 0), (1, 0)]),
        ([0, 0, 0], ["*", "*", "*"], [(0, 0), (0, 1), (0, 2)]),
        (["*", 0, 0], ["!", 0, 0], [(0, 1), (0, 2), (1, 0), (1, 2)]),
    ],
)
def test_patterns(source: list[Any], destination: list[Any], pairs: list[tuple[int, int]]) -> None:
    assert grow_pairs(patterns([source, destination]), (2, 1, 1), (3, 1, 1)) == pairs


def test_patterns_are_a_union() -> None:
    both = patterns([["*", 0, 0], [0, 0, 0]], [[0, 0, 0], ["*", 0, 0]], [[0, 0, 0], [1, 0, 0]])
    assert grow_pairs(both, (2, 1, 1), (2, 1, 1)) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("source", "target", "pairs"),
    [
        ((2, 1, 1), (4, 1, 1), [(0, 0), (0, 1), (1, 2), (1, 3)]),
        ((4, 1, 1), (2, 1, 1), [(0, 0), (1, 0), (2, 1), (3, 1)]),
        ((3, 1, 1), (3, 1, 1), [(0, 0), (1, 1), (2, 2)]),
        ((2, 1, 1), (3, 1, 1), [(0, 0), (0, 1), (1, 2)]),
        ((3, 1, 1), (2, 1, 1), [(0, 0), (1, 0), (2, 1)]),
        ((1, 2, 1), (2, 1, 2), [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]),
    ],
)
def test_projector(source: Any, target: Any, pairs: list[tuple[int, int]]) -> None:
    assert grow_pairs(FUNCTION, source, target, "projector") == pairs


def test_block_to_block_clamps_as_a_function_and_drops_as_vectors() -> None:
    assert grow_pairs(FUNCTION, (3, 1, 1), (2, 1, 1), "block_to_block") == [(0, 0), (1, 1), (2, 1)]
    assert grow_pairs(vectors([0, 0, 0]), (3, 1, 1), (2, 1, 1), "block_to_block") == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("name", "source", "target", "pairs"),
    [
        ("expander_x", (2, 1, 1), (4, 1, 1), [(0, 0), (1, 2)]),
        ("reducer_x", (4, 1, 1), (2, 1, 1), [(1, 0), (2, 1), (3, 0), (3, 1)]),
        ("lateral_pairs_x", (3, 1, 1), (3, 1, 1), [(0, 1), (1, 0)]),
        ("last_to_first", (2, 2, 1), (2, 2, 1), [(3, 0)]),
    ],
)
def test_extended_functions(name: str, source: Any, target: Any, pairs: list[tuple[int, int]]) -> None:
    assert grow_pairs(FUNCTION, source, target, name) == []
    assert grow_pairs(FUNCTION, source, target, name, extended=True) == pairs


def test_randomizer_gives_each_neuron_one_target_and_depends_on_the_seed() -> None:
    pairs = grow_pairs(FUNCTION, (50, 1, 1), (7, 3, 2), "randomizer", extended=True)
    assert [s for s, _ in pairs] == list(range(50))
    assert len({t for _, t in pairs}) > 20
    assert grow_pairs(FUNCTION, (50, 1, 1), (7, 3, 2), "randomizer", extended=True) == pairs


def test_several_neurons_per_voxel_all_send_and_the_last_one_receives() -> None:
    assert grow_pairs(vectors([0, 0, 0]), (2, 1, 1), (2, 1, 1), _n_cnt=3) == [
        (0, 2), (1, 2), (2, 2), (3, 5), (4, 5), (5, 5),
    ]  # fmt: skip


def test_fan_out_divides_over_all_mappings_and_counts_a_pair_grown_twice() -> None:
    morphologies = {"one": vectors([0, 0, 0]), "both": patterns([[0, 0, 0], ["*", 0, 0]])}
    made = genome(
        area("a_____", (2, 1, 1), {"b_____": [rule("one", 2), rule("both")], "a_____": [rule("one", -0.5)]}, pstcr_=12),
        area("b_____", (2, 1, 1), {"a_____": [rule("one"), rule("one")]}, pstcr_=3, pspuni=True),
        morphologies=morphologies,
    )
    c = develop(from_json(made))
    found = list(zip(c.source.tolist(), c.target.tolist(), c.weight.tolist(), strict=True))
    assert found == [
        (3, 5, 6.0), (4, 6, 12.0),  # a -> b, one: neuron 3 has 4 synapses, neuron 4 has 2
        (3, 5, 3.0), (3, 6, 3.0),  # a -> b, both
        (3, 3, -1.5), (4, 4, -3.0),  # a -> a
        (5, 3, 3.0), (6, 4, 3.0), (5, 3, 3.0), (6, 4, 3.0),  # b -> a twice, uniform
    ]  # fmt: skip
    assert c.mapping_start.tolist() == [0, 2, 4, 6, 8, 10]


def test_threshold_increments_and_neuron_arrays() -> None:
    made = genome(
        area(
            "a_____", (2, 2, 2), fire_t=1, ftincx=10, ftincy=0.5, ftincz=0.25, _n_cnt=2, leak_c=0.3, refrac=2, fthlim=99
        )
    )
    c = develop(from_json(made))
    assert c.threshold[3::2].tolist() == [1, 1.25, 1.5, 1.75, 11, 11.25, 11.5, 11.75]
    assert np.array_equal(c.threshold[3::2], c.threshold[4::2])
    assert (c.limit[3], c.limit[0], c.leak[3], c.refractory[3]) == (99, np.inf, 0.3, 2)
    with pytest.raises(EspikeError, match="area a_____ has a threshold beyond float32"):
        develop(from_json(genome(area("a_____", (2, 1, 1), fire_t=3e38, ftincx=3e38))))


@pytest.mark.parametrize("power", ["_power", "___pwr"])
@pytest.mark.parametrize("death", ["_death", "___death"])
def test_core_areas_come_first(power: str, death: str) -> None:
    made = genome(area("a_____", (4, 1, 1)), area(power, (2, 1, 1)), area("b_____", (1, 1, 1)), area(death, (1, 1, 1)))
    c = develop(from_json(made))
    assert [a.id for a in c.areas] == [death, power, "_fatigue", "a_____", "b_____"]
    assert [a.first for a in c.areas] == [0, 1, 3, 4, 8]
    assert (c.power_neuron.tolist(), c.power_amount.tolist()) == ([1], [1.0])


def test_mappings_find_core_areas_and_padded_ids() -> None:
    made = genome(
        area("a_____", (1, 1, 1), {"___pwr": [rule("v")], "b_______": [rule("v")], "_fatig": [rule("v")]}),
        area("_power", (1, 1, 1)),
        area("b_____", (1, 1, 1)),
        morphologies={"v": vectors([0, 0, 0])},
    )
    c = develop(from_json(made))
    assert [(c.areas[m.source].id, c.areas[m.target].id) for m in c.mappings] == [
        ("a_____", "_power"), ("a_____", "b_____"), ("a_____", "_fatigue"),
    ]  # fmt: skip


def test_what_is_not_grown_is_said() -> None:
    names = ["tile", "memory", "projector_xy", "randomizer", "strange", "nothing", "far"]
    made = genome(
        area("a_____", (1, 1, 1), {"a_____": [rule(n) for n in names], "c_____": [rule("far")]}, mp_psp=True),
        area("b_____", (1, 1, 1), {"a_____": [rule("projector", 1, True)]}),
        morphologies={
            "tile": {"type": "composite", "parameters": {"src_seed": [16, 16, 1]}},
            "memory": FUNCTION, "projector_xy": FUNCTION, "randomizer": FUNCTION, "strange": FUNCTION,
            "far": vectors([9, 0, 0]),
        },
    )  # fmt: skip
    c = develop(from_json(made))
    a = "mapping a_____ -> a_____, rule"
    assert list(c.notes) == [
        f"{a} tile: not grown, its kind, composite, is not grown",
        f"{a} memory: not grown, memory areas are not developed",
        f"{a} projector_xy: not grown, FEAGI has this variant of projector and never uses it",
        f"{a} randomizer: not grown, FEAGI grows nothing for it (its described rule grows with extended)",
        f"{a} strange: not grown, there is no function strange",
        f"{a} nothing: not grown, morphology nothing is not defined",
        f"{a} far: grows no synapse",
        "mapping a_____ -> c_____, rule far: not grown, there is no area c_____",
    ]
    assert [m.rule for m in c.mappings] == ["far", "projector"]
    assert c.mappings[1].plastic
    with pytest.raises(EspikeError, match="there is no area c_____"):
        develop(from_json(made), strict=True)


def test_mp_driven_psp_leaves_the_psp_out() -> None:
    made = genome(
        area("a_____", (1, 1, 1), {"a_____": [rule("v", 3)]}, mp_psp=True, pstcr_=7),
        morphologies={"v": vectors([0, 0, 0])},
    )
    c = develop(from_json(made))
    assert (c.mappings[0].driven, c.weight.tolist(), c.notes) == (True, [3.0], ())


def test_plastic_rules_learn_in_weight_units() -> None:
    """psp 10, multiplier 3, constant 2, LTP 5, LTD 4, window 6: a weight unit is worth 10, or 5 where two share it."""
    entries = ["v", [1, 1, 1], 3, True, 2, 5, 4, 6]
    for uniform, unit in ((True, 10), (False, 5)):
        genes = {"pstcr_": 10, "pspuni": uniform}
        made = genome(
            area("a_____", (1, 1, 1), {"b_____": [entries, entries]}, **genes), area("b_____", (1, 1, 1)),
            morphologies={"v": vectors([0, 0, 0])},
        )  # fmt: skip
        c = develop(from_json(made))
        assert c.mappings[0].learning == Learning(6, 10 * unit, -8 * unit, 0, 255 * unit)
        assert c.weight.tolist() == [3 * unit] * 2
    negative = genome(
        area("a_____", (1, 1, 1), {"b_____": [["v", [1, 1, 1], -3, True]]}), area("b_____", (1, 1, 1)),
        morphologies={"v": vectors([0, 0, 0])},
    )  # fmt: skip
    assert develop(from_json(negative)).mappings[0].learning == Learning(1, -1, 1, -255, 0)


def test_attractivity_thins_by_the_hash() -> None:
    def grown(attractivity: float, seed: int = 0) -> Connectome:
        made = genome(
            area("a_____", (100, 1, 1), {"a_____": [{"morphology_id": "all", "synapse_attractivity": attractivity}]}),
            morphologies={"all": patterns([["*", "*", "*"], ["*", "*", "*"]])},
        )
        return develop(from_json(made), seed=seed)

    assert (grown(100).synapses, grown(0).synapses) == (10000, 0)
    assert 2800 < grown(30).synapses < 3200
    assert grown(30).hash == grown(30).hash
    assert not np.array_equal(grown(30).target[:100], grown(30, seed=1).target[:100])
    few, more = grown(30), grown(60)
    pairs = [set(zip(c.source.tolist(), c.target.tolist(), strict=True)) for c in (few, more)]
    assert pairs[0] < pairs[1]


def test_settings_reach_the_connectome_and_its_file(tmp_path: Any) -> None:
    made = genome(area("a_____", (1, 1, 1)), quantization_precision="i8", burst_delay=0.025)
    c = develop(from_json(made), candidates_only=False, power_amount=2.5, seed=7)
    assert (c.precision, c.timestep_s, c.candidates_only, c.power_amount[0], c.seed) == ("int8", 0.025, False, 2.5, 7)
    save(c, tmp_path / "c.npz")
    assert load(tmp_path / "c.npz").hash == c.hash
    with pytest.raises(EspikeError, match="seed"):
        develop(from_json(made), seed=-1)


def test_progress_counts_rules() -> None:
    made = genome(area("a_____", (1, 1, 1), {"a_____": [rule("v"), rule("v")]}), morphologies={"v": vectors([0, 0, 0])})
    calls: list[tuple[int, int, str]] = []
    develop(from_json(made), progress=lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(0, 2), (1, 2), (2, 2)]


def test_too_many_synapses_are_refused_before_they_are_listed() -> None:
    made = genome(
        area("a_____", (1000000, 1, 1), {"a_____": [rule("all")]}),
        morphologies={"all": patterns([["*", "*", "*"], ["!", "*", "*"]])},
    )
    with pytest.raises(EspikeError, match="999999000000 synapses do not fit in memory"):
        develop(from_json(made))


ELEMENT = st.one_of(st.integers(0, 3), st.sampled_from(["*", "?", "!"]))
TRIPLE = st.lists(ELEMENT, min_size=3, max_size=3)
MORPHOLOGY = st.one_of(
    st.builds(lambda v: vectors(*v), st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), max_size=4)),
    st.builds(lambda p: patterns(*p), st.lists(st.tuples(TRIPLE, TRIPLE).map(list), max_size=4)),
)
FUNCTION_NAMES = ["projector", "block_to_block", "expander_x", "reducer_x", "lateral_pairs_x", "last_to_first"]


@st.composite
def small_genomes(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.permutations(["a_____", "b_____", "_power", "c_____"]))[: draw(st.integers(1, 4))]
    morphologies = {f"m{i}": m for i, m in enumerate(draw(st.lists(MORPHOLOGY, max_size=3)))}
    morphologies |= dict.fromkeys(FUNCTION_NAMES, FUNCTION)
    a_rule = st.builds(rule, st.sampled_from(sorted(morphologies)), st.sampled_from([1, -2, 0.5, 0]))
    areas = []
    for name in names:
        mappings = draw(st.dictionaries(st.sampled_from(names), st.lists(a_rule, min_size=1, max_size=2), max_size=2))
        dims = draw(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)))
        genes = {"_n_cnt": draw(st.integers(1, 2)), "pstcr_": draw(st.integers(0, 9)), "pspuni": draw(st.booleans())}
        areas.append(area(name, dims, mappings, **genes, fire_t=2, ftincx=draw(st.integers(0, 1)), ftincz=0.5))
    return genome(*areas, morphologies=morphologies)


@settings(max_examples=150, deadline=None)
@given(small_genomes())
def test_the_slow_developer_grows_the_same(made: dict[str, Any]) -> None:
    neurons, thresholds, rules = slow_develop.develop(made)
    c = develop(from_json(made), extended=True)
    assert c.neurons == neurons
    assert c.threshold.tolist() == thresholds
    assert len(c.mappings) == len(rules)
    for m, expected in enumerate(rules):
        part = slice(int(c.mapping_start[m]), int(c.mapping_start[m + 1]))
        found = zip(c.source[part].tolist(), c.target[part].tolist(), c.weight[part].tolist(), strict=True)
        assert list(found) == expected


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
@pytest.mark.parametrize(
    ("name", "neurons", "synapses", "mappings"),
    [
        ("barebones_genome", 3, 0, 0),
        ("test_genome", 12288 + 3, 0, 0),
        ("essential_genome", 55356 + 3, 1552, 18),
        ("vision_genome", 204860 + 3, 2064, 18),
        ("community_pong", 56553 + 3, 442380, 14),
        ("community_gesture", 8351 + 3, 14758, 25),
        ("community_turtlebot", 14004 + 3, 400, 18),
        ("community_pioneer2", 221 + 3, 112, 56),
        ("example_int8_genome", 150 + 3, 5000, 1),
        ("example_fp32_genome", 150 + 3, 5000, 1),
    ],
)
def test_real_genomes_grow(name: str, neurons: int, synapses: int, mappings: int) -> None:
    c = develop(read(REAL / f"{name}.json"))
    s = summary(c)
    assert (s["neurons"], s["synapses"], len(s["mappings"])) == (neurons, synapses, mappings)
    assert s["core_neurons"] == CORE_NEURONS
    assert sum(m["synapses"] for m in s["mappings"]) == synapses
