"""raw samples -> stimulus, fire ledger -> answer: what senses compute, written to be read.

docs/senses.md defines it. Leading axes of samples are presentations that do not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .engine import CodedStimulus
from .errors import EspikeError
from .ledger import Ledger
from .senses import Decoder, Encoder, SenseArea, Senses, find

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

VALUE_MOST = (1 << 24) - 1
"""A value that is given lies within +- this of zero."""
SHIFT_MOST = 30


@dataclass(frozen=True)
class Presented:
    """What encoders give, sorted by (burst, neuron), before it is in numbers of a network."""

    burst: I64  # (entries,)
    neuron: U32  # (entries,)
    encoder: I64  # (entries,) which one of the senses
    value: I64  # (entries,) 1 of a neuron that fires; of `value` encoders x - zero, never 0


class CodedNetwork(Protocol):
    """What coding needs to know: a quantized connectome."""

    @property
    def precision(self) -> str:
        """int8, fp32 or fp16."""

    @property
    def scale_of_neuron(self) -> F64:
        """float64 (neurons,): potential units per code."""

    @property
    def area_of_neuron(self) -> NDArray[np.int32]:
        """int32 (neurons,): area index."""

    @property
    def stimulus_limit(self) -> NDArray[Any]:
        """(areas,): largest |entry|, in codes (fp32: potential units)."""


# ---- senses -> raw values


def idle(senses: Senses) -> I32:
    """int32 (channels,): raw values at which encoders give nothing, or as little as they can."""
    made = np.zeros(senses.channels, np.int32)
    for encoder in senses.encoders:
        part = slice(encoder.channel, encoder.channel + encoder.channels)
        if encoder.kind in ("rate", "latency", "population"):
            made[part] = encoder.low
        elif encoder.kind == "value":
            made[part] = encoder.zero
        elif encoder.kind == "level":
            made[part] = np.minimum(made[part], min(encoder.levels) - 1)
    return made


def ends(senses: Senses) -> tuple[I32, I32]:
    """(lowest, highest) raw values that encoders tell apart, int32 (channels,) each; of delta alone, 16 steps."""
    low, high = np.full(senses.channels, np.iinfo(np.int32).max), np.full(senses.channels, np.iinfo(np.int32).min)
    for e in senses.encoders:
        part = slice(e.channel, e.channel + e.channels)
        some = _ends(e)
        low[part], high[part] = np.minimum(low[part], some[0]), np.maximum(high[part], some[1])
    unread = low > high
    low[unread] = high[unread] = 0
    return low.astype(np.int32), high.astype(np.int32)


def _ends(e: Encoder) -> tuple[int, int]:
    if e.kind == "level":
        return min(e.levels) - 1, max(e.levels)
    if e.kind == "delta":
        return 0, 16 * e.step
    if e.kind == "value":
        steps = int(min(1 << 20, max(1, 4 / e.gain)))  # a potential of 4
        return e.zero - steps, e.zero + steps
    return e.low, e.high


# ---- raw samples -> what encoders give, int64 (..., bursts, neurons): 0 is nothing


def encode(encoder: Encoder, raw: NDArray[Any], bursts_per_sample: int) -> I64:
    """int64 (..., samples * bursts_per_sample, neurons) of raw (..., samples, channels of a sample).

    1: the neuron fires; a `value` encoder gives x - zero; 0: nothing.
    """
    x = raw[..., encoder.channel : encoder.channel + encoder.channels].astype(np.int64)
    return _ENCODERS[encoder.kind](encoder, x, bursts_per_sample)


def _rate(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    every_burst = np.repeat(np.clip(x, encoder.low, encoder.high) - encoder.low, bursts_per_sample, axis=-2)
    return _accumulate(every_burst, encoder.span)


def _accumulate(added: I64, full: int) -> I64:
    """Per burst a = a + added; where a >= full it fires and a loses full. `added` (..., bursts, neurons) is <= full."""
    fired = np.zeros_like(added)
    a = np.zeros_like(added[..., 0, :])
    for burst in range(added.shape[-2]):
        a = a + added[..., burst, :]
        fired[..., burst, :] = a >= full
        a = np.where(a >= full, a - full, a)
    return fired


def _delta(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    up, down = np.zeros(x.shape, np.bool_), np.zeros(x.shape, np.bool_)
    r = x[..., 0, :]
    for sample in range(x.shape[-2]):
        now = x[..., sample, :]
        up[..., sample, :], down[..., sample, :] = now - r >= encoder.step, r - now >= encoder.step
        r = np.where(up[..., sample, :] | down[..., sample, :], now, r)
    return _in_burst(np.concatenate((up, down), axis=-1), np.int64(0), bursts_per_sample)


def _in_burst(fires: Bool, burst_of_sample: I64 | np.int64, bursts_per_sample: int) -> I64:
    """Neurons (..., samples, neurons) that fire once in a sample, in its burst number `burst_of_sample` (from 0)."""
    made = np.zeros((*fires.shape[:-1], bursts_per_sample, fires.shape[-1]), np.int64)
    for burst in range(bursts_per_sample):
        made[..., burst, :] = fires & (burst_of_sample == burst)
    return made.reshape(*fires.shape[:-2], fires.shape[-2] * bursts_per_sample, fires.shape[-1])


def _level(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    reached = np.concatenate([x >= level for level in encoder.levels], axis=-1)
    return np.repeat(reached.astype(np.int64), bursts_per_sample, axis=-2)


def _latency(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    x = np.clip(x, encoder.low, encoder.high)
    burst_of_sample = (encoder.high - x) * (bursts_per_sample - 1) // encoder.span
    return _in_burst(x != encoder.low, burst_of_sample, bursts_per_sample)


def _population(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    x = np.clip(x, encoder.low, encoder.high)
    width = max(1, encoder.span // (encoder.count - 1))
    centres = [encoder.low + k * encoder.span // (encoder.count - 1) for k in range(encoder.count)]
    near = np.concatenate([np.maximum(0, width - np.abs(x - centre)) for centre in centres], axis=-1)
    return _accumulate(np.repeat(near, bursts_per_sample, axis=-2), width)


def _value(encoder: Encoder, x: I64, bursts_per_sample: int) -> I64:
    return np.repeat(np.clip(x - encoder.zero, -VALUE_MOST, VALUE_MOST), bursts_per_sample, axis=-2)


_ENCODERS: dict[str, Callable[[Encoder, I64, int], I64]] = {
    "rate": _rate,
    "delta": _delta,
    "level": _level,
    "latency": _latency,
    "population": _population,
    "value": _value,
}


def presentation(senses: Senses, areas: Sequence[SenseArea], raw: NDArray[Any], first_burst: int = 1) -> Presented:
    """What one presentation gives; raw: int32 (samples, channels). Its first burst is `first_burst`.

    Raises: EspikeError where raw has another shape or holds no integers.
    """
    if raw.shape != (senses.samples, senses.channels) or raw.dtype.kind not in "iu":
        wanted = f"integers ({senses.samples}, {senses.channels})"
        raise EspikeError(f"raw samples are {raw.dtype} {raw.shape}, expected {wanted}: samples, channels")
    burst, neuron, which, value = [], [], [], []
    for index, encoder in enumerate(senses.encoders):
        given = encode(encoder, raw, senses.bursts_per_sample)
        at, one = np.nonzero(given)
        burst.append(at + first_burst)
        neuron.append(one + find(areas, encoder.area, f"senses: encoders[{index}]").first + encoder.first)
        which.append(np.full(len(at), index))
        value.append(given[at, one])
    bursts, neurons = np.concatenate(burst), np.concatenate(neuron)
    order = np.lexsort((neurons, bursts))
    return Presented(
        bursts[order], neurons[order].astype(np.uint32), np.concatenate(which)[order], np.concatenate(value)[order]
    )


# ---- what encoders give -> coded stimulus


@lru_cache(maxsize=1024)
def multiplier(gain: float, scale: float) -> tuple[int, int]:
    """(m, s) by which int8 codes values: m = floor(gain / scale * 2^s + 0.5), s the largest of 0..30 with m < 2^31.

    Exact for the two numbers as they are. Raises: EspikeError where gain / scale is too large for any s.
    """
    ratio = Fraction(gain) / Fraction(scale)
    for s in range(SHIFT_MOST, -1, -1):
        m = int(ratio * (1 << s) + Fraction(1, 2))
        if m < 1 << 31:
            return m, s
    raise EspikeError(f"a gain of {gain} is {float(ratio):g} codes", where="senses", do="make raw steps smaller")


def code_value(value: int, gain: float, scale: float) -> int:
    """x - zero in codes, before the cut to the area's stimulus limit: (value * m + 2^(s - 1)) >> s."""
    m, s = multiplier(gain, scale)
    return (value * m + ((1 << s) >> 1)) >> s


