"""board file -> compiler calls: sources and flags in one place, for SConstruct, the bench and the tests.

Imports nothing but the standard library, so that SConstruct can use it before anything is built.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "c_core"
FIRMWARE = ROOT / "firmware"
BUILD = ROOT / "build"

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wmissing-prototypes", "-pedantic", "-Werror"]
CORE_FLAGS = ["-std=c99", "-ffp-contract=off", *WARNINGS]
BARE_FLAGS = ["-ffreestanding", "-fno-builtin", "-ffunction-sections", "-fdata-sections"]
BARE_LINK = ["-nostdlib", "-nostartfiles", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments"]


def core_sources() -> list[Path]:
    """Every C file of the core."""
    return sorted((CORE / "src").glob("*.c"))


def is_bare(board: dict[str, Any]) -> bool:
    """Does the board run without an operating system?"""
    return bool(board["kind"] != "native")


def board_flags(board: dict[str, Any]) -> list[str]:
    """Flags that every C file of a board is compiled with; the board's own come last."""
    bare = [*BARE_FLAGS, f"-I{FIRMWARE / 'libc'}"] if is_bare(board) else []
    return [*CORE_FLAGS, f"-I{CORE / 'include'}", *bare, *board["flags"]]


def firmware_defines(board: dict[str, Any]) -> list[str]:
    """What the board file tells its port."""
    return [
        f"-DSPK_BOARD_NAME={board['name']}",
        f"-DSPK_ARENA_BYTES={board['ram_bytes']}u",
        f"-DSPK_FLASH_BYTES={board['flash_bytes']}u",
    ]


def port_sources(board: dict[str, Any]) -> list[Path]:
    """The port's start-up and C files, and what a board without a C library needs."""
    folder = FIRMWARE / board["kind"]
    libc = sorted((FIRMWARE / "libc").glob("*.c")) if is_bare(board) else []
    return [*sorted(folder.glob("*.S")), *sorted(folder.glob("*.c")), *libc]


def firmware_sources(board: dict[str, Any]) -> list[Path]:
    """Every file of a board's firmware: core, application, port."""
    return [*core_sources(), *sorted(FIRMWARE.glob("*.c")), *port_sources(board)]


def link_flags(board: dict[str, Any]) -> list[str]:
    """Flags of the final link."""
    if not is_bare(board):
        return []
    return [*BARE_LINK, "-T", str(FIRMWARE / board["kind"] / "link.ld")]


def link_libraries(board: dict[str, Any]) -> list[str]:
    """Libraries, behind the objects."""
    return ["-lgcc"] if is_bare(board) else []


def firmware_path(board: dict[str, Any]) -> Path:
    """Where SCons puts a board's firmware."""
    return BUILD / str(board["name"]) / "firmware.elf"


def missing(board: dict[str, Any]) -> list[str]:
    """What the board needs and this machine lacks: programs, or firmware where espike only plans for it."""
    if board.get("plan_only"):
        return ["firmware for it"]
    programs = [board["compiler"], *([board["emulator"]] if "emulator" in board else [])]
    return [program for program in programs if shutil.which(program) is None]


def require(board: dict[str, Any]) -> None:
    """Raises: EspikeError naming what to install where the board's programs are missing."""
    lacking = missing(board)
    if board.get("plan_only"):
        what = "espike plans for this board, and cannot build or flash its firmware yet"
        raise EspikeError(what, where=f"board {board['name']}", do="espike boards lists those that run")
    if lacking:
        packages = " ".join(board.get("packages", ["gcc"]))
        raise EspikeError(
            f"{', '.join(lacking)} not found", where=f"board {board['name']}", do=f"apt-get install {packages}"
        )


def run(command: Sequence[str | Path], *, where: str) -> str:
    """Run a build command -> its output. Raises: EspikeError with the first line that says error."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no output"]
        told = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise EspikeError(f"build failed: {told}", where=where)
    return done.stdout


def compile_program(board: dict[str, Any], sources: Sequence[Path], output: Path, *, flags: Sequence[str] = ()) -> Path:
    """One program for a board from sources beside its port's start-up, without the application -> `output`.

    Raises: EspikeError where a program is missing or the compiler refuses.
    """
    require(board)
    output.parent.mkdir(parents=True, exist_ok=True)
    start = sorted((FIRMWARE / board["kind"]).glob("*.S")) + sorted((FIRMWARE / "libc").glob("*.c"))
    command = [board["compiler"], *board_flags(board), *flags, *link_flags(board)]
    files = [*(start if is_bare(board) else []), *sources]
    run([*command, *files, *link_libraries(board), "-o", output], where=f"board {board['name']}")
    return output
