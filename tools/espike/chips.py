"""firmware -> what a chip's boot loader takes, and the whole flash with it: esptool's work.

esptool is a program of its own, with its own licence: it is run, never imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from . import toolchain

MEGABYTE = 1 << 20
_MODE = ("--flash-mode", "dio", "--flash-freq", "40m")


def available() -> bool:
    """Is esptool installed for this Python?"""
    return importlib.util.find_spec("esptool") is not None


def esptool(board: dict[str, Any], arguments: Sequence[str | Path]) -> str:
    """Run esptool for a board's chip -> what it tells. Raises: EspikeError where it is missing or fails."""
    where = f"board {board['name']}"
    if not available():
        raise EspikeError("esptool not found", where=where, do="pip install 'espike[esp]'")
    return toolchain.run([sys.executable, "-m", "esptool", "--chip", board["chip"], *arguments], where=where)


def flash_bytes(board: dict[str, Any]) -> int:
    """Bytes of the chip's whole flash."""
    return int(board["flash_map"]["store"]) + int(board["flash_bytes"])


def _size(board: dict[str, Any]) -> str:
    return f"{flash_bytes(board) // MEGABYTE}MB"


def chip_image(board: dict[str, Any], elf: Path) -> Path:
    """The image that the chip's boot loader copies to RAM, firmware.bin beside the ELF file.

    Raises: EspikeError where esptool is missing, or the image is larger than its place.
    """
    image = elf.with_suffix(".bin")
    if not image.exists() or image.stat().st_mtime < elf.stat().st_mtime:
        esptool(board, ["elf2image", *_MODE, "--flash-size", _size(board), "-o", image, elf])
    most = board["firmware_bytes"]
    if image.stat().st_size > most:
        what = f"the firmware's image has {image.stat().st_size} bytes, its place {most}"
        raise EspikeError(what, where=f"board {board['name']}")
    return image


def whole_flash(board: dict[str, Any], elf: Path) -> Path:
    """The chip's whole flash, firmware and an empty store, flash.bin beside the ELF file. Raises: as `chip_image`."""
    image = chip_image(board, elf)
    flash = elf.with_name("flash.bin")
    if not flash.exists() or flash.stat().st_mtime < image.stat().st_mtime:
        offset = hex(board["flash_map"]["firmware"])
        esptool(board, ["merge-bin", "--pad-to-size", _size(board), "-o", flash, offset, image])
    return flash
