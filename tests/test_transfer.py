"""image (- base) <-> transfer, and damage to it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import c_programs
import numpy as np
import pytest

from espike import image, selftest, transfer
from espike.bench import networks, transfers
from espike_sim.core import ffi, lib
from espike_sim.errors import EspikeError
from espike_sim.random_networks import random_network

KINDS = ("dense8", "uniform", "d8w8", "d8w4", "b53", "procedural")


def of_kind(kind: str) -> bytes:
    return image.pack(networks.rows_network(kind, 400, 24, networks.Neurons())).data


@pytest.mark.parametrize("kind", KINDS)
def test_every_codec_comes_back(kind: str) -> None:
    data = of_kind(kind)
    coded = transfer.encode(data)
    assert transfer.expand(coded) == data
    assert len(coded) <= len(data) + transfer.HEADER_BYTES + len(data) // 64


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_come_back_whole_in_parts_and_as_differences(seed: int, precision: str) -> None:
    data = selftest.pack(random_network(seed, precision, seed % 2 == 0, areas=4, timing=seed % 3 == 0)).data
    base = selftest.pack(random_network(seed + 1, precision, True, areas=4)).data
    assert transfer.expand(transfer.encode(data)) == data
    assert transfer.expand(transfer.encode(data, base), base) == data
    for first in (4, 256, 4096, len(data) // 8 * 4, len(data) - 4, len(data)):
        if first <= len(data):
            assert transfer.expand(transfer.encode(data, base, first=first), base) == data[first:]


def test_a_difference_to_itself_is_next_to_nothing() -> None:
    data = of_kind("d8w8")
    assert len(transfer.encode(data, data)) < 400
    assert transfer.expand(transfer.encode(data, data), data) == data


@pytest.mark.parametrize("at", [700, 2048, 9001])
@pytest.mark.parametrize("inserted", [1, 5, 4096])
def test_bytes_that_moved_are_found(at: int, inserted: int) -> None:
    base = of_kind("d8w8")
    extra = bytes(np.random.default_rng(at).integers(0, 256, inserted, dtype=np.uint8))
    moved = base[:at] + extra + base[at:]
    data = moved + bytes(-len(moved) % 4)
    data = data[:8] + struct.pack("<I", len(data)) + data[12:]
    assert transfer.expand(transfer.encode(data, base), base) == data
    assert len(transfer.encode(data, base)) < 700 + 1.2 * inserted


def test_the_goals_hold() -> None:
    assert transfers.transfer_ratio(networks.normal_rows_network()) >= 1.25
    assert transfers.update_ratio() >= 4
    assert transfers.link_efficiency() >= 0.97


def test_every_damage_is_refused() -> None:
    data = image.pack(networks.layered_network()).data
    for base in (None, image.pack(networks.layered_network(changed=0.1)).data):
        coded = transfer.encode(data, base)
        for at in range(0, len(coded), 1 if base else 7):
            broken = bytearray(coded)
            broken[at] ^= 1 << at % 8
            with pytest.raises(EspikeError):
                transfer.expand(bytes(broken), base)
        for end in (0, 1, 39, 40, 41, len(coded) // 2, len(coded) - 1):
            with pytest.raises(EspikeError):
                transfer.expand(coded[:end], base)
        with pytest.raises(EspikeError):
            transfer.expand(coded + b"\0", base)


def test_a_difference_needs_its_base() -> None:
    data, base = of_kind("d8w8"), of_kind("b53")
    coded = transfer.encode(data, base)
    for other in (None, data, base[:-4] + bytes(4)):
        if other is not None and other[12:16] == base[12:16] and len(other) == len(base):
            continue  # the CRC in its header names an image; that its bytes are right is the journal's to know
        with pytest.raises(EspikeError, match="is the difference to another image"):
            transfer.expand(coded, other)


def push_all(coded: bytes, step: int, most: int) -> bytes:
    """Expanded in pieces of `step` bytes, at most `most` bytes of image at a time, as a board does."""
    header = ffi.new("spk_transfer_header_t *")
    assert lib.spk_transfer_read_header(header, coded) == 0
    out = bytearray()

    def write(_: object, offset: int, piece: object, count: int) -> int:
        assert offset == len(out)
        assert (offset + count) % 256 == 0 or offset + count == header.image_bytes
        out.extend(ffi.buffer(piece, count))
        return 0

    put = ffi.callback("int(void *, uint32_t, const uint8_t *, uint32_t)", write)
    ends = ffi.new("spk_transfer_ends_t *", {"write": put})
    memory = ffi.new("uint64_t[]", lib.spk_transfer_memory_bytes() // 8)
    running = lib.spk_transfer_begin(memory, header, ends)
    at, waits, before = 40, 0, 0
    while not lib.spk_transfer_is_done(running):
        piece = b"" if waits else coded[at : at + step]
        waits = lib.spk_transfer_push(running, piece, len(piece), most)
        assert waits >= 0
        assert len(out) - before <= most + 256
        before = len(out)
        at += len(piece)
        assert lib.spk_transfer_taken(running) == at - 40
        assert lib.spk_transfer_written(running) == len(out)
    return bytes(out)


@pytest.mark.parametrize("step", [1, 7, 27, 28, 29, 255, 1024])
@pytest.mark.parametrize("most", [256, 1000, 8192])
def test_pieces_of_any_size_make_the_same_image(step: int, most: int) -> None:
    data = of_kind("b53")
    assert push_all(transfer.encode(data), step, most) == data


def test_the_header_is_what_the_document_says() -> None:
    data = of_kind("uniform")
    coded = transfer.encode(data)
    magic, version, *words, crc = struct.unpack_from("<4s9I", coded)
    assert (magic, version, crc) == (b"ESPT", 1, zlib.crc32(coded[:36]))
    image_crc = struct.unpack_from("<I", data, 12)[0]
    assert words == [len(data), image_crc, 0, 0, 0, len(coded) - 40, zlib.crc32(coded[40:])]


def test_headers_out_of_range_are_refused_behind_a_right_crc() -> None:
    coded = transfer.encode(of_kind("uniform"))
    header = ffi.new("spk_transfer_header_t *")
    size = struct.unpack_from("<I", coded, 8)[0]
    for at, value, error in (
        (8, size, 0), (8, 136, 0), (8, 132, -1), (8, 0, -1), (8, size + 1, -1), (8, size + 2, -1),
        (16, 4, 0), (16, size, 0), (16, 2, -1), (16, size + 4, -1), (16, 0xFFFFFFFC, -1),
        (0, 0, lib.SPK_ERROR_MAGIC), (4, 0, lib.SPK_ERROR_VERSION), (4, 2, lib.SPK_ERROR_VERSION),
    ):  # fmt: skip
        forged = bytearray(coded[:36])
        struct.pack_into("<I", forged, at, value)
        forged += struct.pack("<I", zlib.crc32(forged))
        wanted = lib.SPK_ERROR_TRANSFER if error == -1 else error
        assert lib.spk_transfer_read_header(header, bytes(forged)) == wanted, (at, value)
        forged[39] ^= 1
        assert lib.spk_transfer_read_header(header, bytes(forged)) == (wanted or lib.SPK_ERROR_TRANSFER)


class Expanding:
    """A transfer that is pushed piece by piece; its flash fails once `fails_at` bytes are written."""

    def __init__(self, coded: bytes, fails_at: int = 1 << 31) -> None:
        self.out, self._fails_at = bytearray(), fails_at
        header = ffi.new("spk_transfer_header_t *")
        assert lib.spk_transfer_read_header(header, coded) == 0
        self._put = ffi.callback("int(void *, uint32_t, const uint8_t *, uint32_t)", self._write)
        self._ends = ffi.new("spk_transfer_ends_t *", {"write": self._put})
        self._memory = ffi.new("uint64_t[]", lib.spk_transfer_memory_bytes() // 8)
        self.c = lib.spk_transfer_begin(self._memory, header, self._ends)

    def _write(self, _: object, offset: int, piece: object, count: int) -> int:
        if offset + count > self._fails_at:
            return -1
        self.out.extend(ffi.buffer(piece, count))
        return 0

    def push(self, piece: bytes) -> int:
        return int(lib.spk_transfer_push(self.c, piece, len(piece), 0xFFFFFFFF))


def test_a_transfer_is_over_once_it_failed() -> None:
    """A flash that fails, a piece too long, no such code, more than the header says: then nothing is taken any more."""
    data = of_kind("uniform")
    coded = transfer.encode(data)
    payload = coded[40:]
    assert len(payload) > 1100
    for fails_at, piece, error in (
        (512, payload[:1024], lib.SPK_ERROR_FLASH),
        (1 << 31, bytes(1053), lib.SPK_ERROR_TRANSFER),
        (1 << 31, bytes(1024), lib.SPK_ERROR_TRANSFER),
    ):
        running = Expanding(coded, fails_at)
        assert running.push(piece) == error
        before = bytes(running.out)
        assert running.push(payload[:1]) == running.push(b"") == lib.SPK_ERROR_TRANSFER
        assert not lib.spk_transfer_is_done(running.c)
        assert bytes(running.out) == before != data
    running = Expanding(coded)
    for at in range(0, len(payload), 1000):
        assert running.push(payload[at : at + 1000]) == 0
    assert lib.spk_transfer_is_done(running.c)
    assert running.push(b"\0") == lib.SPK_ERROR_TRANSFER
    assert not lib.spk_transfer_is_done(running.c)


def test_an_image_is_done_when_its_whole_payload_is_there() -> None:
    """Behind the last byte's code more may lie, which the payload's CRC covers."""
    data = of_kind("uniform")
    coded = bytearray(transfer.encode(data) + bytes(100))
    struct.pack_into("<II", coded, 28, len(coded) - 40, zlib.crc32(coded[40:]))
    struct.pack_into("<I", coded, 36, zlib.crc32(coded[:36]))
    running, payload = Expanding(bytes(coded)), bytes(coded[40:])
    for at in range(0, len(payload) - 1, 500):
        assert running.push(payload[at : min(at + 500, len(payload) - 1)]) == 0
    assert bytes(running.out) == data
    assert not lib.spk_transfer_is_done(running.c)
    assert running.push(payload[-1:]) == 0
    assert lib.spk_transfer_is_done(running.c)


def test_what_cannot_be_coded_is_refused() -> None:
    """Kinds that there are not, copies of other bytes or from outside the base, too little room."""
    data = np.frombuffer(of_kind("uniform")[:1000], np.uint8)

    def encode(kinds: np.ndarray, deltas: np.ndarray, room: int = 4000, base: bytes = data.tobytes()) -> int:
        header = ffi.new("spk_transfer_header_t *", {"image_bytes": len(data), "base_bytes": len(base)})
        memory, out = ffi.new("uint64_t[]", lib.spk_transfer_memory_bytes() // 8), ffi.new("uint8_t[]", 4000)
        given = ffi.from_buffer("uint8_t[]", kinds), ffi.from_buffer("int32_t[]", deltas)
        return int(lib.spk_transfer_encode(header, data.tobytes(), base, *given, memory, out, room))

    literals, copies = np.zeros(len(data), np.uint8), np.full(len(data), lib.SPK_TRANSFER_COPY, np.uint8)
    none, moved = np.zeros(len(data), np.int32), np.zeros(len(data), np.int32)
    needed = encode(literals, none)
    assert 40 < encode(copies, none) < needed
    for room in (0, 39, 40, 41, needed - 5):
        assert encode(literals, none, room) == lib.SPK_ERROR_BUFFER
    for kind in (lib.SPK_TRANSFER_MOVE, 6, 255):
        wrong = literals.copy()
        wrong[500] = kind
        assert encode(wrong, none) == lib.SPK_ERROR_TRANSFER
    for delta in (1, -1, 500, -501, 1 << 30):
        moved[500] = delta
        differs = not 0 <= 500 + delta < 1000 or data[500 + delta] != data[500]
        assert differs == (encode(copies, moved) == lib.SPK_ERROR_TRANSFER)
    assert encode(copies, none, base=data[:999].tobytes()) == lib.SPK_ERROR_TRANSFER


class Decoder:
    """docs/transfer.md and docs/segment.md read again: a binary range decoder in Python's whole numbers."""

    RATES = (1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, *[5] * 16)

    def __init__(self, payload: bytes) -> None:
        self._left = iter(payload)
        self._range, self._code = 0xFFFFFFFF, 0
        for _ in range(4):
            self._code = self._code << 8 | next(self._left, 0)
        self._contexts: dict[tuple[int, ...], list[int]] = {}

    def _shift(self) -> None:
        while self._range < 1 << 24:
            self._range, self._code = self._range << 8, self._code << 8 | next(self._left, 0)

    def bit(self, *context: int) -> int:
        """A bit in a context."""
        held = self._contexts.setdefault(context, [0x8000, 0])
        bound = (self._range >> 16) * held[0]
        bit = int(self._code < bound)
        self._code -= 0 if bit else bound
        self._range = bound if bit else self._range - bound
        rate = self.RATES[held[1]] if held[1] < len(self.RATES) else 6
        held[1] += 1
        held[0] += (0xFFFF - held[0] >> rate) if bit else -(held[0] >> rate)
        self._shift()
        return bit

    def even(self, count: int) -> int:
        """Bits that are as likely 0 as 1."""
        value = 0
        for _ in range(count):
            self._range >>= 1
            bit = int(self._code < self._range)
            self._code -= 0 if bit else self._range
            value = value << 1 | bit
            self._shift()
        return value

    def tree(self, count: int, *context: int) -> int:
        """A number of `count` bits."""
        node = 1
        for _ in range(count):
            node = node << 1 | self.bit(*context, node)
        return node - (1 << count)


