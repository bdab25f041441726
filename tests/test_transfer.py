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
