"""requests <-> link frames <-> a byte pipe. `docs/link.md` specifies frames and messages."""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cobs import cobs

from espike_sim.core import error_name
from espike_sim.errors import EspikeError

from .transport import LinkError, Transport

PROTOCOL_VERSION = 2
HELLO, BEGIN, WRITE, COMMIT, RESET, RUN, INJECT, STATE, POTENTIALS, STOP, REBOOT, READ, TELEMETRY = range(1, 14)
CHECK, SELF_TEST, KEY, SLEEP, SENSE = range(14, 19)
DATA, DONE, SEGMENT, ERROR = 64, 65, 66, 127
REPLY = 128
IDEMPOTENT = frozenset({HELLO, WRITE, RESET, STATE, POTENTIALS, STOP, READ, TELEMETRY, CHECK, SELF_TEST})
"""Requests that may be sent again when their reply does not come."""

REFUSALS = {
    1: "does not know this request",
    2: "found a payload of the wrong length",
    3: "is busy with a run",
    4: "holds no image",
    5: "expected another offset",
    6: "could not write its flash",
    7: "has too little room",
    8: "found a field out of range",
    9: "holds another image than the one that this is the difference to",
    10: "found that the image does not pass its self-test",
    11: "wants its key, and this is not it",
    12: "runs an image without senses",
}


NO_FLASH, NO_ROOM, OTHER_BASE, TEST_FAILED, WRONG_KEY = 6, 7, 9, 10, 11
FLASH_FAILED = -22


class BoardRefusedError(EspikeError):
    """The board answered that it will not; `code` and `detail` as docs/link.md lists them."""

    def __init__(self, where: str, code: int, detail: int) -> None:
        self.code, self.detail = code, detail
        text = REFUSALS.get(code) or error_name(code)
        super().__init__(f"the board refused: {text} (detail {detail})", where=where)


@dataclass(frozen=True)
class Frame:
    """One message: type, sequence, payload."""

    type: int
    sequence: int
    payload: bytes


def encode_frame(frame: Frame) -> bytes:
    """A frame as it goes over the wire, delimiter included."""
    body = bytes([frame.type, frame.sequence]) + frame.payload
    return bytes(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) + b"\0"


def decode_frame(encoded: bytes) -> Frame | None:
    """What stood between two delimiters -> frame, None where it is none."""
    try:
        body = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if len(body) < 6 or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        return None
    return Frame(body[0], body[1], bytes(body[2:-4]))


_HELLO = struct.Struct("<BBBB16s10I3I32s4BI8sI")
_STATE = struct.Struct("<5I5Q4IB")
RESET_CAUSES = ("power", "software", "guard", "sleep", "other")
OUTCOMES = ("none", "confirmed", "failed", "restarted", "damaged")
"""How the last trial of an image ended (docs/flash.md)."""
UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True)
class Hello:
    """What a board says of itself and of the image it holds."""

    board: str
    protocol: int
    precisions: tuple[str, ...]
    has_image: bool
    running: bool
    payload_bytes: int
    flash_bytes: int
    sector_bytes: int
    arena_bytes: int
    cycles_hz: int
    image_error: int
    image_error_offset: int
    image_bytes: int
    ram_bytes: int
    neurons: int
    synapses: int
    timestep_us: int
    precision: str
    network_hash: str
    slot: int | None
    """Flash slot whose image runs."""
    outcome: str
    has_key: bool
    reset_cause: str
    image_crc: int
    challenge: str
    """What the next write's tag must begin with, as hex."""
    retained_bytes: int


@dataclass(frozen=True)
class State:
    """A board's counters after its last burst."""

    burst: int
    hash: tuple[int, int]
    potential_hash: tuple[int, int]
    fired: int
    events: int
    saturations: int
    cycles_total: int
    cycles_most: int
    overruns: int
    link_errors: int
    dropped: int
    stack_unused: int | None
    """Bytes of the stack that were never touched; None where the board cannot tell."""
    running: bool


_PRECISIONS = {1: "int8", 2: "fp16", 3: "fp32"}


def _read_hello(payload: bytes, where: str) -> Hello:
    if payload and payload[0] != PROTOCOL_VERSION:
        raise LinkError(
            f"the board speaks link version {payload[0]}, this espike {PROTOCOL_VERSION}",
            where=where,
            do="flash its firmware again, or update espike",
        )
    if len(payload) != _HELLO.size:
        raise LinkError("the board's hello has the wrong length", where=where, do="flash its firmware again")
    version, mask, has_image, running, name, *numbers, digest = (fields := _HELLO.unpack(payload))[:-7]
    slot, outcome, has_key, cause, crc, challenge, retained = fields[-7:]
    size, flash, sector, arena, hz, error, offset, image, ram, neurons, synapses, timestep, precision = numbers
    return Hello(
        board=name.rstrip(b"\0").decode("ascii", "replace"),
        protocol=version,
        precisions=tuple(text for code, text in _PRECISIONS.items() if mask >> code & 1),
        has_image=bool(has_image),
        running=bool(running),
        payload_bytes=size,
        flash_bytes=flash,
        sector_bytes=sector,
        arena_bytes=arena,
        cycles_hz=hz,
        image_error=error - (1 << 32) if error >> 31 else error,
        image_error_offset=offset,
        image_bytes=image,
        ram_bytes=ram,
        neurons=neurons,
        synapses=synapses,
        timestep_us=timestep,
        precision=_PRECISIONS.get(precision, ""),
        network_hash=digest.hex() if has_image else "",
        slot=slot if slot < 2 else None,
        outcome=OUTCOMES[min(outcome, len(OUTCOMES) - 1)],
        has_key=bool(has_key),
        reset_cause=RESET_CAUSES[min(cause, len(RESET_CAUSES) - 1)],
        image_crc=crc,
        challenge=challenge.hex(),
        retained_bytes=retained,
    )


