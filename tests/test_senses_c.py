"""The core's senses against the reference: encoders and decoders of every kind, presentations in a row, to the bit."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray
from small_networks import Synapses, network

from espike.classify import present_on
from espike.image import pack
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.host_senses import HostSenses
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference
from espike_sim.senses import DECODER_KINDS, ENCODER_KINDS, RAW, Decoder, Encoder, Senses

PRECISIONS = ("int8", "fp16", "fp32")
COUNTS = (3, 150, 40, 6)
"""Neurons of: an area that is no one's, one that is stimulated, one that is given values, one that is read."""


def sensed(precision: str, limit: float, rng: Generator) -> QuantizedConnectome:
    """A network for senses of any kind: stimulated and graded neurons drive those that are read."""
    a, b = COUNTS[1], COUNTS[2]
    groups = [
        Synapses(1, 3, np.repeat(np.arange(a), 2), rng.integers(0, COUNTS[3], 2 * a), rng.integers(-30, 90, 2 * a)),
        Synapses(2, 3, np.arange(b), rng.integers(0, COUNTS[3], b), rng.integers(-2, 4, b)),
        Synapses(3, 3, [0, 1], [1, 0], [40, -40]),
    ]
    leak = 29000 if precision == "int8" else 0.885
    q = network(precision, COUNTS, groups, candidates_only=False, retained=leak, stimulus_limit=limit)
    graded = Dynamics(reset="none", graded=True)
    models = (None, None, graded, Dynamics(reset="subtract") if rng.random() < 0.5 else None)
    areas = tuple(replace(area, dynamics=m, accumulate=m != graded) for area, m in zip(q.areas, models, strict=True))
    projections = tuple(replace(p, psp_factor=int(p.source == 2)) for p in q.projections)
    resets = np.where(q.area_of_neuron == 3, q.threshold, 0) if models[3] is not None else 0 * q.threshold
    return replace(q, areas=areas, projections=projections, reset=resets.astype(q.types.potential))


RAWS = st.one_of(
    st.sampled_from([*RAW, RAW[0] + 1, RAW[1] - 1, 0, 1, -1, 1 << 24, -(1 << 24)]),
    st.integers(-300, 300),
    st.integers(*RAW),
)


@st.composite
def encoders(draw: st.DrawFn, channels: int) -> tuple[Encoder, ...]:
    """Encoders that lie one after the other, with gaps, in any order."""
    made, used = [], {"a1": 0, "a2": 0}
    for kind in draw(st.lists(st.sampled_from(list(ENCODER_KINDS)), min_size=1, max_size=6)):
        area = "a2" if kind == "value" else draw(st.sampled_from(["a1", "a1", "a2"]))
        channel = draw(st.integers(0, channels - 1))
        low = draw(st.one_of(st.integers(-200, 200), st.sampled_from([RAW[0], RAW[1] - 5])))
        span = draw(st.one_of(st.integers(1, 40), st.integers(1, 1 << 24)))
        levels = draw(st.lists(RAWS, min_size=1, max_size=5, unique=True))
        of_kind: dict[str, Any] = {
            "low": low, "high": min(low + span, RAW[1]), "count": draw(st.integers(2, 9)),
            "step": draw(st.one_of(st.integers(1, 50), st.just(RAW[1]))), "levels": tuple(sorted(levels)),
            "zero": draw(RAWS), "gain": draw(st.sampled_from([1.0, 0.37, 3e-5, 1e9, 1e-30])),
        }  # fmt: skip
        amount: dict[str, Any] = (
            {} if kind == "value" else {"amount": draw(st.sampled_from([1.0, 0.01, 77.5, 250.0, 1e30]))}
        )
        encoder = Encoder(
            kind, area, used[area] + draw(st.integers(0, 3)), channel, draw(st.integers(1, channels - channel)),
            **amount, **{name: of_kind[name] for name in ENCODER_KINDS[kind]},
        )  # fmt: skip
        end = encoder.first + encoder.neurons
        if end <= COUNTS[1 if area == "a1" else 2]:
            used[area] = end
            made.append(encoder)
    made = made or [Encoder("level", "a1", levels=(0,))]
    return tuple(draw(st.permutations(made)))


@st.composite
def senses(draw: st.DrawFn) -> Senses:
    """Senses of any kind for `sensed`."""
    channels = draw(st.integers(1, 4))
    first, kind = draw(st.integers(0, 3)), draw(st.sampled_from(DECODER_KINDS))
    margin = draw(st.one_of(st.just(0), st.integers(1, 6), st.just(65_535))) if kind == "count" else 0
    return Senses(
        channels, draw(encoders(channels)),
        Decoder(kind, draw(st.sampled_from(["a3", "a3", "a1"])), first, draw(st.integers(0, COUNTS[3] - first)), (),
                margin),
        samples=draw(st.integers(1, 4)), bursts_per_sample=draw(st.integers(1, 9)), settle=draw(st.integers(0, 5)),
        fresh=draw(st.booleans()),
    )  # fmt: skip


