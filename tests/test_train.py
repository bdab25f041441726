"""Training: gradients, the grid of few bits, the forward pass against the reference, data files, one-line refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run
from numpy.typing import NDArray

from espike import train as training
from espike.quantize import quantize
from espike.train import augment, encoders, fit, grid, lif, model, optimizer
from espike.train.optimizer import Adam, Grokfast, clipped, cosine
from espike_sim import connectome as connectome_file
from espike_sim import sensing
from espike_sim.connectome import Connectome
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.reference import Reference

Floats = NDArray[np.floating[Any]]
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def stripes(rng: np.random.Generator, series: int) -> tuple[NDArray[np.int16], NDArray[np.str_]]:
    """Series (20 samples, 2 channels) of three classes: one channel swings, the other, or both."""
    label = np.arange(series) % 3
    wave = np.rint(40 * np.sin(np.arange(20)[None, :] + rng.uniform(0, 6, (series, 1))))
    x = np.stack([wave * (label != 1)[:, None], wave * (label != 0)[:, None]], axis=2)
    x += rng.integers(-3, 4, x.shape)
    return x.astype(np.int16), np.array(["left", "right", "both"])[label]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, path = np.random.default_rng(5), tmp_path_factory.mktemp("data") / "stripes.npz"
    (x, y), (x_test, y_test) = stripes(rng, 30), stripes(rng, 15)
    np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test, unit=0.5)
    return path


def digits_like(rng: np.random.Generator, vectors: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Vectors of 6 channels, 0..16, that are large where their class says."""
    y = np.arange(vectors) % 2
    x = rng.integers(0, 7, (vectors, 6)) + 9 * (np.arange(6)[None, :] % 2 == y[:, None])
    return x.astype(np.uint8), y + 7


# ---- gradients


def smooth(layer: lif.Layer, potential: Floats) -> Floats:
    """A spike whose derivative is the surrogate."""
    x = layer.distance(potential)
    return 0.5 + x / (1 + lif.SLOPE * np.abs(x))


def plain_loop(
    net: lif.Net, weights: Sequence[Floats], biases: Sequence[Floats], given: Floats, resets: Sequence[Floats],
    by_spike: Floats,
) -> float:  # fmt: skip
    """Sum of the last layer's smooth spikes times `by_spike`; who is reset is told, not computed."""
    kept = [np.zeros(given.shape[1:2] + layer.threshold.shape) for layer in net.layers]
    sent: list[list[Floats]] = [[] for _ in net.layers]
    for t in range(len(given)):
        for i, layer in enumerate(net.layers):
            v = kept[i] * layer.retained + biases[i] + (given[t] if i == 0 else 0)
            for link, weight in zip(net.links, weights, strict=True):
                if link.target == i and t >= link.delay:
                    v = v + sent[link.source][t - link.delay] @ weight
            sent[i].append(v if layer.graded else smooth(layer, v))
            z = resets[i][t]
            kept[i] = v if layer.graded else v - z * layer.reset if layer.subtracts else v * (1 - z) + layer.reset * z
    return float((np.array(sent[-1]) * by_spike).sum())


