"""firmware -> chip images: what a boot loader would make of them, read byte by byte and by esptool."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path

import engines
import pytest

from espike import boards, chips, toolchain

CHIPS = tuple(name for name, board in boards.boards().items() if "flash_map" in board.data and not board.plan_only)
ESPTOOL = pytest.mark.skipif(not chips.available(), reason="esptool is not installed")


@dataclass(frozen=True)
class Map:
    """Where a chip's boot loader may put things: its id in the header, code and data RAM that it leaves alone."""

    chip_id: int
    code: range
    data: range
    rtc: range


MAPS = {
    "esp32c3": Map(5, range(0x40380000, 0x403E0000), range(0x3FC80000, 0x3FCDC710), range(0x50000000, 0x50002000)),
    "esp32": Map(0, range(0x40080000, 0x400A0000), range(0x3FFB0000, 0x3FFE0000), range(0x50000000, 0x50002000)),
}


@dataclass(frozen=True)
class ChipImage:
    """An image as the boot loader reads it."""

    entry: int
    chip_id: int
    segments: list[tuple[int, bytes]]
    checksum: int
    end: int
    """Offset of the SHA-256."""


def parse(data: bytes) -> ChipImage:
    magic, count, _, _, entry = struct.unpack_from("<4BI", data)
    assert magic == 0xE9
    chip_id, has_sha = struct.unpack_from("<H", data, 12)[0], data[23]
    assert has_sha == 1
    at, segments = 24, []
    for _ in range(count):
        address, size = struct.unpack_from("<II", data, at)
        segments.append((address, data[at + 8 : at + 8 + size]))
        at += 8 + size
    at += 15 - at % 16
    return ChipImage(entry, chip_id, segments, data[at], at + 1)


@pytest.fixture(params=CHIPS)
def built(request: pytest.FixtureRequest) -> tuple[boards.Board, Path]:
    """A chip's board and its image."""
    if not chips.available():
        engines.lack("esptool is not installed")
    engines.needs_compiler(request.param)
    board = boards.boards()[request.param]
    return board, chips.chip_image(board.data, boards.firmware(board))


def test_a_boot_loader_takes_it(built: tuple[boards.Board, Path]) -> None:
    board, path = built
    data, places = path.read_bytes(), MAPS[board.data["chip"]]
    image = parse(data)
    assert image.chip_id == places.chip_id
    assert image.checksum == reduce(lambda a, b: a ^ b, (byte for _, part in image.segments for byte in part), 0xEF)
    assert data[image.end : image.end + 32] == hashlib.sha256(data[: image.end]).digest()
    assert len(data) == image.end + 32
    assert image.entry in places.code
    assert any(address <= image.entry < address + len(part) for address, part in image.segments)
    for address, part in image.segments:
        end = address + len(part) - 1
        assert any(address in place and end in place for place in (places.code, places.data)), hex(address)
    assert len(data) <= board.data["flash_map"]["store"] - board.data["flash_map"]["firmware"]


def test_code_and_data_views_of_one_ram_do_not_overlap(built: tuple[boards.Board, Path]) -> None:
    """The ESP32-C3 shows one RAM twice: code at 0x700000 above where it is as data."""
    board, _ = built
    if board.data["chip"] != "esp32c3":
        pytest.skip("code and data RAM are two on this chip")
    sections = allocated(board)
    code = [(a - 0x700000, a - 0x700000 + n) for a, n in sections if 0x40380000 <= a < 0x403E0000 and n]
    data = [(a, a + n) for a, n in sections if 0x3FC80000 <= a < 0x3FCE0000 and n]
    assert code
    assert data
    data = [place for place in data if place not in code]  # what the link script keeps free for the code
    assert all(end <= begin or last <= first for first, end in code for begin, last in data)
    assert max(end for _, end in data) <= 0x3FCE0000


def allocated(board: boards.Board) -> list[tuple[int, int]]:
    """(address, bytes) of every section that takes memory, the arena and the stack too."""
    objdump = board.data["compiler"].removesuffix("gcc") + "objdump"
    listing = toolchain.run([objdump, "-h", boards.firmware(board)], where=board.name).splitlines()
    found = []
    for line, flags in pairwise(listing):
        words = line.split()
        if len(words) == 7 and words[0].isdigit() and "ALLOC" in flags:
            found.append((int(words[3], 16), int(words[2], 16)))
    return found


def test_the_arena_is_as_large_as_the_board_file_says(built: tuple[boards.Board, Path]) -> None:
    board, _ = built
    assert any(size >= board.ram_bytes for _, size in allocated(board))


@ESPTOOL
def test_esptool_takes_it(built: tuple[boards.Board, Path]) -> None:
    board, path = built
    command = [sys.executable, "-m", "esptool", "--chip", board.data["chip"], "image-info", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout.lower()
    assert "checksum" in told
    assert "(valid)" in told
    assert "invalid" not in told


@ESPTOOL
def test_a_whole_flash_is_firmware_and_an_empty_store(built: tuple[boards.Board, Path]) -> None:
    board, path = built
    whole = chips.whole_flash(board.data, boards.firmware(board)).read_bytes()
    firmware, store = (board.data["flash_map"][name] for name in ("firmware", "store"))
    image = path.read_bytes()
    assert whole[firmware : firmware + len(image)] == image
    assert len(whole) == store + board.flash_bytes
    assert set(whole[store:]) == {0xFF}


def test_without_esptool_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chips, "available", lambda: False)
    elf = tmp_path / "firmware.elf"
    elf.write_bytes(b"")
    with pytest.raises(boards.EspikeError, match=r"esptool not found; pip install 'espike\[esp\]'"):
        chips.chip_image(boards.boards()["esp32c3"].data, elf)
