"""specs and data -> encoders: `rate`, `delta:0.5,2` or `population:5`, with ranges of the training data.

A spec is KIND, or KIND:NUMBERS; numbers are measured values (raw value times unit) but for counts:
rate:LOW,HIGH  delta:STEP,...  level:LEVEL,...  latency:LOW,HIGH  population:COUNT[,LOW,HIGH]  value:ZERO,DEVIATION
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from espike_sim.errors import EspikeError
from espike_sim.senses import ENCODER_KINDS, RAW, SPAN_MOST, Encoder, to_raw

from .data import Data

AREA = "input"
STATIC, SERIES = ("rate",), ("delta", "level")
"""What is taken for vectors, and for series."""
DELTA_STEPS = (0.25, 1.0)
"""Standard deviations."""
LEVELS = 4
CENTRES = 5
OWN_RANGE_BELOW = 0.25
"""Channels have ranges or steps of their own where the median of what they span is below this share of the most."""


def make(specs: Sequence[str], data: Data, area: str = AREA) -> tuple[Encoder, ...]:
    """Encoders of all channels, the neurons of one spec behind those of the other; no spec: STATIC or SERIES.

    Raises: EspikeError naming the spec.
    """
    made: list[Encoder] = []
    for spec in specs or (STATIC if data.samples == 1 else SERIES):
        kind, _, text = spec.partition(":")
        if kind not in ENCODER_KINDS:
            do = "use " + ", ".join(ENCODER_KINDS)
            raise EspikeError(f"encoder {kind!r} is unknown", where=f"--encoder {spec}", do=do)
        for encoder in _MAKERS[kind](_numbers(spec, text), data, f"--encoder {spec}"):
            made.append(replace(encoder, area=area, first=sum(e.neurons for e in made)))
            made[-1].check(data.channels, f"--encoder {spec}")
    if len({encoder.kind == "value" for encoder in made}) > 1:
        raise EspikeError("value goes with no other encoder: its area is graded", where="--encoder")
    return tuple(made)


def _numbers(spec: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise EspikeError("takes numbers behind the colon", where=f"--encoder {spec}") from None
    if not np.all(np.isfinite(numbers)):
        raise EspikeError("holds a number that is not finite", where=f"--encoder {spec}")
    return numbers


def _ranged(kind: str, numbers: list[float], data: Data, where: str, count: int = 0) -> list[Encoder]:
    """One encoder for all channels, or one for each."""
    if len(numbers) not in (0, 2):
        raise EspikeError("takes low and high, or nothing", where=where)
    ranges = _ranges(data)
    if numbers:
        low, high = to_raw(np.array(numbers), data.unit).tolist()
        ranges = [(0, data.channels, low, high)]
    return [
        Encoder(kind, AREA, channel=channel, channels=channels, low=low, high=high, count=count)
        for channel, channels, low, high in ranges
    ]


def _ranges(data: Data) -> list[tuple[int, int, int, int]]:
    """(first channel, channels, low, high) of the training data."""
    low, high = (f(data.train.raw, axis=(0, 1)).astype(np.int64) for f in (np.min, np.max))
    if np.median(high - low) >= OWN_RANGE_BELOW * (high.max() - low.min()):
        return [(0, data.channels, *_ends(int(low.min()), int(high.max())))]
    return [(i, 1, *_ends(int(low[i]), int(high[i]))) for i in range(data.channels)]


def _ends(low: int, high: int) -> tuple[int, int]:
    """A range that an encoder may have: one raw step wide at least, SPAN_MOST at most, around the same middle."""
    if high - low > SPAN_MOST:
        low = (low + high - SPAN_MOST) // 2
        return low, low + SPAN_MOST
    return (low, max(high, low + 1)) if low < RAW[1] else (low - 1, low)


def _delta(numbers: list[float], data: Data, where: str) -> list[Encoder]:
    if any(step <= 0 for step in numbers):
        raise EspikeError("takes steps above 0", where=where)
    if numbers:
        steps = [max(1, int(to_raw(step, data.unit))) for step in numbers]
        return [Encoder("delta", AREA, channels=data.channels, step=step) for step in steps]
    deviation = data.train.raw.std(axis=(0, 1))
    own = np.median(deviation) < OWN_RANGE_BELOW * deviation.max()
    usual = deviation if own else np.median(deviation, keepdims=True)
    return [
        Encoder("delta", AREA, channel=i, channels=1 if own else data.channels, step=max(1, round(share * size)))
        for share in DELTA_STEPS
        for i, size in enumerate(usual.tolist())
    ]


def _level(numbers: list[float], data: Data, where: str) -> list[Encoder]:
    if numbers:
        levels = tuple(to_raw(np.array(numbers), data.unit).tolist())
        return [Encoder("level", AREA, channels=data.channels, levels=levels)]
    made = []
    for channel, channels, low, high in _ranges(data):
        even = sorted({low + (high - low) * k // (LEVELS + 1) for k in range(1, LEVELS + 1)})
        made.append(Encoder("level", AREA, channel=channel, channels=channels, levels=tuple(even)))
    return made


def _population(numbers: list[float], data: Data, where: str) -> list[Encoder]:
    if numbers and not numbers[0].is_integer():
        raise EspikeError("takes a whole number of neurons first", where=where)
    return _ranged("population", numbers[1:], data, where, int(numbers[0]) if numbers else CENTRES)


def _value(numbers: list[float], data: Data, where: str) -> list[Encoder]:
    """A standard deviation becomes a potential of 1."""
    if len(numbers) not in (0, 2) or (numbers and numbers[1] <= 0):
        raise EspikeError("takes zero and a deviation above 0, or nothing", where=where)
    if numbers:
        zero, gain = int(to_raw(numbers[0], data.unit)), data.unit / numbers[1]
        return [Encoder("value", AREA, channels=data.channels, zero=zero, gain=gain)]
    raw = data.train.raw
    zeros, deviations = np.round(raw.mean(axis=(0, 1))).astype(np.int64).tolist(), raw.std(axis=(0, 1)).tolist()
    return [
        Encoder("value", AREA, channel=i, zero=zero, gain=1 / (deviation or 1.0))
        for i, (zero, deviation) in enumerate(zip(zeros, deviations, strict=True))
    ]


_MAKERS: dict[str, Callable[[list[float], Data, str], list[Encoder]]] = {
    "rate": lambda numbers, data, where: _ranged("rate", numbers, data, where),
    "delta": _delta,
    "level": _level,
    "latency": lambda numbers, data, where: _ranged("latency", numbers, data, where),
    "population": _population,
    "value": _value,
}