@pytest.mark.parametrize(("subtracts", "graded"), [(False, False), (True, False), (False, True)])
def test_gradients_are_those_of_a_smooth_network(subtracts: bool, graded: bool) -> None:
    """Recurrent and feedback links, both delays, thresholds that are not 1, resets that are not 0."""
    rng = np.random.default_rng(3)

    def layer(neurons: int, **more: Any) -> lif.Layer:
        threshold, reset = rng.uniform(0.5, 2, neurons), rng.uniform(-0.2, 0.4, neurons)
        return lif.Layer(rng.uniform(0.5, 1, neurons), threshold, reset, **more)

    layers = layer(4, graded=graded), layer(3, subtracts=subtracts), layer(3)
    ends = (0, 1, 0), (1, 1, 1), (1, 2, 0), (0, 2, 1), (2, 1, 1), (2, 2, 1)
    net = lif.Net(layers, tuple(lif.Link(*link) for link in ends))
    weights = [rng.standard_normal((len(layers[s].threshold), len(layers[t].threshold))) for s, t, _ in ends]
    biases = [0.3 * rng.standard_normal(len(one.threshold)) for one in layers]
    given = rng.standard_normal((6, 2, 4))
    trace = lif.forward(net, weights, biases, [given, None, None], smooth)
    by_spike = rng.standard_normal((6, 2, 3))
    by_weight, by_bias = lif.backward(net, weights, trace, 2, by_spike)
    checked = [*zip(weights, by_weight, strict=True), *zip(biases[1:], by_bias[1:], strict=True)]
    for parameter, gradient in checked:
        for at in np.ndindex(parameter.shape):
            kept, found = parameter[at], []
            for nudge in (1e-6, -1e-6):
                parameter[at] = kept + nudge
                found.append(plain_loop(net, weights, biases, given, trace.spikes, by_spike))
            parameter[at] = kept
            assert gradient[at] == pytest.approx((found[0] - found[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_gradient_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    counts, label = rng.integers(0, 25, (5, 4)).astype(np.float64), np.array([0, 3, 1, 1, 2])
    _, gradient = optimizer.loss_of_counts(counts, label, 0.5)
    for at in np.ndindex(counts.shape):
        ends = []
        for nudge in (1e-6, -1e-6):
            moved = counts.copy()
            moved[at] += nudge
            ends.append(optimizer.loss_of_counts(moved, label, 0.5)[0])
        assert gradient[at] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


# ---- the grid


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_of_few_bits_are_steps_of_the_largest(bits: int) -> None:
    """All weights into a neuron, over all links, are -Q..Q times largest / Q; rounding again changes nothing."""
    rng = np.random.default_rng(bits)
    layer = lif.Layer(np.ones(5), np.ones(5), np.zeros(5))
    net = lif.Net((layer, layer, layer), (lif.Link(0, 1, 0), lif.Link(1, 1, 1), lif.Link(1, 2, 0)))
    weights = [rng.standard_normal((5, 5)).astype(np.float32) for _ in range(3)]
    weights[0][:, 3] = weights[1][:, 3] = 0
    rounded = grid.on_grid(net, weights, {1: bits})
    assert rounded[2] is weights[2]
    most = 2 ** (bits - 1) - 1
    together = np.concatenate(rounded[:2])
    step = np.abs(together).max(axis=0) / most
    assert step[3] == 0
    steps = together[:, step > 0] / step[step > 0]
    assert np.allclose(steps, np.round(steps), atol=1e-5)
    assert np.array_equal(np.unique(np.abs(np.round(steps)).max(axis=0)), [most])
    assert together.dtype == np.float32
    assert np.allclose(np.concatenate(grid.on_grid(net, rounded, {1: bits})[:2]), together, rtol=1e-6)
    if bits > 2:
        assert np.all(np.abs(together - np.concatenate(weights[:2])) <= step / 2 * 1.0001)


def test_bits_are_given_for_all_or_by_area() -> None:
    assert training.parse_bits("4", ["hidden", "out"]) == {"hidden": 4, "out": 4}
    assert training.parse_bits("out=8", ["hidden", "out"]) == {"out": 8}
    for text, said in (("9", "'9' is no number of 2..8"), ("in=4", "no weights lead to area 'in'; use one of out")):
        with pytest.raises(EspikeError, match=said):
            training.parse_bits(text, ["out"])


# ---- networks


def started(path: Path, **design: Any) -> tuple[training.Data, Connectome]:
    data = training.load(path)
    return data, training.build(training.Design(**design), data, 1)


def differing(c: Connectome, raw: NDArray[np.int32]) -> tuple[int, int]:
    """(decisions that the trainer and the reference in fp32 take differently, spikes)."""
    m, q = training.of(c, "here"), quantize(c, "fp32")
    senses = m.senses
    trace = lif.forward(m.net, m.weights, m.biases, fit.present(m, raw))
    reference, different, spikes = Reference(q), 0, 0
    for i, one in enumerate(raw):
        reference.reset()
        stimulus = sensing.code(sensing.presentation(senses, c.areas, one), senses, q)
        ledger = reference.run(senses.bursts, stimulus)
        fired = np.zeros((senses.bursts, c.neurons), np.bool_)
        fired[ledger.burst_of_spike() - 1, ledger.ids] = True
        mine = np.concatenate([layer[:, i] for layer in trace.spikes], axis=1) != 0
        different, spikes = different + int(np.sum(fired != mine)), spikes + ledger.spikes
    return different, spikes


@pytest.mark.parametrize(
    "design",
    [
        {"hidden": (12,)},
        {"hidden": (9, 7), "recurrent": True, "reset": "subtract", "settle": 4, "leak": 0.2},
        {"hidden": (8,), "encoders": ("value",), "bursts": 2},
        {"hidden": (), "encoders": ("population:4", "level:-10,0,10", "latency"), "bursts": 3},
    ],
)
def test_forward_is_what_the_reference_computes(series: Path, design: dict[str, Any]) -> None:
    data, c = started(series, **design)
    c = replace(c, bias=np.where(np.arange(c.neurons) >= c.areas[0].count, 0.05, 0).astype(np.float32))
    different, spikes = differing(c, data.test.raw[:6])
    assert different == 0
    assert spikes > 200


def test_training_learns_and_is_the_same_each_time(series: Path) -> None:
    data, c = started(series)
    m = training.of(c, "here")
    outcomes = [training.train(m, data, training.Schedule(steps=200, epochs=1, seed=4), {}) for _ in range(2)]
    first, second = outcomes
    assert first.test is not None
    assert first.test.accuracy >= 0.9
    assert first.losses == second.losses
    assert first.connectome.hash == second.connectome.hash
    assert first.connectome.hash != c.hash
    assert np.array_equal(first.test.confusion.sum(axis=1), [5, 5, 5])
    assert set(first.test.rates) == {"input", "hidden", "out"}
    other = training.train(m, data, training.Schedule(steps=9, epochs=1), {})
    assert other.connectome.hash != first.connectome.hash


def test_fine_tuning_keeps_to_the_grid_and_to_the_synapses(series: Path) -> None:
    data, c = started(series)
    kept = np.random.default_rng(0).random(c.synapses) < 0.7
    starts = np.concatenate([[0], np.cumsum(kept)])[c.mapping_start]
    c = replace(c, source=c.source[kept], target=c.target[kept], weight=c.weight[kept], mapping_start=starts)
    trained = training.train(training.of(c, "here"), data, training.Schedule(epochs=1, steps=200), {}).connectome
    bits = {"hidden": 4, "out": 3}
    tuned = training.train(training.of(trained, "here"), data, training.Schedule(epochs=10, steps=0, rate=5e-3), bits)
    made = tuned.connectome
    assert np.array_equal(made.source, c.source)
    assert np.array_equal(made.target, c.target)
    assert made.quantization.bits == bits
    assert tuned.test is not None
    assert tuned.test.accuracy >= 0.9
    for neuron in range(c.areas[0].count, c.neurons):
        into = made.weight[made.target == neuron]
        most = 7 if neuron < made.areas[-1].first else 3
        steps = into / (np.abs(into).max() / most)
        assert np.allclose(steps, np.round(steps), atol=1e-4)


def test_biases_move_where_they_are_asked_for(series: Path) -> None:
    data, c = started(series)
    m = training.of(c, "here")
    for bias in (False, True):
        made = training.train(m, data, training.Schedule(epochs=1, steps=0, bias=bias), {}).connectome
        assert np.any(made.bias[c.areas[0].count :]) == bias
        assert not np.any(made.bias[: c.areas[0].count])


def test_quiet_networks_fall_silent_when_nothing_is_sensed(series: Path) -> None:
    """In a series of nothing, and behind the beginning of one; `noise` is what is left of both."""
    data, c = started(series)
    noisy = replace(c, bias=np.where(np.arange(c.neurons) < c.areas[0].count, 0, 0.2).astype(np.float32))
    heard = []
    for quiet in (1e-9, 20.0):
        asked = training.Schedule(steps=60, epochs=1, quiet=quiet, bias=True)
        heard.append(training.train(training.of(noisy, "here"), data, asked, {}).noise)
    assert heard[0][-1] > 0.05
    assert heard[1][-1] < 0.3 * heard[0][-1]


def test_gradient_of_early_answers(series: Path) -> None:
    """Mean over bursts of the loss of the counts so far, by every spike."""
    data, c = started(series)
    m, raw, label = training.of(c, "here"), data.train.raw[:3], data.train.label[:3]
    trace = lif.forward(m.net, m.weights, m.biases, fit.present(m, raw))
    spikes = trace.spikes[-1].astype(np.float64)
    gradient = fit._early(m, replace(trace, spikes=(*trace.spikes[:-1], spikes)), label)
    sharpness = fit.COUNT_SPAN / len(spikes)
    for at in np.ndindex(spikes.shape):
        kept, found = spikes[at], []
        for nudge in (1e-6, -1e-6):
            spikes[at] = kept + nudge
            losses = [optimizer.loss_of_counts(so_far, label, sharpness)[0] for so_far in spikes.cumsum(axis=0)]
            found.append(np.mean(losses))
        spikes[at] = kept
        assert gradient[at] == pytest.approx((found[0] - found[1]) / 2e-6, abs=1e-7)


def test_answers_come_early(tmp_path: Path) -> None:
    """Nine samples of noise, then the class: counts are right sooner, and undecided till they can be."""
    rng, path = np.random.default_rng(5), tmp_path / "late.npz"
    y = np.arange(200) % 2
    x = rng.integers(0, 120, (200, 20, 6))
    x[:, 9:] += 130 * (np.arange(6) % 2 == y[:, None])[:, None, :]
    np.savez(path, x=x.astype(np.int16), y=y, x_test=x[:20].astype(np.int16), y_test=y[:20], unit=1.0)
    data, c = started(path)
    losses = []
    for early in (0.0, 1.0):
        schedule = training.Schedule(steps=300, epochs=1, early=early)
        made = training.train(training.of(c, "here"), data, schedule, {})
        assert made.train.accuracy > 0.95
        m = training.of(made.connectome, "here")
        counts = lif.forward(m.net, m.weights, m.biases, fit.present(m, data.train.raw)).spikes[-1].cumsum(axis=0)
        sharpness = fit.COUNT_SPAN / len(counts)
        losses.append(np.mean([optimizer.loss_of_counts(now, data.train.label, sharpness)[0] for now in counts]))
    assert losses[1] < losses[0] - 0.01


def changed_area(c: Connectome, index: int, **more: Any) -> Connectome:
    areas = list(c.areas)
    areas[index] = replace(areas[index], **more)
    return replace(c, areas=tuple(areas))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: changed_area(c, 1, dynamics=None), "area hidden has FEAGI's neurons, which is not trained"),
        (lambda c: changed_area(c, 1, dynamics=Dynamics(current="new")), "area hidden has a current"),
        (lambda c: changed_area(c, 1, dynamics=Dynamics(late=True)), "area hidden resets late"),
        (lambda c: changed_area(c, 2, dynamics=Dynamics(reset="none", fires=False)), "area out does not reset"),
        (lambda c: changed_area(c, 2, dynamics=Dynamics(fires=False)), "area out never fires"),
        (lambda c: replace(c, refractory=c.refractory + 1), "area input has refractory periods"),
        (lambda c: replace(c, fire_limit=c.fire_limit + 1), "area input has fire limits"),
        (lambda c: replace(c, limit=c.threshold + 1), "area input has limits above thresholds"),
        (lambda c: replace(c, excitability=c.excitability / 2), "area input fires at random"),
        (lambda c: replace(c, mappings=(replace(c.mappings[0], delay=2), c.mappings[1])), "has a delay of 2"),
        (lambda c: replace(c, mappings=(replace(c.mappings[0], plastic=True), c.mappings[1])), "learns by itself"),
        (lambda c: replace(c, power_neuron=np.zeros(1, np.uint32), power_amount=np.ones(1, np.float32)), "power"),
        (lambda c: replace(c, target=np.where(np.arange(c.synapses) == 1, c.target[0], c.target)), "several synapses"),
    ],
)
def test_what_cannot_be_trained_is_named(series: Path, change: Any, said: str) -> None:
    _, c = started(series)
    with pytest.raises(EspikeError, match=said):
        training.of(change(c), "here")


