"""meta -> senses: the encoders that make input of raw samples, and the decoder that makes an answer of spikes.

docs/senses.md defines them; `sensing` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .dynamics import Dynamics
from .errors import EspikeError

ENCODER_KINDS = {
    "rate": ("low", "high"),
    "delta": ("step",),
    "level": ("levels",),
    "latency": ("low", "high"),
    "population": ("low", "high", "count"),
    "value": ("zero", "gain"),
}
"""The fields of each kind besides those that all have."""
DECODER_KINDS = ("count", "first", "potential", "number")

COUNT_MOST = 65535
"""Of channels, bursts of a sample, bursts without samples."""
BURSTS_MOST = (1 << 31) - 1
"""Of samples, and of bursts of a presentation."""
SPAN_MOST = 1 << 24
LEVELS_MOST = 16
CENTRES_MOST = 64
RAW = (-(1 << 31), (1 << 31) - 1)
"""What a raw value, and what is compared with one, may be."""
FLOAT_LEAST, FLOAT_MOST = float(np.finfo(np.float32).smallest_normal), 3e38


class SenseArea(Protocol):
    """What senses need to know of an area."""

    @property
    def id(self) -> str:
        """What encoders and the decoder call it."""

    @property
    def first(self) -> int:
        """Its first neuron."""

    @property
    def count(self) -> int:
        """Its neurons."""

    @property
    def dynamics(self) -> Dynamics | None:
        """Its neuron model."""


@dataclass(frozen=True)
class Encoder:
    """Channels to stimulated neurons; raw values and what is compared with them are int32. docs/senses.md, Encoders."""

    kind: str
    """One of ENCODER_KINDS, which names the fields that count."""
    area: str
    first: int = 0
    """First neuron, counted within the area."""
    channel: int = 0
    channels: int = 1
    amount: float = 1.0
    """Potential that a neuron is given when it fires; `value` has a gain instead."""
    low: int = 0
    high: int = 0
    step: int = 0
    levels: tuple[int, ...] = ()
    count: int = 0
    """population: neurons of a channel."""
    zero: int = 0
    gain: float = 0.0
    """value: potential of a raw step."""

    @property
    def neurons(self) -> int:
        """Neurons that it stimulates."""
        per_channel = {"delta": 2, "level": len(self.levels), "population": self.count}
        return self.channels * per_channel.get(self.kind, 1)

    @property
    def span(self) -> int:
        """Raw steps from low to high."""
        return self.high - self.low

    def check(self, channels: int, where: str) -> None:
        """Raises: EspikeError naming a field that is out of range; `channels` are those of a sample."""
        if self.kind not in ENCODER_KINDS:
            raise EspikeError(f"encoder {self.kind!r} is unknown", where=where, do="use " + ", ".join(ENCODER_KINDS))
        if self.channel < 0 or self.channels < 1 or self.channel + self.channels > channels:
            read = f"channels {self.channel}+{self.channels}"
            raise EspikeError(f"reads {read}, a sample has {channels}", where=where)
        if self.first < 0:
            raise EspikeError(f"first neuron {self.first} is below 0", where=where)
        of_kind = ENCODER_KINDS[self.kind]
        for name in set(of_kind) & {"low", "high", "zero"}:
            _between(getattr(self, name), RAW, name, where)
        if "low" in of_kind and not 1 <= self.span <= SPAN_MOST:
            raise EspikeError(f"high - low is {self.span}, expected 1..{SPAN_MOST}", where=where)
        if self.kind == "delta":
            _between(self.step, (1, RAW[1]), "step", where)
        if self.kind == "population":
            _between(self.count, (2, CENTRES_MOST), "count", where)
        if self.kind == "level":
            self._check_levels(where)
        name = "gain" if self.kind == "value" else "amount"
        value = getattr(self, name)
        if not FLOAT_LEAST <= value <= FLOAT_MOST:
            raise EspikeError(f"{name} is {value}, expected a binary32 above 0", where=where)

    def _check_levels(self, where: str) -> None:
        _between(len(self.levels), (1, LEVELS_MOST), "number of levels", where)
        for level in self.levels:
            _between(level, RAW, "a level", where)
        if any(upper <= lower for lower, upper in zip(self.levels, self.levels[1:], strict=False)):
            raise EspikeError("levels do not ascend", where=where)

    def as_json(self) -> dict[str, Any]:
        """The fields of its kind, and of the others those that differ from their defaults."""
        made = {"kind": self.kind, "area": self.area, "first": self.first}
        made |= {"channel": self.channel, "channels": self.channels}
        made |= {name: getattr(self, name) for name in ENCODER_KINDS[self.kind]}
        if self.kind == "level":
            made["levels"] = list(self.levels)
        return made if self.amount == 1 or self.kind == "value" else made | {"amount": self.amount}


@dataclass(frozen=True)
class Decoder:
    """Neurons of an area to an answer. docs/senses.md, Decoders."""

    kind: str
    area: str
    first: int = 0
    """First neuron, counted within the area."""
    count: int = 0
    """Neurons that are read; 0: the rest of the area."""
    labels: tuple[str, ...] = ()
    """What the answers 0, 1, ... are called; empty: nothing."""
    margin: int = 0
    """count: once a neuron has so many spikes more than any other, the presentation ends; 0: never."""

    def check(self, where: str) -> None:
        """Raises: EspikeError naming what is unknown or out of range."""
        if self.kind not in DECODER_KINDS:
            raise EspikeError(f"decoder {self.kind!r} is unknown", where=where, do="use " + ", ".join(DECODER_KINDS))
        if self.first < 0 or self.count < 0:
            raise EspikeError(f"reads neurons {self.first}+{self.count}", where=where)
        _between(self.margin, (0, COUNT_MOST), "margin", where)
        if self.margin and self.kind != "count":
            raise EspikeError(f"a margin ends count, not {self.kind}", where=where)

    def part(self, area: SenseArea) -> slice:
        """The neurons that are read, as ids."""
        begin = area.first + self.first
        return slice(begin, begin + self.count if self.count else area.first + area.count)

    def as_json(self) -> dict[str, Any]:
        """What says something."""
        made: dict[str, Any] = {"kind": self.kind, "area": self.area}
        made |= {name: getattr(self, name) for name in ("first", "count", "margin") if getattr(self, name)}
        return made | ({"labels": list(self.labels)} if self.labels else {})


@dataclass(frozen=True)
class Senses:
    """How a network is presented raw samples, and how its answer is read."""

    channels: int
    encoders: tuple[Encoder, ...]
    decoder: Decoder
    unit: float = 1.0
    """What one raw step is to people."""
    samples: int = 1
    bursts_per_sample: int = 1
    settle: int = 0
    """Bursts without samples after the last one."""
    fresh: bool = True
    """A presentation begins with the network at its reset."""

    @property
    def bursts(self) -> int:
        """Bursts of a presentation."""
        return self.samples * self.bursts_per_sample + self.settle

    def __post_init__(self) -> None:
        where = "senses"
        _between(self.channels, (1, COUNT_MOST), "channels", where)
        _between(self.samples, (1, BURSTS_MOST), "samples", where)
        _between(self.bursts_per_sample, (1, COUNT_MOST), "bursts_per_sample", where)
        _between(self.settle, (0, COUNT_MOST), "settle", where)
        _between(self.bursts, (1, BURSTS_MOST), "bursts of a presentation", where)
        if not (self.unit > 0 and math.isfinite(self.unit)):
            raise EspikeError(f"unit is {self.unit}, expected a number above 0", where=where)
        if not self.encoders:
            raise EspikeError("there is no encoder", where=where)
        for index, encoder in enumerate(self.encoders):
            encoder.check(self.channels, f"{where}: encoders[{index}]")
        self.decoder.check(f"{where}: decoder")

    def check(self, areas: Sequence[SenseArea], where: str = "senses") -> None:
        """Encoders and decoder fit the areas of a network. Raises: EspikeError naming the one that does not."""
        taken: list[tuple[int, int, int]] = []
        for index, encoder in enumerate(self.encoders):
            path = f"{where}: encoders[{index}]"
            area = find(areas, encoder.area, path)
            if encoder.first + encoder.neurons > area.count:
                held = f"{encoder.first}+{encoder.neurons} of area {area.id}, which has {area.count}"
                raise EspikeError(f"stimulates neurons {held}", where=path)
            if encoder.kind == "value" and not (area.dynamics is not None and area.dynamics.graded):
                raise EspikeError(f"gives values to area {area.id}, which is not graded", where=path)
            begin = area.first + encoder.first
            for other_begin, other_end, other in taken:
                if begin < other_end and other_begin < begin + encoder.neurons:
                    what = f"stimulates neurons of area {area.id} that encoders[{other}] stimulates"
                    raise EspikeError(what, where=path)
            taken.append((begin, begin + encoder.neurons, index))
        self._check_decoder(areas, f"{where}: decoder")

    def _check_decoder(self, areas: Sequence[SenseArea], where: str) -> None:
        decoder, area = self.decoder, find(areas, self.decoder.area, where)
        part = decoder.part(area)
        if part.stop <= part.start or part.stop > area.first + area.count:
            held = f"{decoder.first}+{decoder.count} of area {area.id}, which has {area.count}"
            raise EspikeError(f"reads neurons {held}", where=where)
        if decoder.labels and len(decoder.labels) != part.stop - part.start:
            read = part.stop - part.start
            raise EspikeError(f"has {len(decoder.labels)} labels for {read} neurons", where=where)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        made = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("encoders", "decoder")}
        made["encoders"] = [encoder.as_json() for encoder in self.encoders]
        return made | {"decoder": self.decoder.as_json()}


def find(areas: Sequence[SenseArea], name: str, where: str) -> SenseArea:
    """The area of an id. Raises: EspikeError where there is none."""
    for area in areas:
        if area.id == name:
            return area
    raise EspikeError(f"there is no area {name!r}", where=where)


def senses_from_meta(meta: Any, where: str) -> Senses | None:
    """The senses that `as_json` described; None where there are none. Raises: EspikeError naming the field."""
    if meta is None:
        return None
    where = f"{where}: senses"
    given = _take(meta, Senses, where)
    if not isinstance(given["encoders"], list):
        raise EspikeError("encoders are no list", where=where)
    encoders = tuple(_encoder(entry, f"{where}: encoders[{index}]") for index, entry in enumerate(given["encoders"]))
    decoder = Decoder(**_take(given["decoder"], Decoder, f"{where}: decoder"))
    try:
        return Senses(**(given | {"encoders": encoders, "decoder": decoder}))
    except EspikeError as error:
        raise EspikeError(error.what, where=where + error.where.removeprefix("senses"), do=error.do) from None


def _encoder(meta: Any, where: str) -> Encoder:
    given = _take(meta, Encoder, where)
    kind = given["kind"]
    if kind not in ENCODER_KINDS:
        raise EspikeError(f"encoder {kind!r} is unknown", where=where, do="use " + ", ".join(ENCODER_KINDS))
    foreign = {name for names in ENCODER_KINDS.values() for name in names} - set(ENCODER_KINDS[kind])
    foreign |= {"amount"} if kind == "value" else set()
    if wrong := sorted(foreign & set(given)):
        raise EspikeError(f"{kind} knows no {', '.join(wrong)}", where=where)
    if missing := [name for name in ENCODER_KINDS[kind] if name not in given]:
        raise EspikeError(f"{kind} needs {', '.join(missing)}", where=where)
    return Encoder(**given)


_TYPES = {"int": int, "float": float, "str": str, "bool": bool}


def _take(meta: Any, kind: type[Senses] | type[Encoder] | type[Decoder], where: str) -> dict[str, Any]:
    """The fields of a dataclass out of JSON values, each of its type; what has no default must be there."""
    if not isinstance(meta, Mapping):
        raise EspikeError("is no JSON object", where=where)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(str(name) for name in set(meta) - set(known)):
        raise EspikeError(f"knows no {', '.join(unknown)}", where=where, do="update espike")
    names = list(known)
    needed = names[: names.index("unit")] if kind is Senses else ["kind", "area"]
    if missing := [name for name in needed if name not in meta]:
        raise EspikeError(f"{', '.join(missing)} is missing", where=where)
    return {name: _value(value, str(known[name].type), f"{where}: {name}") for name, value in meta.items()}


def _value(value: Any, wanted: str, where: str) -> Any:
    if wanted.startswith("tuple[") and wanted != "tuple[Encoder, ...]":
        if not isinstance(value, list | tuple):
            raise EspikeError(f"{value!r} is no list", where=where)
        return tuple(_value(entry, wanted[len("tuple[") :].split(",")[0], where) for entry in value)
    if wanted not in _TYPES:
        return value
    if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= FLOAT_MOST else math.inf
    if not isinstance(value, _TYPES[wanted]) or (wanted == "int" and isinstance(value, bool)):
        raise EspikeError(f"{value!r} is no {wanted}", where=where)
    return value


def _between(value: int, ends: tuple[int, int], name: str, where: str) -> None:
    if not ends[0] <= value <= ends[1]:
        raise EspikeError(f"{name} is {value}, expected {ends[0]}..{ends[1]}", where=where)


def to_raw(x: float | NDArray[Any], unit: float) -> NDArray[np.int32]:
    """int32, shape of x: measured values as raw ones, floor(x / unit + 0.5), cut to the range of int32.

    Raises: EspikeError where a value is not finite.
    """
    measured = np.asarray(x, np.float64)
    if not np.all(np.isfinite(measured)):
        raise EspikeError("a sample holds a value that is not finite")
    return np.clip(np.floor(measured / unit + 0.5), *RAW).astype(np.int32)
