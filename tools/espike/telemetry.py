"""stream specs -> what a board streams; link frames -> segments of those streams. docs/link.md, telemetry."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.segment import WIDTHS, Kind, Policy, Segment
from espike_sim.stimulus import find_areas

from .network import Network
from .transport import LinkError

SOURCES = ("fired", "potentials", "stimulus")
MOST_STREAMS = 4
_STREAM = struct.Struct("<BBBBIIII")
_FIRST = struct.Struct("<II")


@dataclass(frozen=True)
class Stream:
    """One stream of a board's telemetry: a frame per burst of `count` neurons from `first` on."""

    tensor_id: str
    source: str
    """fired (the ids that fired), potentials, or stimulus (what was injected)."""
    first: int
    count: int
    bits: int = 0
    """3, 5, 7 or 8; 0 = lossless."""
    version: int = 2
    group_len: int = 64

    @property
    def kind(self) -> Kind:
        """Kind of the segments."""
        return "sets" if self.source == "fired" else "quantized" if self.bits else "integers"

    @property
    def policy(self) -> Policy:
        """How the board cuts and codes it."""
        return Policy(version=self.version, group_len=self.group_len).fixed(self.bits or 8)

    def encode(self, buffer_bytes: int) -> bytes:
        """As a TELEMETRY request says it."""
        source = SOURCES.index(self.source)
        return _STREAM.pack(source, self.bits, self.version, 0, self.first, self.count, buffer_bytes, self.group_len)


def parse(specs: Sequence[str], network: Network) -> list[Stream]:
    """Specs such as `fired`, `potentials:AREA:8`, `stimulus:AREA` -> streams; areas as a stimulus names them.

    Potentials have 8 bits unless told, a stimulus is lossless. Raises: EspikeError naming the spec.
    """
    out: list[Stream] = []
    for spec in specs:
        source, *parts = spec.split(":")
        where = f"stream {spec}"
        if source not in SOURCES or len(parts) not in ((0,) if source == "fired" else (1, 2)):
            advice = "write fired, potentials:AREA[:BITS] or stimulus:AREA[:BITS]"
            raise EspikeError("is no stream", where=where, do=advice)
        if source == "fired":
            out.append(Stream("fired", "fired", 0, network.neurons))
            continue
        bits = _bits(parts[1] if len(parts) == 2 else "8" if source == "potentials" else "0", where)
        if bits == 0 and network.precision != "int8":
            raise EspikeError(
                f"an {network.precision} network has no lossless numbers", where=where, do="give 3, 5, 7 or 8 bits"
            )
        try:
            areas = find_areas(parts[0], network)
        except EspikeError as error:
            raise EspikeError(error.what, where=where, do=error.do) from None
        out += _ranges(source, parts[0], areas, bits)
    if len({stream.tensor_id for stream in out}) != len(out):
        raise EspikeError("streams are named twice", do="name each once")
    if len(out) > MOST_STREAMS:
        raise EspikeError(f"{len(out)} streams, a board takes {MOST_STREAMS}", do="name fewer areas")
    return out


def _ranges(source: str, word: str, areas: Sequence[Area], bits: int) -> list[Stream]:
    """One stream per run of neurons; areas that follow each other are one run."""
    runs: list[list[int]] = []
    for area in sorted(areas, key=lambda area: area.first):
        if runs and runs[-1][1] == area.first:
            runs[-1][1] += area.count
        else:
            runs.append([area.first, area.first + area.count])
    name = f"{source}.{'all' if word == '*' else word}"
    names = [name] if len(runs) == 1 else [f"{name}.{begin}" for begin, _ in runs]
    return [Stream(n, source, begin, end - begin, bits) for n, (begin, end) in zip(names, runs, strict=True)]


def _bits(text: str, where: str) -> int:
    if text not in ("0", *map(str, WIDTHS)):
        raise EspikeError(f"{text!r} is no width", where=where, do="use 3, 5, 7, 8, or 0 for lossless")
    return int(text)


@dataclass(frozen=True)
class StreamSegment:
    """A segment of one stream, as it came from the board."""

    stream: Stream
    first_burst: int
    segment: Segment

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self.segment.data


class Assembler:
    """Puts a run's pieces of segments together."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.frames = 0
        """In the segments that are complete."""
        self.streams = list(streams)
        self._open: dict[int, tuple[int, int, bytearray]] = {}

    def feed(self, payload: bytes, where: str) -> StreamSegment | None:
        """A SEGMENT payload -> the segment that it completes. Raises: LinkError where pieces do not fit together, or
        what they make is no segment.
        """
        if len(payload) < 4 or payload[0] >= len(self.streams):
            raise LinkError("a piece of telemetry belongs to no stream", where=where)
        number, flags, body = payload[0], payload[1], payload[4:]
        if flags & 1:
            if len(body) < _FIRST.size:
                raise LinkError("a piece of telemetry is too short", where=where)
            if number in self._open:
                raise LinkError("a segment came with its end missing", where=where, do="run it again")
            burst, total = _FIRST.unpack_from(body)
            self._open[number] = (burst, total, bytearray())
            body = body[_FIRST.size :]
        if number not in self._open:
            raise LinkError("telemetry begins in the middle of a segment", where=where)
        burst, total, data = self._open[number]
        data += body
        if not flags & 2:
            return None
        del self._open[number]
        if len(data) != total:
            raise LinkError("a segment came with pieces missing", where=where, do="run it again")
        try:
            segment = Segment(data, where)
        except EspikeError as error:
            raise LinkError(error.what, where=where, do="run it again") from None
        self.frames += segment.frames
        return StreamSegment(self.streams[number], burst, segment)
