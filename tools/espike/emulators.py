"""board -> the command line of its emulator, and the file that is its flash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import chips, toolchain
from .board_files import Board


def _store_alone(board: Board, program: Path, flash: Path) -> None:
    """A flash of the store's size and nothing else; what it holds stays."""
    del program
    if not flash.exists() or flash.stat().st_size != board.flash_bytes:
        with flash.open("ab") as file:
            file.truncate(board.flash_bytes)


def _whole_chip(board: Board, program: Path, flash: Path) -> None:
    """A chip's whole flash, this firmware in it; the store stays."""
    store = board.data["flash_map"]["store"]
    wanted = chips.whole_flash(board.data, program).read_bytes()
    held = flash.read_bytes() if flash.exists() else b""
    if len(held) != len(wanted):
        flash.write_bytes(wanted)
    elif held[:store] != wanted[:store]:
        flash.write_bytes(wanted[:store] + held[store:])


@dataclass(frozen=True)
class Machine:
    """How boards of a kind are emulated."""

    arguments: tuple[str, ...]
    """May name the {program} and the {flash}."""
    prepare: Callable[[Board, Path, Path], None] = _store_alone
    """Makes the flash ready to start."""
    boots: bool = False
    """Does a boot loader come first, which hears and answers nothing of ours?"""


_SPI_FLASH = ("-drive", "file={flash},if=mtd,format=raw")
MACHINES = {
    "virt": Machine(
        ("-M", "virt", "-m", "8M", "-bios", "{program}", "-drive", "file={flash},if=pflash,index=1,format=raw")
    ),
    "lx60": Machine(
        (
            *("-M", "lx60-nommu", "-cpu", "lx106", "-semihosting", "-kernel", "{program}"),
            *("-drive", "file={flash},if=pflash,format=raw"),
        )
    ),
    "esp32c3": Machine(("-M", "esp32c3", *_SPI_FLASH), _whole_chip, boots=True),
    "esp32": Machine(("-M", "esp32", *_SPI_FLASH), _whole_chip, boots=True),
}
"""By the board file's `kind`."""


def boots(board: Board) -> bool:
    """Does the board, once started, need a while before it listens?"""
    machine = MACHINES.get(board.data["kind"])
    return machine is not None and machine.boots


def prepared(board: Board, program: Path, flash: Path, tcp: str) -> list[str]:
    """The command that runs `program` with `flash` as its flash and a wire to `tcp`, a port with options.

    Raises: EspikeError where the emulator, or what makes the flash, is missing.
    """
    toolchain.require(board.data)
    machine = MACHINES[board.data["kind"]]
    machine.prepare(board, program, flash)
    named = {"program": str(program), "flash": str(flash).replace(",", ",,")}
    return [
        toolchain.emulator(board.data),
        *(argument.format(**named) for argument in machine.arguments),
        *("-display", "none", "-monitor", "none", "-serial", f"tcp:127.0.0.1:{tcp},nodelay=on"),
    ]
