"""What phases are made of: merges, statistics, shrinking, behaviour, each by what must hold of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from espike import selftest, train
from espike.forge import behaviour, config, merge, shrink, statistics
from espike.forge.context import Context
from espike.forge.registry import Registry
from espike.forge.rounded import dequantized, with_bits
from espike.forge.subject import Subject
from espike.forge.tasks import suite
from espike.quantize import quantize
from espike_sim import connectome
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DIGITS = EXAMPLES / "digits" / "digits.npz"


@pytest.fixture(scope="module")
def data() -> train.Data:
    return train.load(DIGITS)


@pytest.fixture(scope="module")
def trained() -> Connectome:
    return connectome.load(EXAMPLES / "digits" / "digits.connectome.npz")


def built(data: train.Data, seed: int, *, recurrent: bool = False) -> Connectome:
    return train.build(train.Design(hidden=(16,), recurrent=recurrent), data, seed)


def subject(c: Connectome, precision: str = "fp32") -> Subject:
    return Subject(selftest.pack(quantize(c, precision)).data)


def test_a_network_s_own_bits_hold_in_training(trained: Connectome, tmp_path: Path) -> None:
    """Also where a phase asks for none, or for more."""
    asked = config.parse('[run]\nsuite = "digits"\nname = "bits"\n[train]\nexamples = 64\nvalidation = 64\n', "here")
    few = with_bits(trained, 4)
    with Registry.open(tmp_path / "home") as registry:
        run = registry.run_begin("bits", "", 0, "")
        context = Context(registry, asked, suite("digits"), run, "fit", ())
        data = context.all_examples("train"), context.all_examples("val")
        for bits, widths in ((None, {4}), (8, {4}), (3, {3})):
            made = context.trained("few", context.put_master(few), data, context.schedule(1, 1e-3), bits=bits)
            c = context.master(made.outputs["master"])
            assert set(c.quantization.bits.values()) == widths
            assert len(np.unique(c.weight[c.target == c.target[-1]])) <= 2 ** max(widths)


# ---- merges


def test_linear_and_slerp_begin_and_end_at_the_parents(data: train.Data) -> None:
    a, b = built(data, 0), built(data, 1)
    for operator in (merge.linear, merge.slerp):
        assert np.array_equal(operator(a, b, 0.0).weight, a.weight)
        assert np.allclose(operator(a, b, 1.0).weight, b.weight, atol=1e-6)
    assert np.allclose(merge.linear(a, b, 0.25).weight, 0.75 * a.weight + 0.25 * b.weight, atol=1e-6)
    half = merge.slerp(a, b, 0.5)
    part = slice(0, int(a.mapping_start[1]))
    lengths = [np.linalg.norm(c.weight[part]) for c in (a, b, half)]
    assert lengths[2] == pytest.approx((lengths[0] + lengths[1]) / 2, rel=1e-5)
    same = merge.slerp(a, a, 0.3)
    assert np.allclose(same.weight, a.weight, atol=1e-6)


def test_ties_of_equal_networks_is_that_network(data: train.Data) -> None:
    root, a = built(data, 0), built(data, 1)
    assert np.allclose(merge.ties(root, [a, a, a], density=1.0).weight, a.weight, atol=1e-6)
    assert np.array_equal(merge.ties(root, [root, root]).weight, root.weight)
    half = merge.ties(root, [a], density=0.5).weight != root.weight
    assert 0.45 < half.mean() < 0.55


def test_ties_takes_the_sign_that_weighs_more(data: train.Data) -> None:
    root = built(data, 0)
    up, down = (replace(root, weight=root.weight + np.float32(d)) for d in (1.0, -0.25))
    assert np.allclose(merge.ties(root, [up, down], density=1.0).weight, up.weight, atol=1e-5)


def test_dare_is_unbiased(data: train.Data) -> None:
    root, a = built(data, 0), built(data, 1)
    change = a.weight - root.weight
    rng = np.random.default_rng(5)
    draws = np.array([merge.dare(root, [a], rng, drop=0.5).weight - root.weight for _ in range(200)])
    error = draws.mean(axis=0) - change
    deviation = np.abs(change) / np.sqrt(200)  # of a mean of 200 draws of 0 or twice the change
    assert np.mean(np.abs(error) <= 3 * deviation + 1e-6) > 0.99
    assert np.allclose(merge.dare(root, [a], rng, drop=0.0).weight, a.weight, atol=1e-6)
    with pytest.raises(EspikeError, match="cannot be dropped"):
        merge.dare(root, [a], rng, drop=1.0)


def test_area_swap_takes_what_leads_into_an_area(data: train.Data) -> None:
    a, b = built(data, 0), built(data, 1)
    made = merge.area_swap(a, b, ["hidden"])
    cut = int(a.mapping_start[1])
    assert np.array_equal(made.weight[:cut], b.weight[:cut])
    assert np.array_equal(made.weight[cut:], a.weight[cut:])
    both = merge.area_swap(made, b, ["out"])
    assert np.array_equal(both.weight, b.weight)
    with pytest.raises(EspikeError, match="no such area: nose"):
        merge.area_swap(a, b, ["nose"])


def test_projection_insertion_adds_what_is_missing(data: train.Data) -> None:
    a, b = built(data, 0), built(data, 1, recurrent=True)
    made = merge.projection_insertion(a, b, 0.5)
    assert len(made.mappings) == len(b.mappings) == len(a.mappings) + 1
    assert merge.topology(made) == merge.topology(b)
    new = next(i for i, m in enumerate(made.mappings) if m.source == m.target)
    part = slice(int(made.mapping_start[new]), int(made.mapping_start[new + 1]))
    assert np.allclose(made.weight[part], 0.5 * b.weight[part])
    assert merge.projection_insertion(b, a) is b
    train.of(made, "made")


def test_other_topologies_are_refused(data: train.Data) -> None:
    a, b = built(data, 0), built(data, 1, recurrent=True)
    assert merge.topology(a) != merge.topology(b)
    with pytest.raises(EspikeError, match="different topologies"):
        merge.linear(a, b)
    wide = train.build(train.Design(hidden=(17,)), data, 0)
    with pytest.raises(EspikeError, match="whose areas differ"):
        merge.area_swap(a, wide, ["out"])


def test_diversity() -> None:
    data = train.load(DIGITS)
    a, b = built(data, 0), built(data, 1)
    assert merge.diversity([a]) == merge.diversity([a, a]) == 0
    assert merge.diversity([a, b]) == pytest.approx(np.sqrt(2), rel=0.1)
    assert merge.diversity([a, built(data, 1, recurrent=True)]) == 1


# ---- statistics


def test_wilson_interval() -> None:
    found = statistics.wilson(45, 50)
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.9, 0.7864, 0.9565)
    assert statistics.wilson(0, 0) == statistics.Interval(0.0, 0.0, 1.0)
    assert statistics.wilson(50, 50).high == 1.0


def test_paired_bootstrap_sees_changes_and_not_noise() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(360) < 0.9
    assert statistics.paired(before, before, 1) == statistics.Interval(0.0, 0.0, 0.0)
    worse = before & (rng.random(360) < 0.9)
    found = statistics.paired(before, worse, 1)
    assert found.high < 0
    assert found == statistics.paired(before, worse, 1)
    kept = statistics.retention(before, worse, 1)
    assert kept.low < kept.value < 0.95
    with pytest.raises(ValueError, match="not pairs"):
        statistics.paired(before, before[:5], 1)


def test_level_of_fitting_difficulty_is_found() -> None:
    """A learner with a known psychometric curve: the level whose true accuracy is nearest to 75 %."""
    truth = 0.1 + 0.9 / (1 + np.exp(1.1 * (np.arange(1, 11) - 4.0)))
    best = int(np.argmin(np.abs(truth - 0.75)))
    right = 0
    for seed in range(100):
        answers = np.random.default_rng(seed).binomial(500, truth)
        right += statistics.pick_level([statistics.wilson(int(n), 500) for n in answers]) == best
    assert right >= 95


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], None),
        ([0.5, 0.5, 0.5, 0.5], 4),
        ([0.9, 0.8, 0.7, 0.6], 4),
        ([0.5, 0.505, 0.506, 0.508], 4),
        ([0.5, 0.4, 0.6, 0.4, 0.5, 0.7], None),
        ([0.5, 0.9, 0.1, 0.2, 0.3], 5),
    ],
)
def test_plateaus(values: list[float], at: int | None) -> None:
    """Judged by the best so far: what falls is a plateau, what jumps about is none while it gains."""
    plateau = statistics.Plateau()
    found = [i for i, value in enumerate(values, 1) if plateau.add(value)]
    assert (found[0] if found else None) == at


def test_grokking_is_told_from_slow_gains() -> None:
    full, late = [0.6, 0.9, *[1.0] * 20], [0.3, 0.4, *[0.5] * 15, 0.6, 0.8, 0.9, 0.95, 0.95]
    assert statistics.grokking(full, late) == 18
    smooth = np.linspace(0.3, 0.95, 22).tolist()
    assert statistics.grokking(np.linspace(0.3, 0.98, 22).tolist(), smooth) is None
    assert statistics.grokking(full, [0.5] * 22) is None


def test_confidence_is_calibrated_on_items_it_has_not_seen() -> None:
    rng = np.random.default_rng(2)
    margin = rng.integers(0, 15, 6000)
    right = rng.random(6000) < 0.4 + 0.04 * margin
    found = statistics.calibrate(margin[:3000], right[:3000])
    assert np.all(np.diff(found.chance) >= 0)
    chance = found.of(margin[3000:])
    assert statistics.calibration_error(chance, right[3000:]) < 0.03
    assert statistics.coverage_accuracy(chance, right[3000:], 0.5) > np.mean(right[3000:]) + 0.1


def test_hypervolume_of_two_objectives() -> None:
    points = np.array([[0.5, 0.5], [0.2, 0.9], [0.9, 0.1], [0.6, 0.6], [2.0, 0.0]])
    assert statistics.hypervolume(points, (1.0, 1.0)) == pytest.approx(0.25 + 0.03 + 0.04)
    assert statistics.hypervolume(np.zeros((0, 2)), (1.0, 1.0)) == 0


# ---- smaller networks


def answers(c: Connectome, data: train.Data) -> list[int]:
    with subject(c) as some:
        found = some.answers(data.test.raw[:120])
    return [*found.answer.tolist(), *found.margin.tolist()]


def test_channels_nobody_reads_are_left_out(data: train.Data, trained: Connectome) -> None:
    raw = np.concatenate([data.train.raw, data.test.raw])
    smaller = shrink.unread_channels(trained, raw)
    assert smaller.neurons == trained.neurons - 3
    assert [(e.channel, e.channels) for e in smaller.senses.encoders] == [(1, 31), (33, 6), (40, 24)]  # type: ignore[union-attr]
    assert answers(smaller, data) == answers(trained, data)


def test_folding_changes_no_spike(data: train.Data, trained: Connectome) -> None:
    weight = trained.weight.copy()
    hidden = trained.areas[1]
    weight[(trained.target == hidden.first) | (trained.source == hidden.first + 1)] = 0  # one unreached, one unread
    dead = replace(trained, weight=weight)
    smaller = shrink.fold(dead)
    assert smaller.neurons == trained.neurons - 2
    assert answers(smaller, data) == answers(dead, data)
    assert shrink.fold(smaller).hash == smaller.hash


def test_twins_of_a_synapse_are_added_up(data: train.Data, trained: Connectome) -> None:
    half = replace(trained, weight=trained.weight / np.float32(2))
    twice = replace(
        half, mapping_start=2 * half.mapping_start, source=np.repeat(half.source, 2), target=np.repeat(half.target, 2),
        weight=np.repeat(half.weight, 2),
    )  # fmt: skip
    assert shrink.fold(twice).hash == trained.hash


def test_pruned_neurons_are_gone(trained: Connectome) -> None:
    rate = np.arange(trained.neurons, dtype=np.float64)
    smaller = shrink.prune_neurons(trained, 0.25, rate)
    assert smaller.neurons == trained.neurons - 8
    assert [area.count for area in smaller.areas] == [64, 24, 10]
    assert len(selftest.pack(quantize(smaller, "int8")).data) < len(selftest.pack(quantize(trained, "int8")).data)
    few = shrink.prune_synapses(trained, 0.5)
    assert few.synapses == trained.synapses - round(0.5 * trained.synapses)
    assert np.abs(few.weight).min() >= np.median(np.abs(trained.weight)) * 0.999


def test_renumbering_makes_gaps_small_and_changes_no_answer(data: train.Data) -> None:
    """Two layers of 600 neurons, each reaching its neighbours, numbered at random."""
    c = train.build(train.Design(hidden=(600, 600)), data, 4)
    rng = np.random.default_rng(4)
    places = [rng.permutation(600) for _ in range(2)]
    first, second = c.areas[1], c.areas[2]
    between = (c.source >= first.first) & (c.source < first.first + 600)
    far = np.zeros(c.synapses, np.bool_)
    far[between] = np.abs(places[0][c.source[between] - first.first] - places[1][c.target[between] - second.first]) > 6
    into = (c.target >= first.first) & (c.target < first.first + 600)
    far[into] = np.abs(places[0][c.target[into] - first.first] * 64 // 600 - c.source[into].astype(int)) > 1
    sparse = shrink.without_synapses(c, far)
    ordered = shrink.renumbered(sparse)
    assert ordered.synapses == sparse.synapses
    gaps = [np.abs(np.diff(x.target.astype(np.int64)))[np.diff(x.source) == 0].mean() for x in (sparse, ordered)]
    assert gaps[1] < gaps[0] / 4
    assert answers(ordered, data) == answers(sparse, data)
    sizes = [len(selftest.pack(quantize(with_bits(x, 3), "int8")).data) for x in (sparse, ordered)]
    assert sizes[1] < 0.9 * sizes[0]


def test_rounded_weights_are_near(trained: Connectome) -> None:
    q = quantize(trained, "int8")
    error = np.abs(dequantized(trained, q).weight - trained.weight) / q.scale_of_neuron[trained.target]
    assert error.max() < 1
    assert np.mean(error <= 0.5) > 0.95


# ---- behaviour


@pytest.mark.parametrize("m", [0.5, 0.8, 0.95])
def test_multistep_regression_recovers_a_branching_process(m: float) -> None:
    errors = []
    for seed in range(4):
        rng, activity = np.random.default_rng(seed), np.zeros(20_000)
        x = 50.0
        for t in range(len(activity)):
            x = activity[t] = rng.poisson(m * x + 50 * (1 - m))
        errors.append(abs(behaviour.multistep(activity) - m))
    assert np.median(errors) < 0.03
    assert behaviour.multistep(np.ones(1000)) == 0


def test_invariants_hold_and_are_broken(trained: Connectome) -> None:
    with subject(trained, "int8") as some:
        found = {one.name: one for one in behaviour.invariants(some, behaviour.Limits(), 60, 1)}
    assert not any(one.violations for one in found.values())
    out = trained.areas[2]
    bias = trained.bias.copy()
    bias[out.first] = 2 * trained.threshold[out.first]
    with subject(replace(trained, bias=bias), "int8") as stuck:
        broken = {one.name: one for one in behaviour.invariants(stuck, behaviour.Limits(), 60, 1)}
    assert broken["quiet_when_idle"].violations == broken["quiet_when_idle"].trials
    assert broken["fails_safe"].violations
    tight = behaviour.Limits(rate_most=0.05)
    with subject(trained, "int8") as some:
        assert behaviour.invariants(some, tight, 20, 1)[0].margin < 0


def test_quiet_training_quietens(data: train.Data) -> None:
    """A bias makes a network fire while nothing is sensed; the penalty takes that back."""
    c = built(data, 3)
    hidden = c.areas[1]
    bias = c.bias.copy()
    bias[hidden.first : hidden.first + hidden.count] = 0.3
    noisy = replace(c, bias=bias)
    idle = []
    for quiet in (0.0, 20.0):
        schedule = train.Schedule(2, 0, copies=0, quiet=quiet, bias=True)
        small = replace(data, train=train.Examples(data.train.raw[:300], data.train.label[:300]))
        made = train.train(train.of(noisy, "noisy"), small, schedule, {}).connectome
        with subject(made) as some:
            idle.append(some.live([np.zeros((1, 64), np.int32)]).spikes)
    assert idle[1] < 0.7 * idle[0]


def test_fingerprints_tell_networks_apart(data: train.Data, trained: Connectome) -> None:
    other = train.build(train.Design(hidden=(32,)), data, 9)
    with subject(trained, "int8") as a, subject(other, "int8") as b:
        mine = [behaviour.fingerprint(a, seed) for seed in range(10)]
        theirs = [behaviour.fingerprint(b, seed) for seed in range(10)]
        assert behaviour.similarity(mine[1], behaviour.fingerprint(a, 1)) == pytest.approx(1)
        assert min(behaviour.similarity(mine[0], other) for other in mine) >= 0.85
        assert max(behaviour.similarity(mine[0], other) for other in theirs) < 0.6
        assert 0 < behaviour.twins(a, list(data.test.raw[:10]), 40, 1) < 2