def test_a_second_decoder_reads_the_same() -> None:
    base = image.pack(networks.layered_network()).data
    data = image.pack(networks.layered_network(changed=0.2)).data
    decoder = Decoder(transfer.encode(data, base)[40:])
    out, before, last, delta = bytearray(), 0, 0, 0
    while len(out) < len(data):
        kind = decoder.tree(3, 0, before, last)
        if kind == 5:
            delta, kind = decoder.even(32), 4
        before, last = last, kind
        out.append(base[(len(out) + delta) & 0xFFFFFFFF] if kind == 4 else decoder.tree(8, 1, kind))
    assert bytes(out) == data


def seeds() -> list[bytes]:
    data = of_kind("d8w8")[:2000]
    data = data[:8] + struct.pack("<I", len(data)) + data[12:]
    base = bytes(64) + data[200:1000]
    return [bytes([60, 0]) + transfer.encode(data), bytes([3, 20]) + transfer.encode(data, base)]


def test_any_bytes_under_sanitizers(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    program = c_programs.sanitized("transfer_fuzz.c", tmp_path)
    cases = [bytes(rng.integers(0, 256, int(n), dtype=np.uint8)) for n in rng.integers(42, 600, 200)]
    for case in (*seeds(), *cases):
        c_programs.feed(program, case)


def test_fuzzer_finds_nothing(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("transfer_fuzz.c", tmp_path), seeds(), tmp_path, 3)


@pytest.mark.soak
def test_fuzzer_finds_nothing_for_long(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("transfer_fuzz.c", tmp_path), seeds(), tmp_path, 120)
