"""image + stimulus -> fire ledger, by a board over the link; and image -> board's flash."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus, Counters
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger

from . import link as wire
from .boards import Running
from .image import HEADER_BYTES, META_OFFSET
from .link import BoardRefusedError, Hello, Records, State, varint
from .transport import LinkError

RUN_FIRED, RUN_HASHES, RUN_REALTIME, RUN_LOSSY = 1, 2, 4, 8
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


def flash(running: Running, image: bytes, ram_bytes: int, precision: str, progress: Progress | None = None) -> Hello:
    """Put an image into the board's flash, header last -> what the board says of it.

    Raises: EspikeError where it does not fit, LinkError where the wire fails (the board is then empty),
    BoardRefusedError where the board does not take it.
    """
    hello = attach(running)
    where = f"board {hello.board}"
    _check_fit(hello, len(image), ram_bytes, precision, where)
    chunk = hello.payload_bytes - 4
    try:
        running.link.request(wire.BEGIN, struct.pack("<I", len(image)), timeout=20)
        for offset in range(HEADER_BYTES, len(image), chunk):
            piece = image[offset : offset + chunk]
            running.link.request(wire.WRITE, struct.pack("<I", offset) + piece, timeout=20)
            if progress is not None:
                progress(offset + len(piece), len(image))
        running.link.request(wire.COMMIT, image[:HEADER_BYTES], timeout=60)
    except LinkError as error:
        raise LinkError(
            f"flashing broke off: {error.what}", where=where, do="the board is empty now: flash it again"
        ) from None
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
    return hello, bytes(out)


def _check_fit(hello: Hello, image_bytes: int, ram_bytes: int, precision: str, where: str) -> None:
    if precision not in hello.precisions:
        raise EspikeError(f"the board does not run {precision}", where=where, do="pack with another --precision")
    if image_bytes > hello.flash_bytes:
        raise EspikeError(f"the image has {image_bytes} bytes, the slot {hello.flash_bytes}", where=where)
    if ram_bytes > hello.arena_bytes:
        raise EspikeError(f"the network needs {ram_bytes} bytes of RAM, the board has {hello.arena_bytes}", where=where)


@dataclass(frozen=True)
class Record:
    """One burst of a running board, as it was streamed."""

    burst: int
    fired_count: int
    ids: list[int]
    hashes: tuple[int, ...]


class BoardEngine:
    """A board that runs the image in its flash (implements `engine.Engine`)."""

    def __init__(self, running: Running, *, owns: bool = True) -> None:
        self._running = running
        self._owns = owns
        self.hello = attach(running)
        self.name = self.hello.board
        if not self.hello.has_image:
            raise EspikeError("the board is empty", where=f"board {self.name}", do="flash it, or add --flash")
        self.network_hash = self.hello.network_hash
        self._tracks = False
        self._in_run = False
        self.state: State = running.link.state()
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
        records = list(self.stream(bursts, stimulus, flags=flags, period_us=period_us))
        if [r.burst for r in records] != list(range(first, last + 1)):
            raise LinkError("records were lost on the wire", where=self._running.link.where, do="run it again")
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
        self, bursts: int, stimulus: CodedStimulus | None = None, *, flags: int, period_us: int = 0
    ) -> Iterator[Record]:
        """Run `bursts` more bursts (UNTIL_STOPPED: until `stop`), yielding each as it comes."""
        if bursts == UNTIL_STOPPED and stimulus is not None:
            raise EspikeError("a stimulus needs a number of bursts", where=f"board {self.name}")
        if stimulus is not None:
            stimulus.check_order()
        part = stimulus.between(self.burst + 1, self.burst + bursts) if stimulus is not None else None
        for count, entries, before in _requests(part, self.burst, bursts, self.hello.precision, self._room):
            for payload in before:
                self._stimulus(wire.INJECT, payload)
            self._stimulus(wire.RUN, _RUN_HEAD.pack(count, flags, period_us) + entries)
            yield from self._records(flags)

    @property
    def _room(self) -> int:
        return self.hello.payload_bytes - _RUN_HEAD.size

    def _stimulus(self, kind: int, payload: bytes) -> None:
        try:
            self._running.link.request(kind, payload)
        except BoardRefusedError as error:
            if error.code in (-10, -11):
                raise EspikeError(
                    f"stimulus refused (entry {error.detail} of a message): {wire.CORE_ERRORS[-error.code]}",
                    where=f"board {self.name}",
                ) from None
            raise

    def _records(self, flags: int) -> Iterator[Record]:
        self._in_run = True
        reader = Records(self.burst + 1, fired=bool(flags & RUN_FIRED), hashes=bool(flags & RUN_HASHES))
        expected = 0
        silent = 0.0
        for frame in self._running.link.frames(0.5):
            if frame is None:
                silent = self._ask_if_silent(silent + 0.5)
                continue
            silent = 0.0
            if frame.type == wire.DATA | wire.REPLY:
                if frame.sequence != expected:
                    raise LinkError("records were lost on the wire", where=self._running.link.where, do="run it again")
                expected = (expected + 1) & 0xFF
                for record in reader.feed(frame.payload):
                    yield Record(*record)
            elif frame.type == wire.STATE | wire.REPLY:
                self.state = wire.read_state(frame.payload)
            elif frame.type == wire.DONE | wire.REPLY:
                self.state = wire.read_state(frame.payload)
                self._in_run = False
                return

    def _ask_if_silent(self, silent: float) -> float:
        """A long burst is silent too: after a while ask, and give up where nothing answers."""
        if silent >= 2 * _SILENCE_S:
            raise LinkError("the board does not answer any more", where=self._running.link.where)
        if silent in (_SILENCE_S, _SILENCE_S * 1.5):
            self._running.link.send(wire.STATE)
        return silent

    def stop(self) -> None:
        """End a run whose stream was left: what is still on its way is thrown away."""
        if not self._in_run:
            return
        self._running.link.send(wire.STOP)
        for frame in self._running.link.frames(_SILENCE_S):
            if frame is None:
                raise LinkError("the board does not answer any more", where=self._running.link.where)
            if frame.type == wire.DONE | wire.REPLY:
                self.state = wire.read_state(frame.payload)
                self._in_run = False
                return

    def ask_state(self) -> None:
        """Ask for the counters in the middle of a run: `state` has them as soon as the board has answered."""
        self._running.link.send(wire.STATE)

    @property
    def bad_frames(self) -> int:
        """Frames of the board that came damaged."""
        return self._running.link.bad_frames

    def potentials(self) -> NDArray[Any]:
        """int16 or float32 (neurons,): every potential after the last burst."""
        dtype = np.dtype("<f4") if self.hello.precision == "fp32" else np.dtype("<i2")
        most = self.hello.payload_bytes // dtype.itemsize
        parts = []
        for first in range(0, self.hello.neurons, most):
            count = min(most, self.hello.neurons - first)
            parts.append(self._running.link.request(wire.POTENTIALS, struct.pack("<II", first, count)))
        return np.frombuffer(b"".join(parts), dtype)

    def counters(self) -> Counters:
        """Counts since the reset."""
        s = self.state = self._running.link.state()
        return Counters(bursts=s.burst, fired=s.fired, events=s.events, saturations=s.saturations)

    def close(self) -> None:
        """Close the link, and end the board where espike started it."""
        if self._owns:
            self._running.close()


def _entry(skip: int, neuron: int, value: Any, precision: str) -> bytes:
    """A stimulus entry (docs/link.md, entries)."""
    head = varint(skip) + varint(neuron)
    if precision == "fp32":
        return head + struct.pack("<f", value)
    code = int(value)
    return head + varint(code << 1 if code >= 0 else (-code << 1) - 1)


def _requests(
    part: CodedStimulus | None, burst: int, bursts: int, precision: str, room: int
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Cut a run into requests -> (bursts, entries, INJECT payloads that go before): each burst's entries whole."""
    last = burst + bursts
    stops: list[int] = []
    if part is not None and len(part.burst):
        stops = [*(np.flatnonzero(np.diff(part.burst)) + 1).tolist(), len(part.burst)]
    at = group = 0
    while burst < last:
        before: list[bytes] = []
        entries = b""
        previous = burst + 1
        while part is not None and group < len(stops):
            here = int(part.burst[at])
            encoded = _entries(part, at, stops[group], here - previous, precision)
            if len(entries) + len(encoded) > room:
                if here > burst + 1:
                    break
                before = _injections(part, at, stops[group], precision, room)
            else:
                entries += encoded
                previous = here
            at, group = stops[group], group + 1
        stop = int(part.burst[at]) - 1 if part is not None and group < len(stops) else last
        yield stop - burst, entries, before
        burst = stop


def _entries(part: CodedStimulus, begin: int, end: int, skip: int, precision: str) -> bytes:
    """The entries of one burst, `skip` bursts after the entry before."""
    out, last = [], 0
    for i in range(begin, end):
        neuron = int(part.neuron[i])
        out.append(_entry(skip if i == begin else 0, neuron - last, part.value[i], precision))
        last = neuron
    return b"".join(out)


def _injections(part: CodedStimulus, begin: int, end: int, precision: str, room: int) -> list[bytes]:
    """The entries of one burst that no request holds whole, as INJECT payloads for the next burst."""
    most = room // len(_entry(0, 0xFFFFFFFF, 0x3FFFFFFF if precision != "fp32" else 0.0, precision))
    return [_entries(part, i, min(i + most, end), 0, precision) for i in range(begin, end, most)]