def read_state(payload: bytes) -> State:
    """A STATE or DONE payload. Raises: LinkError where it has the wrong length."""
    if len(payload) != _STATE.size:
        raise LinkError("a state message has the wrong length")
    burst, h0, h1, p0, p1, *counts, running = _STATE.unpack(payload)
    fired, events, saturations, total, most, overruns, errors, dropped, stack = counts
    return State(
        burst, (h0, h1), (p0, p1), fired, events, saturations, total, most, overruns, errors, dropped,
        None if stack == UNKNOWN else stack, bool(running),
    )  # fmt: skip


class Link:
    """Requests and replies over a transport.

    Raises (all methods): LinkError where the wire fails, BoardRefusedError where the board says no.
    """

    def __init__(self, transport: Transport) -> None:
        self.where = transport.where
        self.bytes_sent = 0
        self.bytes_received = 0
        self.bad_frames = 0
        self._transport = transport
        self._sequence = secrets.randbelow(256)
        self._pending = bytearray()

    def frames(self, timeout: float) -> Iterator[Frame | None]:
        """Frames as they come, None whenever `timeout` seconds brought no byte."""
        while True:
            end = self._pending.find(0)
            while end >= 0:
                encoded = bytes(self._pending[:end])
                del self._pending[: end + 1]
                frame = decode_frame(encoded) if encoded else None
                if frame is not None:
                    yield frame
                elif encoded:
                    self.bad_frames += 1
                end = self._pending.find(0)
            if len(self._pending) > 65536:
                self._pending.clear()
            data = self._transport.read(timeout)
            self.bytes_received += len(data)
            self._pending += data
            if not data:
                yield None

    def send(self, kind: int, payload: bytes = b"") -> int:
        """Send a request -> its sequence number."""
        self._sequence = (self._sequence + 1) & 0xFF
        data = encode_frame(Frame(kind, self._sequence, payload))
        self.bytes_sent += len(data)
        self._transport.write(data)
        return self._sequence

    def _reply(self, kind: int, sequence: int, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        for frame in self.frames(min(0.25, timeout)):
            if frame is not None and frame.sequence == sequence:
                if frame.type == kind | REPLY:
                    return frame.payload
                if frame.type == ERROR | REPLY and len(frame.payload) == 9 and frame.payload[0] == kind:
                    code, detail = struct.unpack("<iI", frame.payload[1:])
                    raise BoardRefusedError(self.where, code, detail)
            if time.monotonic() > deadline:
                return None
        return None

    def request(self, kind: int, payload: bytes = b"", *, timeout: float = 5.0) -> bytes:
        """Send a request, wait for its reply; idempotent ones are sent up to three times -> the reply's payload."""
        for _ in range(3 if kind in IDEMPOTENT else 1):
            reply = self._reply(kind, self.send(kind, payload), timeout)
            if reply is not None:
                return reply
        raise LinkError("the board does not answer", where=self.where, do="reset it, and try again")

    def hello(self, *, timeout: float = 2.0) -> Hello:
        """Meet the board. Raises: LinkError where nothing, or something else, answers."""
        self._transport.write(b"\0")
        before = self.bytes_received
        try:
            payload = self.request(HELLO, timeout=timeout)
        except LinkError as error:
            if self.bytes_received > before and "does not answer" in error.what:
                raise LinkError(
                    "what is there does not speak espike", where=self.where, do="flash the firmware first"
                ) from None
            raise
        return _read_hello(payload, self.where)

    def state(self) -> State:
        """The board's counters."""
        return read_state(self.request(STATE))

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


def varint(value: int) -> bytes:
    """A non-negative number, 7 bits per byte, low bits first, bit 7 = more."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Records:
    """Reads a run's record stream piece by piece (docs/link.md, records)."""

    def __init__(self, first_burst: int, *, fired: bool, hashes: bool) -> None:
        self._burst = first_burst - 1
        self._fired, self._hashes = fired, hashes
        self._data = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, list[int], tuple[int, ...]]]:
        """Complete records: burst, fired count, fired ids, (hash 0, potential hash 0, hash 1, potential hash 1)."""
        self._data += data
        at = 0
        while True:
            try:
                record, at = self._read(at)
            except IndexError:
                self._data = self._data[at:]
                return
            yield record

    def _number(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7

    def _read(self, at: int) -> tuple[Any, int]:
        skip, at = self._number(at)
        count, at = self._number(at)
        ids: list[int] = []
        last = 0
        for _ in range(count if self._fired else 0):
            gap, at = self._number(at)
            last += gap
            ids.append(last)
        hashes: tuple[int, ...] = ()
        if self._hashes:
            if len(self._data) - at < 16:
                raise IndexError
            hashes = struct.unpack_from("<4I", self._data, at)
            at += 16
        self._burst += skip
        return (self._burst, count, ids, hashes), at