def code_spike(amount: float, scale: float) -> int:
    """What a neuron that fires is given, in codes, before the cut to a limit below 2^30: floor(amount / scale + 0.5),
    at least 1, at most 2^31."""
    return min(max(1, int(np.floor(amount / scale + 0.5))), 1 << 31)


def code(presented: Presented, senses: Senses, q: CodedNetwork) -> CodedStimulus:
    """The entries in numbers of a network: int32 codes, or float32. What is cut to an area's limit is counted."""
    limit = q.stimulus_limit[q.area_of_neuron[presented.neuron]]
    exact: NDArray[Any]
    if q.precision == "int8":
        exact = _codes(presented, senses, q.scale_of_neuron)
    else:
        exact = _floats(presented, senses)
    number = np.int32 if q.precision == "int8" else np.float32
    kept = np.clip(exact, -limit, limit).astype(number) + number(0)  # a limit of 0 gives no -0
    clamped = int(np.count_nonzero(kept != exact))
    return CodedStimulus(presented.burst, presented.neuron, kept, clamped)


def _codes(presented: Presented, senses: Senses, scale_of_neuron: F64) -> I64:
    codes = np.zeros(len(presented.value), np.int64)
    for i, (neuron, index, value) in enumerate(
        zip(presented.neuron.tolist(), presented.encoder.tolist(), presented.value.tolist(), strict=True)
    ):
        encoder, scale = senses.encoders[index], float(scale_of_neuron[neuron])
        valued = encoder.kind == "value"
        codes[i] = code_value(value, encoder.gain, scale) if valued else code_spike(encoder.amount, scale)
    return codes


