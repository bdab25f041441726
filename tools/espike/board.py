"""image + stimulus -> fire ledger, by a board over the link; and image -> board's flash."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.core import error_name
from espike_sim.engine import CodedStimulus, Counters
from espike_sim.errors import EspikeError
from espike_sim.host import inflated
from espike_sim.host_senses import Answer, decoded
from espike_sim.ledger import Ledger
from espike_sim.quantized import NUMBER_TYPES
from espike_sim.senses import Senses

from . import link as wire
from .boards import Running
from .entries import requests
from .image import HEADER_BYTES, META_OFFSET
from .link import BoardRefusedError, Hello, Records, State
from .telemetry import Assembler, Stream, StreamSegment
from .transport import LinkError

RUN_FIRED, RUN_HASHES, RUN_REALTIME, RUN_LOSSY, RUN_SEGMENTS = 1, 2, 4, 8, 16
SENSE_BEGIN, SENSE_NARROW = 1, 2
UNTIL_STOPPED = 0xFFFFFFFF
_RUN_HEAD = struct.Struct("<IBI")
_SILENCE_S = 10.0

Progress = Callable[[int, int], None]
"""(done, all)"""


def attach(running: Running) -> Hello:
    """Meet a board, and end a run that is on. Raises: LinkError."""
    hello = running.link.hello()
    if hello.running:
        running.link.request(wire.STOP)
        for frame in running.link.frames(1.0):
            if frame is None or frame.type == wire.DONE | wire.REPLY:
                break
        hello = running.link.hello()
    return hello


def sleep(running: Running, seconds: float) -> Hello:
    """Have a board sleep, its network's state in the memory that outlasts it -> what it says when it is awake again.

    Raises: BoardRefusedError where there is no room for the state, LinkError where the board does not wake.
    """
    attach(running)
    running.link.request(wire.SLEEP, struct.pack("<I", max(1, round(seconds * 1e6))))
    time.sleep(seconds)
    for _ in range(4):
        with suppress(LinkError):
            return running.link.hello()
    return running.link.hello()


def read_meta(running: Running) -> tuple[Hello, bytes]:
    """What the board says of itself, and its image's meta, without reading the rest of the image."""
    hello = running.link.hello()
    if not hello.has_image:
        raise EspikeError("the board is empty", where=f"board {hello.board}", do="flash it first")
    head = running.link.request(wire.READ, struct.pack("<II", 0, HEADER_BYTES))
    begin, count = struct.unpack_from("<II", head, META_OFFSET)
    out = bytearray()
    while len(out) < count:
        piece = min(hello.payload_bytes, count - len(out))
        out += running.link.request(wire.READ, struct.pack("<II", begin + len(out), piece))
    return hello, inflated(bytes(out))


@dataclass(frozen=True)
class Record:
    """One burst of a running board, as it was streamed."""

    burst: int
    fired_count: int
    ids: list[int]
    hashes: tuple[int, ...]


