"""The C link codec and Python's (cobs, zlib) make the same bytes of every payload and take each other's frames."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import c_programs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espike.link import Frame, decode_frame, encode_frame

try:
    from espike_sim._core import ffi, lib
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

CAPACITY = 2 + 1024 + 4
FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"\0", b"\0" * 9, b"a" * 253, b"b" * 254, b"c" * 255, b"\xff"]), max_size=4).map(
            b"".join
        ),
    ),
)


def send(frame: Frame) -> bytes:
    """A frame as the core puts it on the wire."""
    wire = bytearray()

    @ffi.callback("void(void *, const uint8_t *, size_t)")  # type: ignore[untyped-decorator]
    def write(_: Any, data: Any, count: int) -> None:
        wire.extend(ffi.buffer(data, count))

    body = bytes([frame.type, frame.sequence]) + frame.payload
    buffer = ffi.new("uint8_t[]", body + bytes(4))
    lib.spk_link_send(buffer, len(frame.payload), write, ffi.NULL)
    return bytes(wire)


class Receiver:
    """The core's receiver, fed with bytes."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.buffer = ffi.new("uint8_t[]", capacity)
        self.receiver = ffi.new("spk_link_receiver_t *")
        lib.spk_link_receiver_init(self.receiver, self.buffer, capacity)

    def push(self, data: bytes) -> list[Frame | None]:
        """Frames that the bytes complete; None for each that was none."""
        found: list[Frame | None] = []
        for byte in data:
            length = lib.spk_link_push(self.receiver, byte)
            if length < 0:
                assert length == lib.SPK_ERROR_FRAME
                found.append(None)
            elif length > 0:
                body = bytes(ffi.buffer(self.buffer, length))
                found.append(Frame(body[0], body[1], body[2:]))
        return found


def check(frame: Frame) -> None:
    """Both codecs write the same, and each reads it."""
    wire = encode_frame(frame)
    assert send(frame) == wire
    assert wire.find(0) == len(wire) - 1
    assert decode_frame(wire[:-1]) == frame
    assert Receiver(6 + len(frame.payload)).push(wire) == [frame]


@pytest.mark.parametrize("pattern", ["zeros", "ones", "random", "zero at the end", "zero in front"])
def test_every_length(pattern: str) -> None:
    rng = np.random.default_rng(1)
    lengths = (
        range(1025) if pattern in ("ones", "zeros") else [*range(12), *range(244, 264), *range(500, 516), 1023, 1024]
    )
    for length in lengths:
        payload = {
            "zeros": bytes(length),
            "ones": b"\x01" * length,
            "random": rng.bytes(length),
            "zero at the end": (b"\xff" * length + b"\0")[1:],
            "zero in front": (b"\0" + b"\x02" * length)[:length],
        }[pattern]
        check(Frame(7, length & 255, payload))


@settings(max_examples=300, deadline=None, database=None)
@given(FRAMES)
def test_any_frame(frame: Frame) -> None:
    check(frame)


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(st.one_of(FRAMES.map(encode_frame), st.binary(max_size=40)), max_size=6))
def test_both_see_the_same_frames_in_any_bytes(pieces: list[bytes]) -> None:
    wire = b"".join(piece + b"\0" for piece in pieces)
    expected = [decode_frame(piece) for piece in wire.split(b"\0") if piece not in (b"", b"\x01")]
    small_enough = [f if f is None or len(f.payload) <= 1024 else None for f in expected]
    assert Receiver().push(wire) == small_enough


def test_frame_too_long_is_dropped_whole() -> None:
    frame = Frame(1, 2, b"x" * 50)
    receiver = Receiver(6 + 49)
    assert receiver.push(encode_frame(frame)) == [None]
    short = Frame(1, 3, b"x" * 49)
    assert receiver.push(encode_frame(short)) == [short]


@settings(max_examples=100, deadline=None, database=None)
@given(FRAMES, st.data())
def test_a_damaged_frame_is_no_frame(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(encode_frame(frame))
    at = data.draw(st.integers(0, len(wire) - 2))
    wire[at] ^= 1 << data.draw(st.integers(0, 7))
    assert all(found is None for found in Receiver().push(bytes(wire)))


@given(st.binary(max_size=200), st.binary(max_size=50))
@settings(max_examples=100, deadline=None, database=None)
def test_crc(a: bytes, b: bytes) -> None:
    assert lib.spk_crc32(0, a + b, len(a + b)) == zlib.crc32(a + b)
    assert lib.spk_crc32(zlib.crc32(a), b, len(b)) == zlib.crc32(a + b)


def streams() -> list[bytes]:
    """Wires full of frames and rubbish; the first byte chooses the receiver's capacity."""
    rng = np.random.default_rng(3)
    found = []
    for capacity in range(12):
        pieces = [encode_frame(Frame(int(n) & 255, 1, rng.bytes(int(n)))) for n in rng.integers(0, 300, 20)]
        pieces += [rng.bytes(int(n)) for n in rng.integers(0, 600, 20)]
        found.append(bytes([capacity]) + b"".join(pieces[i] for i in rng.permutation(40)))
    return found


def test_any_bytes_under_sanitizers(tmp_path: Path) -> None:
    program = c_programs.sanitized("link_fuzz.c", tmp_path)
    for capacity, wire in zip((0, 1, 5, 6, 7, 8, 64, 255, 256, 260, 1030, 70000), streams(), strict=True):
        frames = [decode_frame(piece) for piece in wire[1:].split(b"\0")]
        wanted = [f for f in frames if f is not None and len(f.payload) + 6 <= capacity]
        lines = c_programs.feed(program, wire).splitlines()
        assert lines == [(bytes([f.type, f.sequence]) + f.payload).hex() for f in wanted]
        c_programs.feed(program, wire[:1] + np.random.default_rng(capacity).bytes(200_000))


def test_fuzzer_finds_nothing(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("link_fuzz.c", tmp_path), streams(), tmp_path, 3)


@pytest.mark.soak
def test_fuzzer_finds_nothing_for_long(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("link_fuzz.c", tmp_path), streams(), tmp_path, 120)