def _floats(presented: Presented, senses: Senses) -> NDArray[np.float32]:
    gain = np.array([e.gain if e.kind == "value" else e.amount for e in senses.encoders], np.float32)
    with np.errstate(over="ignore"):
        product: NDArray[np.float32] = presented.value.astype(np.float32) * gain[presented.encoder]
    return product


# ---- fire ledger and potentials -> values -> answer


def decode(
    senses: Senses, areas: Sequence[SenseArea], ledger: Ledger, potentials: NDArray[Any], first_burst: int = 1
) -> NDArray[Any]:
    """(neurons read,): the decoder's value of each neuron, int64; potentials of fp32 and fp16 as float32.

    The presentation began in `first_burst`; `potentials` (neurons of the network,) are those after its last burst. A
    decoder with a margin stops where it is decided, or where the ledger ends.
    Raises: EspikeError where the ledger does not hold the presentation.
    """
    part = senses.decoder.part(find(areas, senses.decoder.area, "senses: decoder"))
    if senses.decoder.kind in ("potential", "number"):
        read = potentials[part]
        return read.astype(np.float32 if read.dtype.kind == "f" else np.int64)
    values = np.zeros(part.stop - part.start, np.int64)
    bursts = min(senses.bursts, ledger.last_burst - first_burst + 1) if senses.decoder.margin else senses.bursts
    for burst in range(bursts):
        fired = ledger.fired(first_burst + burst).astype(np.int64) - part.start
        fired = fired[(fired >= 0) & (fired < len(values))]
        if senses.decoder.kind == "count":
            values[fired] += 1
        else:
            values[fired[values[fired] == 0]] = burst + 1
        if is_decided(senses.decoder, values):
            break
    return values


def is_decided(decoder: Decoder, values: NDArray[Any]) -> bool:
    """Is a neuron ahead of all others by the decoder's margin, so that the presentation ends?"""
    if not decoder.margin:
        return False
    ahead = np.sort(np.append(values, 0))
    return bool(ahead[-1] - ahead[-2] >= decoder.margin)


def answer(decoder: Decoder, values: NDArray[Any]) -> int:
    """Which of the neurons read is the answer, from 0; -1: none."""
    if decoder.kind == "number" or (decoder.kind == "first" and not np.any(values)):
        return -1
    if decoder.kind == "first":
        return int(np.argmin(np.where(values == 0, np.iinfo(np.int64).max, values)))
    return int(np.argmax(values))