def test_data_that_does_not_fit_a_network_is_refused(series: Path) -> None:
    data, c = started(series)
    m, schedule = training.of(c, "here"), training.Schedule(epochs=1, steps=0)
    assert c.senses is not None
    cut = [replace(part, raw=part.raw[:, :9]) for part in (data.train, data.test)]
    with pytest.raises(EspikeError, match="data has 9 samples of 2 channels, the network takes 20 of 2"):
        training.train(m, replace(data, train=cut[0], test=cut[1]), schedule, {})
    with pytest.raises(EspikeError, match="knows no label up, the data has 3 labels"):
        training.train(m, replace(data, labels=("both", "left", "up")), schedule, {})
    for change, said in (
        ({"decoder": replace(c.senses.decoder, kind="potential")}, "a decoder 'potential' cannot be trained"),
        ({"fresh": False}, "presentations without reset cannot be trained"),
    ):
        other = training.of(replace(c, senses=replace(c.senses, **change)), "here")
        with pytest.raises(EspikeError, match=said):
            training.train(other, data, schedule, {})
    with (
        pytest.raises(EspikeError, match="weights are no numbers after 1 epochs; lower --lr"),
        np.errstate(all="ignore"),
    ):
        training.train(m, data, replace(schedule, rate=float("inf")), {})


