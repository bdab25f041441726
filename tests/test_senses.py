"""Senses: encoders and decoders by hand and against a scalar loop, codes, JSON, one-line refusals, others' inputs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espike_sim import sensing
from espike_sim.connectome import Area
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.ledger import from_queues
from espike_sim.senses import RAW, Decoder, Encoder, Senses, senses_from_meta, to_raw

NIR = Path(__file__).resolve().parents[2] / "shared" / "data" / "nir"
GRADED = Dynamics(reset="none", graded=True)
AREAS = (
    Area("pad", "pad", "", (3, 1, 1), 1, 0, True),
    Area("in", "in", "", (200, 1, 1), 1, 3, True, GRADED),
    Area("out", "out", "", (4, 1, 1), 1, 203, True),
)
OUT = Decoder("count", "out")


def senses(encoder: Encoder, samples: int = 1, bursts_per_sample: int = 1, settle: int = 0, **more: Any) -> Senses:
    """Senses with one encoder of all channels."""
    return Senses(
        encoder.channel + encoder.channels, (encoder,), more.pop("decoder", OUT), samples=samples,
        bursts_per_sample=bursts_per_sample, settle=settle, **more,
    )  # fmt: skip


def rows(s: Senses, raw: list[list[int]], first_burst: int = 1) -> list[tuple[int, int, int]]:
    """(burst, neuron within the area, value) of a presentation."""
    made = sensing.presentation(s, AREAS, np.array(raw, np.int32), first_burst)
    return list(zip(made.burst.tolist(), (made.neuron.astype(int) - 3).tolist(), made.value.tolist(), strict=True))


# ---- by hand


def test_rate_carries_what_is_left() -> None:
    """3/8 per burst: a = 3, 6, 9 (fires, 1), 4, 7, 10 (fires, 2), 5, 8 (fires, 0)."""
    s = senses(Encoder("rate", "in", low=10, high=18), bursts_per_sample=8)
    assert rows(s, [[13]]) == [(3, 0, 1), (6, 0, 1), (8, 0, 1)]
    assert rows(s, [[10]]) == rows(s, [[-5]]) == []
    assert rows(s, [[18]]) == rows(s, [[99]]) == [(burst, 0, 1) for burst in range(1, 9)]


def test_rate_carries_from_sample_to_sample_and_not_into_the_settling() -> None:
    s = senses(Encoder("rate", "in", high=4), samples=3, bursts_per_sample=2, settle=5)
    assert rows(s, [[1], [2], [4]]) == [(3, 0, 1), (5, 0, 1), (6, 0, 1)]  # a = 1, 2, 4, 2, 6, 6


def test_delta_fires_at_a_whole_step_and_starts_from_the_first_sample() -> None:
    s = senses(Encoder("delta", "in", channels=2, step=3), samples=5, bursts_per_sample=2)
    raw = [[50, 0], [52, -3], [53, -2], [51, 1], [50, 0]]
    assert rows(s, raw) == [(3, 3, 1), (5, 0, 1), (7, 1, 1), (9, 2, 1)]  # up: 0, 1; down: 2, 3


def test_delta_takes_the_whole_range_of_int32() -> None:
    s = senses(Encoder("delta", "in", step=RAW[1]), samples=3)
    assert rows(s, [[RAW[0]], [RAW[1]], [RAW[0]]]) == [(2, 0, 1), (3, 1, 1)]


def test_levels_lie_side_by_side() -> None:
    s = senses(Encoder("level", "in", channels=2, levels=(-1, 5)), samples=2, bursts_per_sample=2, settle=1)
    assert rows(s, [[4, 5], [-2, -1]]) == [(1, 0, 1), (1, 1, 1), (1, 3, 1), (2, 0, 1), (2, 1, 1), (2, 3, 1),
                                           (3, 1, 1), (4, 1, 1)]  # fmt: skip


def test_latency_is_early_for_much_and_nothing_for_the_least() -> None:
    s = senses(Encoder("latency", "in", channels=4, low=0, high=100), bursts_per_sample=11)
    assert rows(s, [[100, 0, 1, 55]]) == [(1, 0, 1), (5, 3, 1), (10, 2, 1)]  # floor((100 - 1) * 10 / 100) = 9


def test_population_fires_around_its_centres() -> None:
    """Width 10, centres 0, 10, 20: x = 4 gives 6 to the first and 4 to the second in every burst."""
    s = senses(Encoder("population", "in", low=0, high=20, count=3), bursts_per_sample=3)
    assert rows(s, [[4]]) == [(2, 0, 1), (3, 1, 1)]  # 6, 12 (fires, 2), 8 and 4, 8, 12 (fires)
    assert rows(s, [[10]]) == [(burst, 1, 1) for burst in (1, 2, 3)]


def test_population_of_more_centres_than_raw_steps_has_width_one() -> None:
    s = senses(Encoder("population", "in", low=0, high=1, count=4))
    assert rows(s, [[0]]) == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]  # centres 0, 0, 0, 1


def test_values_are_cut_and_zero_is_nothing() -> None:
    s = senses(Encoder("value", "in", channels=4, zero=-2, gain=0.5), bursts_per_sample=2, settle=3)
    found = [(1, 0, 2), (1, 2, 16777215), (1, 3, -16777215)]
    assert rows(s, [[0, -2, RAW[1], RAW[0]]]) == found + [(2, *rest) for _, *rest in found]


def test_a_later_presentation_begins_where_it_is_told() -> None:
    s = senses(Encoder("level", "in", levels=(0,)))
    assert rows(s, [[0]], 41) == [(41, 0, 1)]


# ---- against a scalar loop


def slow(e: Encoder, raw: list[list[int]], bursts_per_sample: int) -> set[tuple[int, int, int]]:
    """Entries (burst, neuron, value) of an encoder, channel by channel, burst by burst, in Python integers."""
    found = set()
    for i in range(e.channels):
        memory = dict.fromkeys(range(64), 0)
        for t in range(len(raw) * bursts_per_sample):
            sample, within = divmod(t, bursts_per_sample)
            x = raw[sample][e.channel + i]
            cut = min(max(x, e.low), e.high)
            if e.kind == "rate":
                memory[0] += cut - e.low
                if memory[0] >= e.high - e.low:
                    memory[0] -= e.high - e.low
                    found.add((t + 1, i, 1))
            elif e.kind == "delta" and within == 0:
                if t == 0:
                    memory[0] = x
                elif abs(x - memory[0]) >= e.step:
                    found.add((t + 1, i + (e.channels if x < memory[0] else 0), 1))
                    memory[0] = x
            elif e.kind == "level":
                found |= {(t + 1, k * e.channels + i, 1) for k, level in enumerate(e.levels) if x >= level}
            elif e.kind == "latency" and cut > e.low:
                if within == (e.high - cut) * (bursts_per_sample - 1) // (e.high - e.low):
                    found.add((t + 1, i, 1))
            elif e.kind == "population":
                width = max((e.high - e.low) // (e.count - 1), 1)
                for k in range(e.count):
                    memory[k] += max(width - abs(cut - e.low - k * (e.high - e.low) // (e.count - 1)), 0)
                    if memory[k] >= width:
                        memory[k] -= width
                        found.add((t + 1, k * e.channels + i, 1))
            elif e.kind == "value" and x != e.zero:
                found.add((t + 1, i, min(max(x - e.zero, -(2**24) + 1), 2**24 - 1)))
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Senses, list[list[int]]]:
    kind = draw(st.sampled_from(["rate", "delta", "level", "latency", "population", "value"]))
    most = draw(st.sampled_from([4, 1000, 1 << 24, RAW[1]]))
    number = st.integers(-most - 1, most)
    low = draw(number)
    high = min(low + draw(st.integers(1, min(most, 1 << 24))), RAW[1])
    encoder = Encoder(
        kind, "in", first=draw(st.integers(0, 9)), channel=draw(st.integers(0, 2)), channels=draw(st.integers(1, 3)),
        low=min(low, high - 1), high=high, step=draw(st.integers(1, most)), zero=draw(number), gain=1.0,
        levels=tuple(sorted(draw(st.sets(number, min_size=1, max_size=5)))), count=draw(st.integers(2, 9)),
    )  # fmt: skip
    s = senses(encoder, samples=draw(st.integers(1, 6)), bursts_per_sample=draw(st.integers(1, 9)))
    row = st.lists(number, min_size=s.channels, max_size=s.channels)
    return s, draw(st.lists(row, min_size=s.samples, max_size=s.samples))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_encoders_equal_a_scalar_loop(case: tuple[Senses, list[list[int]]]) -> None:
    s, raw = case
    expected = {(t, n + s.encoders[0].first, v) for t, n, v in slow(s.encoders[0], raw, s.bursts_per_sample)}
    assert rows(s, raw) == sorted(expected)


def test_presentations_side_by_side_do_not_know_of_each_other() -> None:
    rng = np.random.default_rng(1)
    raw = rng.integers(-20, 20, (5, 7, 2))
    for encoder in (Encoder("rate", "in", channels=2, high=16), Encoder("delta", "in", channels=2, step=4)):
        together = sensing.encode(encoder, raw, 3)
        for one, alone in zip(together, raw, strict=True):
            assert np.array_equal(one, sensing.encode(encoder, alone, 3))


# ---- codes


@dataclass(frozen=True)
class Net:
    """What coding asks of a quantized connectome."""

    precision: str
    scale: float = 1.0
    limit: float = 1 << 20

    @property
    def area_of_neuron(self) -> Any:
        return np.repeat(np.arange(3, dtype=np.int32), [area.count for area in AREAS])

    @property
    def scale_of_neuron(self) -> Any:
        return np.full(207, self.scale)

    @property
    def stimulus_limit(self) -> Any:
        return np.full(3, self.limit, np.int32 if self.precision == "int8" else np.float32)


def coded(encoder: Encoder, raw: list[int], q: Net) -> tuple[list[Any], int]:
    s = senses(replace(encoder, channels=len(raw)))
    made = sensing.code(sensing.presentation(s, AREAS, np.array([raw], np.int32)), s, q)
    made.check_order()
    return made.value.tolist(), made.clamped


def test_a_spike_is_at_least_one_code_and_is_cut() -> None:
    level = Encoder("level", "in", levels=(0,), amount=2.5)
    assert coded(level, [0], Net("int8")) == ([3], 0)
    assert coded(level, [0], Net("int8", scale=6)) == ([1], 0)
    assert coded(level, [0], Net("int8", limit=2)) == ([2], 1)
    assert coded(level, [0], Net("fp16")) == ([2.5], 0)


def test_values_in_codes_round_to_nearest_halves_up() -> None:
    value = Encoder("value", "in", gain=0.5)
    assert coded(value, [1, -1, 3, -3, 4], Net("int8")) == ([1, 0, 2, -1, 2], 0)
    assert coded(value, [1000, -1000], Net("int8", limit=99)) == ([99, -99], 2)
    assert coded(value, [3, -3], Net("fp32")) == ([1.5, -1.5], 0)


def test_multiplier_is_the_largest_that_fits_31_bits() -> None:
    assert sensing.multiplier(0.5, 1.0) == (1 << 29, 30)
    assert sensing.multiplier(1.0, 1.0) == (1 << 30, 30)
    assert sensing.multiplier(2.0, 1.0) == (1 << 30, 29)
    assert sensing.multiplier(2.0**30, 1.0) == (1 << 30, 0)
    assert sensing.multiplier(2.0**-31, 1.0) == (1, 30)
    assert sensing.multiplier(1.0, 3.0) == (357913941, 30)
    assert sensing.multiplier(math.nextafter(2.0, 0), 1.0) == (1 << 30, 29)  # rounds to 2^31 with s = 30
    with pytest.raises(EspikeError, match="codes; make raw steps smaller"):
        sensing.multiplier(2.0**31, 1.0)
    assert sensing.code_value(-7, 2.0**20, 1.0) == -7 << 20


def test_floats_are_one_multiplication_of_binary32() -> None:
    value, big = Encoder("value", "in", gain=0.1), (1 << 24) - 1
    found, clamped = coded(value, [big, 3], Net("fp32", limit=3e38))
    assert (found, clamped) == ([float(np.float32(big) * np.float32(0.1)), float(np.float32(3) * np.float32(0.1))], 0)
    found, clamped = coded(replace(value, gain=3e38), [2, -2], Net("fp32", limit=3e38))
    assert (found, clamped) == ([float(np.float32(3e38)), -float(np.float32(3e38))], 2)


# ---- answers


QUEUES = [[203, 205], [], [0, 204, 205], [204, 205], [206]]


def decoded(decoder: Decoder, bursts: int = 4, first_burst: int = 1) -> tuple[list[Any], int]:
    s = senses(Encoder("level", "in", levels=(0,)), samples=bursts, decoder=decoder)
    ids = [np.array(queue, np.uint32) for queue in QUEUES]
    ledger = from_queues(ids, first_burst=1, neurons=207, hashes=np.zeros((len(ids), 2), np.uint32))
    values = sensing.decode(s, AREAS, ledger, np.arange(207, dtype=np.int16) % 206, first_burst)
    return values.tolist(), sensing.answer(decoder, values)


def test_answers_by_hand() -> None:
    assert decoded(OUT) == ([1, 2, 3, 0], 2)
    assert decoded(OUT, 1) == ([1, 0, 1, 0], 0)  # the first of equals
    assert decoded(replace(OUT, first=1, count=2)) == ([2, 3], 1)
    assert decoded(Decoder("first", "out")) == ([1, 3, 1, 0], 0)
    assert decoded(Decoder("first", "out"), 3, 3) == ([0, 1, 1, 3], 1)
    assert decoded(Decoder("first", "out"), 1, 2) == ([0, 0, 0, 0], -1)
    assert decoded(Decoder("potential", "out")) == ([203, 204, 205, 0], 2)
    assert decoded(Decoder("number", "out", first=3)) == ([0], -1)
    with pytest.raises(EspikeError, match="burst 6 is not in the ledger"):
        decoded(OUT, 5, 2)


def test_float_potentials_stay_floats() -> None:
    s = senses(Encoder("level", "in", levels=(0,)), decoder=Decoder("potential", "out"))
    ledger = from_queues([], first_burst=1, neurons=207, hashes=np.zeros((0, 2), np.uint32))
    values = sensing.decode(s, AREAS, ledger, np.full(207, -0.25, np.float16))
    assert values.dtype == np.float32
    assert sensing.answer(s.decoder, values) == 0


# ---- JSON and checks


META = {
    "channels": 8, "unit": 0.25, "samples": 3, "bursts_per_sample": 5, "settle": 2, "fresh": False,
    "encoders": [
        {"kind": "rate", "area": "in", "first": 0, "channel": 0, "channels": 8, "low": -3, "high": 16},
        {"kind": "delta", "area": "in", "first": 8, "channel": 2, "channels": 4, "step": 3, "amount": 2.5},
        {"kind": "level", "area": "in", "first": 16, "channel": 0, "channels": 1, "levels": [1, 2, 9]},
        {"kind": "latency", "area": "in", "first": 19, "channel": 0, "channels": 2, "low": 0, "high": 1 << 24},
        {"kind": "population", "area": "in", "first": 21, "channel": 0, "channels": 2, "low": 0, "high": 9, "count": 4},
        {"kind": "value", "area": "in", "first": 29, "channel": 7, "channels": 1, "zero": -9, "gain": 0.125},
    ],
    "decoder": {"kind": "first", "area": "out", "first": 1, "count": 2, "labels": ["yes", "no"]},
}  # fmt: skip


def test_senses_survive_json() -> None:
    made = senses_from_meta(json.loads(json.dumps(META)), "here")
    assert made is not None
    made.check(AREAS)
    assert made.as_json() == META
    assert made.bursts == 17
    assert senses_from_meta(None, "here") is None


def read_and_check(meta: Any) -> None:
    made = senses_from_meta(meta, "here")
    assert made is not None
    made.check(AREAS, "here: senses")


VALUE_TO_SPIKES = {"kind": "value", "area": "out", "channel": 7, "zero": 0, "gain": 1.0}


def edited(path: str, value: Any) -> Any:
    """META with one entry replaced; `...` takes it away."""
    meta = json.loads(json.dumps(META))
    at, names = meta, [int(name) if name.isdigit() else name for name in path.split(".")]
    for name in names[:-1]:
        at = at[name]
    if value is ...:
        del at[names[-1]]
    else:
        at[names[-1]] = value
    return meta


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("channels", 0, "here: senses: channels is 0, expected 1..65535"),
        ("channels", ..., "here: senses: channels is missing"),
        ("channels", True, "here: senses: channels: True is no int"),
        ("channels", 7, "here: senses: encoders[0]: reads channels 0+8, a sample has 7"),
        ("unit", 0, "here: senses: unit is 0.0, expected a number above 0"),
        ("unit", float("nan"), "here: senses: unit is nan, expected a number above 0"),
        ("samples", 1 << 31, "here: senses: samples is 2147483648, expected 1..2147483647"),
        ("samples", 1 << 30, "here: senses: bursts of a presentation is 5368709122, expected 1..2147483647"),
        ("settle", -1, "here: senses: settle is -1, expected 0..65535"),
        ("fresh", 1, "here: senses: fresh: 1 is no bool"),
        ("pace", 1, "here: senses: knows no pace; update espike"),
        ("encoders", [], "here: senses: there is no encoder"),
        ("encoders", {}, "here: senses: encoders are no list"),
        ("encoders", [3], "here: senses: encoders[0]: is no JSON object"),
        ("decoder", None, "here: senses: decoder: is no JSON object"),
        ("encoders.0.kind", "poisson", "here: senses: encoders[0]: encoder 'poisson' is unknown"),
        ("encoders.0.step", 3, "here: senses: encoders[0]: rate knows no step"),
        ("encoders.0.high", ..., "here: senses: encoders[0]: rate needs high"),
        ("encoders.0.high", -3, "here: senses: encoders[0]: high - low is 0, expected 1..16777216"),
        ("encoders.0.low", 15 - (1 << 24), "here: senses: encoders[0]: high - low is 16777217"),
        ("encoders.0.low", 0.5, "here: senses: encoders[0]: low: 0.5 is no int"),
        ("encoders.0.low", 1 << 31, "here: senses: encoders[0]: low is 2147483648, expected -2147483648..2147483647"),
        ("encoders.0.area", "eye", "here: senses: encoders[0]: there is no area 'eye'"),
        ("encoders.0.first", -1, "here: senses: encoders[0]: first neuron -1 is below 0"),
        ("encoders.1.step", 0, "here: senses: encoders[1]: step is 0, expected 1..2147483647"),
        ("encoders.1.amount", 0, "here: senses: encoders[1]: amount is 0.0, expected a binary32 above 0"),
        ("encoders.1.amount", 10**400, "here: senses: encoders[1]: amount is inf, expected a binary32 above 0"),
        ("encoders.1.first", 7, "encoders[1]: stimulates neurons of area in that encoders[0] stimulates"),
        ("encoders.2.levels", 5, "here: senses: encoders[2]: levels: 5 is no list"),
        ("encoders.2.levels", [], "here: senses: encoders[2]: number of levels is 0, expected 1..16"),
        ("encoders.2.levels", [1, 1], "here: senses: encoders[2]: levels do not ascend"),
        ("encoders.2.levels", [1, "2"], "here: senses: encoders[2]: levels: '2' is no int"),
        ("encoders.2.levels", list(range(17)), "encoders[2]: number of levels is 17, expected 1..16"),
        ("encoders.4.count", 65, "here: senses: encoders[4]: count is 65, expected 2..64"),
        ("encoders.5.amount", 2.0, "here: senses: encoders[5]: value knows no amount"),
        ("encoders.5.gain", float("nan"), "here: senses: encoders[5]: gain is nan, expected a binary32 above 0"),
        ("encoders.5.area", "out", "encoders[5]: stimulates neurons 29+1 of area out, which has 4"),
        ("encoders.5", VALUE_TO_SPIKES, "encoders[5]: gives values to area out, which is not graded"),
        ("decoder.kind", "sum", "here: senses: decoder: decoder 'sum' is unknown"),
        ("decoder.count", 4, "here: senses: decoder: reads neurons 1+4 of area out, which has 4"),
        ("decoder.count", -1, "here: senses: decoder: reads neurons 1+-1"),
        ("decoder.first", 4, "here: senses: decoder: reads neurons 4+2 of area out, which has 4"),
        ("decoder.labels", ["yes"], "here: senses: decoder: has 1 labels for 2 neurons"),
        ("decoder.labels", "ab", "here: senses: decoder: labels: 'ab' is no list"),
        ("decoder.area", ..., "here: senses: decoder: area is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(path: str, value: Any, said: str) -> None:
    with pytest.raises(EspikeError) as found:
        read_and_check(edited(path, value))
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_wrong_samples_are_refused() -> None:
    s = senses(Encoder("level", "in", levels=(0,)), samples=2)
    for raw in (np.zeros((2, 2), np.int32), np.zeros((1, 1), np.int32), np.zeros((2, 1))):
        with pytest.raises(EspikeError, match=r"expected integers \(2, 1\): samples, channels"):
            sensing.presentation(s, AREAS, raw)


def test_measured_values_become_raw_ones() -> None:
    assert to_raw(np.array([0.124, 0.125, -0.125, -0.126, 1e300, -1e300]), 0.25).tolist() == [0, 1, 0, -1, *RAW[::-1]]
    with pytest.raises(EspikeError, match="not finite"):
        to_raw(np.nan, 1.0)


# ---- inputs that others encoded


def others(name: str) -> tuple[Any, Any]:
    """(input (samples, bursts, neurons), raw) of a model's test set; skips where it is absent."""
    path = NIR / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    with np.load(path) as file:
        return np.unpackbits(file["x"], axis=-1)[..., : int(file["x_shape"][2])], file["raw"]


@pytest.mark.parametrize("name", ["np_digits_lif_zero", "np_digits_lif_sub_bias"])
def test_rate_encoders_make_the_digits_models_inputs(name: str) -> None:
    x, raw = others(name)
    made = sensing.encode(Encoder("rate", "in", channels=64, low=0, high=16), raw[:, None, :].astype(np.int32), 25)
    assert np.array_equal(made, x)


def test_delta_encoders_make_the_basicmotions_models_inputs() -> None:
    x, raw = others("np_basicmotions_lif_zero")
    one = 1 << 16
    samples = to_raw(np.moveaxis(raw, 1, 2), 1 / one)
    steps = [sensing.encode(Encoder("delta", "in", channels=6, step=step), samples, 1) for step in (one, 4 * one)]
    assert np.array_equal(np.concatenate(steps, axis=-1), x)