def assert_presented_alike(q: QuantizedConnectome, raws: list[NDArray[Any]]) -> None:
    host = Host(ImageView(pack(q).data), expand=False)
    host.reset()
    by_core = HostSenses(host)
    with closing(Reference(q)) as reference:
        for raw in raws:
            found, wanted = by_core.present(raw), present_on(reference, q)(raw)
            assert np.array_equal(found.values, wanted.values)
            assert (found.answer, found.bursts) == (wanted.answer, wanted.bursts)
            assert host.state_hash == tuple(reference.state_hash)
            assert tuple(host.engine.potential_hash) == tuple(reference.potential_hash)
            assert host.counters() == reference.counters()
    host.close()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_core_agrees_with_the_reference(precision: str) -> None:
    """The same examples in every run, since they are to cover every kind."""
    seen: set[str] = set()

    @settings(max_examples=120, deadline=None, database=None, derandomize=True)
    @given(senses(), st.sampled_from([1000.0, 1000.0, 120.0, 0.0]), st.integers(0, 2**32 - 1), st.data())
    def agrees(s: Senses, limit: float, seed: int, data: st.DataObject) -> None:
        q = replace(sensed(precision, limit, np.random.default_rng(seed)), senses=s)
        count = data.draw(st.integers(1, 3))
        shape = (count, s.samples, s.channels)
        size = count * s.samples * s.channels
        raw = np.array(data.draw(st.lists(RAWS, min_size=size, max_size=size)), np.int64).reshape(shape)
        seen.update([s.decoder.kind, *(encoder.kind for encoder in s.encoders)])
        assert_presented_alike(q, list(raw.astype(np.int32)))

    agrees()
    assert seen == {*ENCODER_KINDS, *DECODER_KINDS}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", DECODER_KINDS)
def test_long_presentations_in_a_row(precision: str, kind: str) -> None:
    """Encoders carry from sample to sample, the network from presentation to presentation."""
    rng = np.random.default_rng(7)
    s = Senses(
        4,
        (
            Encoder("population", "a1", 0, channels=4, low=-500, high=500, count=9, amount=120),
            Encoder("rate", "a1", 40, channels=3, low=0, high=7, amount=105),
            Encoder("delta", "a1", 50, channels=4, step=90, amount=250),
            Encoder("latency", "a1", 60, channel=1, channels=3, low=-100, high=300, amount=190),
            Encoder("value", "a2", 5, channels=4, zero=3, gain=0.02),
        ),
        Decoder(kind, "a3"), samples=20, bursts_per_sample=7, settle=9, fresh=False,
    )  # fmt: skip
    q = replace(sensed(precision, 1000, rng), senses=s)
    raws = [rng.integers(-600, 600, (20, 4)).astype(np.int32) for _ in range(3)]
    assert_presented_alike(q, raws)
    with closing(Reference(q)) as reference:
        assert len({present_on(reference, q)(raw).values.tobytes() for raw in raws}) > 1


def test_no_first_spike_is_no_answer() -> None:
    s = Senses(1, (Encoder("level", "a1", levels=(5,), amount=200),), Decoder("first", "a1", 0, 2), bursts_per_sample=3)
    q = replace(sensed("int8", 1000, np.random.default_rng(0)), senses=s)
    by_core = HostSenses(Host(ImageView(pack(q).data), expand=False))
    assert by_core.present(np.array([[4]])).answer == -1
    found = by_core.present(np.array([[5]]))
    assert (found.answer, found.values.tolist()) == (0, [1, 0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_presentation_ends_when_one_neuron_is_ahead_by_the_margin(precision: str) -> None:
    """Neuron 0 fires in every burst, neuron 1 only where its level is reached; no further burst or sample is run."""
    level = Encoder("level", "a1", levels=(5, 9), amount=200)
    s = Senses(1, (level,), Decoder("count", "a1", 0, 2, (), 3), samples=3, bursts_per_sample=4, settle=2)
    q = replace(sensed(precision, 1000, np.random.default_rng(0)), senses=s)
    by_core = HostSenses(Host(ImageView(pack(q).data), expand=False))
    for raw, values, bursts in (([7, 7, 7], [3, 0], 3), ([9, 7, 7], [7, 4], 7), ([9, 9, 4], [8, 8], 14)):
        samples = np.array(raw, np.int32)[:, None]
        found = by_core.present(samples)
        assert (found.values.tolist(), found.bursts, found.answer) == (values, bursts, 0)
        assert_presented_alike(q, [samples])


def test_refusals_of_the_host() -> None:
    s = Senses(2, (Encoder("rate", "a1", high=4),), Decoder("count", "a3"), samples=2)
    q = sensed("int8", 1000, np.random.default_rng(0))
    plain = Host(ImageView(pack(q).data), expand=False)
    with pytest.raises(EspikeError, match="no senses"):
        HostSenses(plain)
    by_core = HostSenses(Host(ImageView(pack(replace(q, senses=s)).data), expand=False))
    for shape, message in (((2, 1), "expected"), ((1, 2), "fewer"), ((3, 2), "more")):
        with pytest.raises(EspikeError, match=message):
            by_core.present(np.zeros(shape, np.int32))
    with pytest.raises(EspikeError, match="expected"):
        by_core.present(np.full((2, 2), 1 << 31, np.int64))