# ---- encoders and data


def test_ranges_are_those_of_the_training_data(series: Path) -> None:
    data = training.load(series)
    assert data.labels == ("both", "left", "right")
    assert data.unit == 0.5
    low, high = int(data.train.raw.min()), int(data.train.raw.max())
    (rate,) = encoders.make(["rate"], data)
    assert (rate.low, rate.high, rate.channels, rate.neurons) == (low, high, 2, 2)
    (given,) = encoders.make(["latency:-1,2.5"], data)
    assert (given.low, given.high) == (-2, 5)
    usual = encoders.make([], data)
    assert [(e.kind, e.first, e.neurons) for e in usual] == [("delta", 0, 4), ("delta", 4, 4), ("level", 8, 8)]
    assert usual[1].step == pytest.approx(float(np.median(data.train.raw.std(axis=(0, 1)))), abs=1)
    several = encoders.make(["delta:2", "population:3", "level:-3,0"], data)
    assert [(e.first, e.neurons) for e in several] == [(0, 4), (4, 6), (10, 4)]
    assert several[0].step == 4


def test_channels_of_different_size_have_ranges_of_their_own(series: Path) -> None:
    data = training.load(series)
    raw = np.concatenate([data.train.raw, data.train.raw, 1000 * data.train.raw], axis=2)[:, :, [0, 1, 2, 4]]
    wide = replace(data, train=replace(data.train, raw=raw))
    assert [(e.channel, e.channels, e.first) for e in encoders.make(["rate"], wide)] == [
        (0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 1, 3)
    ]  # fmt: skip
    assert [e.first for e in encoders.make(["delta"], wide)] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("poisson", "encoder 'poisson' is unknown"),
        ("rate:1", "takes low and high"),
        ("rate:3,1", "high - low is -4"),
        ("delta:x", "takes numbers"),
        ("delta:-1", "takes steps above 0"),
        ("level:3,1", "levels do not ascend"),
        ("population:2.5", "takes a whole number"),
        ("population:1", "count is 1, expected 2..64"),
        ("value:1,0", "takes zero and a deviation above 0"),
        ("rate:nan,1", "not finite"),
    ],
)
def test_wrong_encoders_are_named(series: Path, spec: str, said: str) -> None:
    with pytest.raises(EspikeError, match=f"--encoder {spec}: .*{said}"):
        encoders.make([spec], training.load(series))