class BoardEngine:
    """A board that runs the image in its flash (implements `engine.Engine`)."""

    def __init__(self, running: Running, *, owns: bool = True, reset: bool = True) -> None:
        """owns: close the board with the engine; reset: begin at burst 0, else go on where the board is."""
        self._running = running
        self._owns = owns
        self.hello = attach(running)
        self.name = self.hello.board
        if not self.hello.has_image:
            raise EspikeError("the board is empty", where=f"board {self.name}", do="flash it, or add --flash")
        self.network_hash = self.hello.network_hash
        self._tracks = False
        self._in_run = False
        self._streams: list[Stream] = []
        self._assembler = Assembler([])
        self._expected = 0
        """Sequence of the run's next piece."""
        self.state: State = running.link.state()
        if reset:
            self.reset()

    @property
    def burst(self) -> int:
        """Number of the last burst, 0 after a reset."""
        return self.state.burst

    def reset(self, *, track_potentials: bool = True) -> None:
        """Back to burst 0 and zero state."""
        self._running.link.request(wire.RESET, bytes([track_potentials]))
        self._tracks = track_potentials
        self.state = self._running.link.state()

    def run(self, bursts: int, stimulus: CodedStimulus | None = None, *, period_us: int = 0) -> Ledger:
        """Run `bursts` more bursts, one per period where given; stimulus goes out with the requests."""
        first, last = self.burst + 1, self.burst + bursts
        flags = RUN_FIRED | RUN_HASHES | (RUN_REALTIME if period_us else 0)
        told = self.stream(bursts, stimulus, flags=flags, period_us=period_us)
        records = [record for record in told if isinstance(record, Record)]
        if [r.burst for r in records] != list(range(first, last + 1)):
            raise self._lost()
        hashes = np.array([r.hashes for r in records], np.uint32).reshape(-1, 4)
        start = np.concatenate(([0], np.cumsum([r.fired_count for r in records]))).astype(np.int64)
        return Ledger(
            first_burst=first,
            neurons=self.hello.neurons,
            start=start,
            ids=np.array([i for r in records for i in r.ids], np.uint32),
            hashes=np.ascontiguousarray(hashes[:, [0, 2]]),
            potential_hashes=np.ascontiguousarray(hashes[:, [1, 3]]) if self._tracks else None,
            network_hash=self.network_hash,
        )

    def stream(
        self, bursts: int, stimulus: CodedStimulus | None = None, *, flags: int, period_us: int = 0,
        until: Callable[[], bool] | None = None, leave: Callable[[], bool] | None = None,
    ) -> Iterator[Record | StreamSegment]:  # fmt: skip
        """Run `bursts` more bursts (UNTIL_STOPPED: until `stop`), yielding records and segments as they come.

        until: asked all the time; once it is true the run is ended after the burst at hand, and what was still on its
        way is yielded too. leave: asked as often; once it is true the run goes on without us.
        """
        if bursts == UNTIL_STOPPED and stimulus is not None:
            raise EspikeError("a stimulus needs a number of bursts", where=f"board {self.name}")
        if stimulus is not None:
            stimulus.check_order()
        part = stimulus.between(self.burst + 1, self.burst + bursts) if stimulus is not None else None
        for count, entries, before in requests(part, self.burst, bursts, self.hello.precision, self._room):
            if until is not None and until():
                return
            for payload in before:
                self._stimulus(wire.INJECT, payload)
            self._stimulus(wire.RUN, _RUN_HEAD.pack(count, flags, period_us) + entries)
            yield from self._records(flags, until, leave)

    def telemetry(self, streams: Sequence[Stream], *, flush_bursts: int = 0, buffer_bytes: int = 1 << 14) -> int:
        """Have runs with RUN_SEGMENTS stream these -> bytes of the board's RAM that takes.

        flush_bursts: frames after which a segment is sent at the latest, 0 = when its buffer is full. buffer_bytes: of
        each stream's segment, less where the board has less. Raises: EspikeError where it has no room at all.
        """
        self._streams = []
        while True:
            payload = struct.pack("<I", flush_bursts) + b"".join(stream.encode(buffer_bytes) for stream in streams)
            try:
                used = self._running.link.request(wire.TELEMETRY, payload)
            except BoardRefusedError as error:
                if error.code != wire.NO_ROOM:
                    raise
                if buffer_bytes == 0:
                    left = self.hello.arena_bytes - self.hello.ram_bytes
                    raise EspikeError(
                        f"telemetry needs {error.detail} bytes of RAM, the network leaves {left}",
                        where=f"board {self.name}", do="stream fewer neurons",
                    ) from None  # fmt: skip
                buffer_bytes = buffer_bytes // 2 if buffer_bytes > 256 else 0
                continue
            self._streams = list(streams)
            return int(struct.unpack("<I", used)[0])

    def image(self, progress: Progress | None = None) -> bytes:
        """The image in the board's flash, read back."""
        out = bytearray()
        while len(out) < self.hello.image_bytes:
            count = min(self.hello.payload_bytes, self.hello.image_bytes - len(out))
            out += self._running.link.request(wire.READ, struct.pack("<II", len(out), count))
            if progress is not None:
                progress(len(out), self.hello.image_bytes)
        return bytes(out)

    @property
    def _room(self) -> int:
        return self.hello.payload_bytes - _RUN_HEAD.size

    def _stimulus(self, kind: int, payload: bytes) -> None:
        try:
            self._running.link.request(kind, payload)
        except BoardRefusedError as error:
            if error.code in (-10, -11):
                raise EspikeError(
                    f"stimulus refused (entry {error.detail} of a message): {error_name(error.code)}",
                    where=f"board {self.name}",
                ) from None
            raise

    def _records(
        self, flags: int, until: Callable[[], bool] | None, leave: Callable[[], bool] | None
    ) -> Iterator[Record | StreamSegment]:
        self._in_run = True
        self._assembler = Assembler(self._streams if flags & RUN_SEGMENTS else [])
        self._expected = 0
        reader = Records(self.burst + 1, fired=bool(flags & RUN_FIRED), hashes=bool(flags & RUN_HASHES))
        before, records, silent = self.state, 0, 0.0
        for frame in self._running.link.frames(0.5):
            if leave is not None and leave():
                return
            if until is not None and until():
                until = None
                self._running.link.send(wire.STOP)
            if frame is None:
                silent = self._ask_if_silent(silent + 0.5)
                continue
            silent = 0.0
            segment = self._segment(frame)
            if segment is not None:
                yield segment
            if frame.type == wire.DATA | wire.REPLY:
                for record in reader.feed(frame.payload):
                    records += 1
                    yield Record(*record)
            if self._is_over(frame):
                self._check_whole(flags, before, records)
                return

    def _segment(self, frame: wire.Frame) -> StreamSegment | None:
        """The segment that a frame of a run completes. Raises: LinkError where pieces before it were lost."""
        if frame.type not in (wire.DATA | wire.REPLY, wire.SEGMENT | wire.REPLY):
            return None
        expected, self._expected = self._expected, (frame.sequence + 1) & 0xFF
        if frame.sequence != expected:
            raise self._lost()
        where = self._running.link.where
        return self._assembler.feed(frame.payload, where) if frame.type == wire.SEGMENT | wire.REPLY else None

    def _is_over(self, frame: wire.Frame) -> bool:
        """Does a frame end the run? Raises: LinkError where the frame that did was lost."""
        if frame.type not in (wire.DONE | wire.REPLY, wire.STATE | wire.REPLY):
            return False
        self.state = wire.read_state(frame.payload)
        self._in_run = self.state.running
        if not self._in_run and frame.type != wire.DONE | wire.REPLY:
            raise self._lost()
        return not self._in_run

    def _check_whole(self, flags: int, before: State, records: int) -> None:
        """Every burst has come in each stream, or was dropped and counted: the last pieces may be lost too."""
        streams = len(self._assembler.streams)
        expected = (self.burst - before.burst) * (streams + bool(flags & (RUN_FIRED | RUN_HASHES)))
        if records + self._assembler.frames + self.state.dropped - before.dropped != expected:
            raise self._lost()

    def _lost(self) -> LinkError:
        return LinkError("records were lost on the wire", where=self._running.link.where, do="run it again")

    def _ask_if_silent(self, silent: float) -> float:
        """A long burst is silent too: after a while ask, and give up where nothing answers."""
        if silent >= 2 * _SILENCE_S:
            raise LinkError("the board does not answer any more", where=self._running.link.where)
        if silent in (_SILENCE_S, _SILENCE_S * 1.5):
            self._running.link.send(wire.STATE)
        return silent

    def stop(self) -> list[StreamSegment]:
        """End a run whose stream was left -> segments that were still on their way; records are thrown away.

        Raises: LinkError where pieces of segments were lost; the run is over then too.
        """
        late: list[StreamSegment] = []
        lost: LinkError | None = None
        if self._in_run:
            self._running.link.send(wire.STOP)
        while self._in_run:
            frame = next(self._running.link.frames(_SILENCE_S))
            if frame is None:
                raise LinkError("the board does not answer any more", where=self._running.link.where)
            try:
                segment = self._segment(frame)
                late += [segment] if segment is not None else []
                self._is_over(frame)
            except LinkError as error:
                lost = error
        if lost is not None and self._assembler.streams:
            raise lost
        return late

    def ask_state(self) -> None:
        """Ask for the counters in the middle of a run: `state` has them as soon as the board has answered."""
        self._running.link.send(wire.STATE)

    @property
    def bad_frames(self) -> int:
        """Frames of the board that came damaged."""
        return self._running.link.bad_frames

    def potentials(self) -> NDArray[Any]:
        """int16 or float32 (neurons,): every potential after the last burst."""
        dtype = np.dtype(NUMBER_TYPES[self.hello.precision].potential)
        most = self.hello.payload_bytes // dtype.itemsize
        parts = []
        for first in range(0, self.hello.neurons, most):
            count = min(most, self.hello.neurons - first)
            parts.append(self._running.link.request(wire.POTENTIALS, struct.pack("<II", first, count)))
        return np.frombuffer(b"".join(parts), dtype)

    def present(self, raw: NDArray[Any], senses: Senses, timeout: float = 60.0) -> Answer:
        """One presentation of raw samples, int32 (samples, channels), to the senses of the board's image.

        The values of more neurons than a reply holds are cut off. Raises: EspikeError where the board has no senses.
        """
        narrow = bool(np.all(np.abs(raw) <= 32767))
        data = np.ascontiguousarray(raw, "<i2" if narrow else "<i4").reshape(-1)
        most = (self.hello.payload_bytes - 1) // data.itemsize
        reply, flags = b"", SENSE_BEGIN | SENSE_NARROW * narrow
        for at in range(0, len(data), most):
            piece = bytes([flags]) + data[at : at + most].tobytes()
            reply = self._running.link.request(wire.SENSE, piece, timeout=timeout)
            flags &= ~SENSE_BEGIN
        if len(reply) < 13 or not reply[4]:
            raise LinkError("the presentation did not end", where=f"board {self.name}", do="give all of its samples")
        answer, _ = struct.unpack_from("<iI", reply, 5)
        self.state = self._running.link.state()
        potentials = senses.decoder.kind in ("potential", "number")
        values = np.frombuffer(reply[13:], "<u4")
        bursts = self.state.burst if senses.fresh else None
        return Answer(answer, decoded(values, potentials, self.hello.precision), bursts)

    def counters(self) -> Counters:
        """Counts since the reset."""
        s = self.state = self._running.link.state()
        return Counters(bursts=s.burst, fired=s.fired, events=s.events, saturations=s.saturations)

    def close(self) -> None:
        """Close the link, and end the board where espike started it."""
        if self._owns:
            self._running.close()