def test_values_stand_alone(series: Path) -> None:
    with pytest.raises(EspikeError, match="value goes with no other encoder"):
        encoders.make(["value", "rate"], training.load(series))


def test_without_a_test_set_a_share_of_each_class_is_one(tmp_path: Path) -> None:
    x, y = digits_like(np.random.default_rng(0), 40)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    data = training.load(tmp_path / "d.npz", 0.25, 3)
    assert (len(data.train), len(data.test), data.labels, data.unit) == (30, 10, ("7", "8"), 1.0)
    assert np.bincount(data.test.label).tolist() == [5, 5]
    assert data.train.raw.shape == (30, 1, 6)
    assert not np.array_equal(data.test.raw, training.load(tmp_path / "d.npz", 0.25, 4).test.raw)
    assert len(training.load(tmp_path / "d.npz", 0.0).test) == 0


def test_measured_values_become_16_bits(tmp_path: Path) -> None:
    x = np.array([[-3.0, 1.0], [0.5, 2.0], [1.0, 1.0], [0.0, 0.25], [1.0, 0.0]])
    np.savez(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1, 1])
    data = training.load(tmp_path / "d.npz", 0.0)
    assert data.unit == 2.0**-13
    np.savez(tmp_path / "e.npz", x=x, y=[0, 1, 0, 1, 1], unit=0.5)
    with pytest.raises(EspikeError, match=r"a raw step is 0\.5, to the network 0\.25"):
        training.load(tmp_path / "e.npz", 0.0, unit=0.25)
    assert data.train.raw[0].tolist() == [[-24576, 8192]]


def test_csv_of_vectors_and_of_series(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("a,label,b\n1,x,2\n3,y,4\n5,x,6\n7,y,8\n")
    data = training.load(path, 0.0)
    assert (data.labels, data.samples, data.channels) == (("x", "y"), 1, 2)
    rows = [f"{s},{'xy'[s % 2]},{s},{t}" for s in range(4) for t in range(3)]
    path.write_text("\n".join(["series,label,a,b", *rows]))
    data = training.load(path, 0.0)
    assert data.train.raw[2].tolist() == [[2, 0], [2, 1], [2, 2]]
    assert data.train.label.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "has no column label"),
        ("label,a\nx,1\ny\n", "row 3 has 1 cells, the head 2"),
        ("label,a\nx,1\ny,z\n", "holds what is no number"),
        ("label,a\nx,1\ny,nan\nx,2\ny,3\n", "x holds a value that is not finite"),
        ("series,label,a\n1,x,1\n1,y,2\n", "series 1 has several labels"),
        ("series,label,a\n1,x,1\n2,y,2\n2,y,3\n", "series 2 has 2 samples, 1 1; cut or pad"),
        ("series,label,a\n1,x,1\n2,y,2\n1,x,3\n", "rows of a series do not follow each other"),
        ("label,a\nx,1\nx,2\n", "all labels are x; give two classes or more"),
        ("label,a\nx,1\nx,2\ny,3\n", "class y has 1 series to train with, 2 are needed"),
        ("", "has no column label"),
    ],
)
def test_damaged_csv_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(EspikeError, match=said):
        training.load(tmp_path / "d.csv", 0.0)


X, Y = np.zeros((4, 3), np.int16), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X}, "array y is missing"),
        ({"x": X, "y": Y, "x_test": X}, "array y_test is missing"),
        ({"x": X[0], "y": Y}, r"x is int16 \(3,\), expected numbers"),
        ({"x": X.astype(complex), "y": Y}, "x is complex128"),
        ({"x": X[:0], "y": Y[:0]}, r"x is int16 \(0, 3\)"),
        ({"x": X, "y": Y[:3]}, r"labels of x are int64 \(3,\), expected integers or strings \(4,\)"),
        ({"x": X, "y": Y / 2}, "labels of x are float64"),
        ({"x": X + np.nan, "y": Y}, "x holds a value that is not finite"),
        ({"x": np.full((4, 3), 1 << 40), "y": Y}, "integers of more than 32 bits"),
        ({"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}, r"x_test is \(4, 1, 2\)"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y + 1}, "the test set has a label 2, the training set has not"),
        ({"x": X, "y": 0 * Y}, "all labels are 0"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y.astype(str)}, "labels are integers in one set and strings in the"),
        ({"x": X, "y": Y, "unit": -1.0}, "unit is no number above 0"),
    ],
)
def test_damaged_npz_is_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(EspikeError, match=said):
        training.load(tmp_path / "d.npz", 0.0)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"PK nothing")
    for name, said in (("d.npz", "is no npz file"), ("e.npz", "cannot read"), ("d.txt", "use .npz or .csv")):
        with pytest.raises(EspikeError, match=said):
            training.load(tmp_path / name)


def test_changed_series_are_like_the_series() -> None:
    raw = np.repeat(np.arange(0, 1000, 10, dtype=np.int32)[None, :, None], 3, axis=0)
    made = augment.changed(raw, np.random.default_rng(1))
    assert made.shape == raw.shape
    assert not np.array_equal(made[0], made[1])
    assert np.abs(np.log((made[:, 50] + 1) / 500.0)).max() < 0.6
    assert [augment.copies(*args) for args in ((40, 100), (1000, 100), (100, 10), (40, 1))] == [5, 1, 2, 0]


# ---- the verb


def test_the_verb_trains_and_fine_tunes(series: Path, tmp_path: Path) -> None:
    done = run("train", series, "-o", "a.connectome.npz", "--epochs", "40", "--hidden", "16", "--json", cwd=tmp_path)
    assert done.json["test"]["accuracy"] >= 0.8
    assert done.json["labels"] == ["both", "left", "right"]
    assert len(done.json["losses"]) == 40
    fine = ("train", series, "--from", "a.connectome.npz", "--bits", "hidden=3,out=4", "-o", "b.npz", "--epochs", "2")
    done = run(*fine, "--plot", "b.png", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "b.npz: 35 neurons, 304 synapses" in done.out
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    made = connectome_file.load(tmp_path / "b.npz")
    assert made.quantization.bits == {"hidden": 3, "out": 4}
    assert made.senses is not None
    assert made.senses.decoder.labels == ("both", "left", "right")
    assert model.of(made, "here").area("out") == 2


def test_a_network_without_senses_gets_some(series: Path, tmp_path: Path) -> None:
    _, c = started(series)
    connectome_file.save(replace(c, senses=None), tmp_path / "bare.npz")
    done = run("train", series, "--from", "bare.npz", "-o", "c.npz", "--epochs", "1", "--json", cwd=tmp_path)
    assert done.json["connectome"] == "c.npz"
    assert connectome_file.load(tmp_path / "c.npz").senses == c.senses


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--bits", "4"], 2, "--bits goes with --from"),
        (["--hidden", "few"], 2, "--hidden takes 32 or 64,32, not 'few'"),
        (["--hidden", "4,0"], 1, "espike: --hidden: a hidden area has at least one neuron"),
        (["--leak", "2"], 1, "espike: --leak: leak 2.0 leaves 0..1"),
        (["-o", "net.txt"], 1, "espike: net.txt: a connectome file ends in .connectome.npz"),
        (["--from", "none.npz"], 1, "espike: none.npz: cannot read"),
        (["--plot", "a.gif", "--epochs", "1"], 1, "espike: a picture cannot be .gif"),
    ],
)
def test_wrong_arguments_are_a_line(series: Path, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = run("train", series, "-o", "x.npz", *arguments, cwd=tmp_path)
    assert done.code == code
    assert said in done.err


def test_a_network_is_not_written_over_unasked(series: Path, tmp_path: Path) -> None:
    done = run("train", series, "--from", series.with_suffix(".connectome.npz"), cwd=tmp_path)
    assert done.code == 2
    assert "--from goes with --output" in done.err


# ---- the examples


@pytest.mark.parametrize(
    ("folder", "data", "right"), [("digits", "digits.npz", (351, 353)), ("gestures", "basicmotions.npz", (40, 40))]
)
def test_the_examples_are_as_good_as_they_say(folder: str, data: str, right: tuple[int, int]) -> None:
    """Within one answer: another processor sums in another order."""
    for suffix, expected in zip((".connectome.npz", "-4bit.connectome.npz"), right, strict=True):
        c = connectome_file.load(EXAMPLES / folder / f"{folder}{suffix}")
        examples = training.load(EXAMPLES / folder / data).test
        m = training.of(c, folder)
        confusion = fit.score(m, m.weights, m.biases, examples).confusion
        assert abs(int(np.trace(confusion)) - expected) <= 1
        assert c.quantization.bits == ({"hidden": 4, "out": 4} if "4bit" in suffix else {})


def test_gradients_are_clipped_together() -> None:
    some = [np.array([3.0, 0.0]), np.array([[4.0]])]
    made = clipped(some, 1.0)
    assert [g.tolist() for g in made] == [pytest.approx([0.6, 0.0]), [pytest.approx([0.8])]]
    assert [g.tolist() for g in clipped(some, 10.0)] == [g.tolist() for g in some]


def test_slow_gradients_are_made_stronger() -> None:
    """One that stays is added to again and again; one that alternates is hardly changed."""
    slow = Grokfast(alpha=0.9, strength=2.0)
    for step in range(200):
        made = slow.filtered([np.array([1.0, (-1.0) ** step])])[0]
    assert made[0] == pytest.approx(3.0)
    assert abs(made[1]) == pytest.approx(1.0, abs=0.15)


def test_the_rate_rises_and_falls() -> None:
    rates = [cosine(step, 100, 1.0, warmup=10) for step in range(101)]
    assert rates[0] < rates[5] < rates[10]
    assert rates[10] > rates[50] > rates[100] == pytest.approx(0)


def test_weights_decay() -> None:
    weight = np.ones(3)
    adam = Adam([weight], decay=0.5)
    adam.step([np.zeros(3)], 0.1)
    assert weight.tolist() == pytest.approx([0.95] * 3)
