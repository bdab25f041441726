"""board file -> compiler calls: sources and flags in one place, for SConstruct, the bench and the tests.

Imports nothing but the standard library, so that SConstruct can use it before anything is built.
"""

from __future__ import annotations

import json
import os
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


def boards_folder() -> Path:
    """Where the board files are: $ESPIKE_BOARDS, else boards/ of the checkout."""
    return Path(os.environ.get("ESPIKE_BOARDS", ROOT / "boards"))


def read_board(path: Path) -> dict[str, Any]:
    """A board file, flat: fields of its `espike`, of the board it is like, and what PlatformIO reads too.

    Checks nothing (board_files.py does).
    """
    manifest = json.loads(path.read_text())
    own, build, upload = manifest["espike"], manifest["build"], manifest["upload"]
    like = json.loads(path.with_name(f"{own['like']}.json").read_text())["espike"] if "like" in own else {}
    return {
        **like,
        **own,
        "name": path.stem,
        "title": manifest["name"],
        "clock_hz": int(build["f_cpu"].rstrip("L")),
        "usb_ids": [(int(vendor, 16), int(product, 16)) for vendor, product in build.get("hwids", [])],
        "firmware_bytes": upload["maximum_size"],
        "ram_total_bytes": upload["maximum_ram_size"],
    }


def board_file(name: str) -> dict[str, Any]:
    """The board file of a name, flat."""
    return read_board(boards_folder() / f"{name}.json")


SMALL_DEFINES = ["-DAPP_FP32=0", "-DSPK_INT8_ONLY", "-DAPP_SEGMENT_2=0", "-DAPP_LEARNING=0", "-DAPP_SLEEP=0"]
SMALL_DEFINES += ["-DAPP_TRAINED=0", "-DAPP_SENSES=0", "-DSPK_NO_VECTORS"]
SMALL_FLAGS = ["-fno-caller-saves", "-fno-expensive-optimizations", "-fno-inline-small-functions", "-fno-tree-loop-im"]
SMALL_FLAGS += ["-fno-tree-tail-merge", "-fno-tree-forwprop"]
"""The small firmware: int8 alone, telemetry in segments of version 1, no learning, no neuron models, no senses, no
sleep; for bytes before speed."""


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


def _chip_defines(board: dict[str, Any]) -> list[str]:
    if "chip" not in board:
        return []
    light = board.get("light")
    pins = [] if light is None else [f"-DSPK_LIGHT_PIN={light['pin']}u", f"-DSPK_LIGHT_LOW={int(light['lit_by_low'])}"]
    return [f"-DSPK_FLASH_STORE={board['flash_map']['store']}u", f"-DSPK_LINK={board['link']}", *pins]


def firmware_defines(board: dict[str, Any]) -> list[str]:
    """What the board file tells its port."""
    return [
        f"-DSPK_BOARD_NAME={board['name']}",
        f"-DSPK_ARENA_BYTES={board['ram_bytes']}u",
        f"-DSPK_FLASH_BYTES={board['flash_bytes']}u",
        *_chip_defines(board),
    ]


def port_folders(board: dict[str, Any]) -> list[Path]:
    """Folders of the port: the kind's, what it shares with others, and what boards without a system need."""
    names = [board["kind"], *board.get("shares", []), *(["bare", "libc"] if is_bare(board) else [])]
    return [FIRMWARE / name for name in names]


def port_sources(board: dict[str, Any]) -> list[Path]:
    """The port's start-up and C files."""
    return [source for folder in port_folders(board) for kind in ("*.S", "*.c") for source in sorted(folder.glob(kind))]


def start_sources(board: dict[str, Any]) -> list[Path]:
    """What a program with a `main` of its own needs: start-up, and what libraries lack."""
    own = [FIRMWARE / "bare" / "main.c", FIRMWARE / board["kind"] / "port.c"]
    return [source for source in port_sources(board) if source not in own] if is_bare(board) else []


def firmware_sources(board: dict[str, Any]) -> list[Path]:
    """Every file of a board's firmware: core, application, port."""
    return [*core_sources(), *sorted(FIRMWARE.glob("*.c")), *port_sources(board)]


def small_firmware(board: dict[str, Any]) -> tuple[list[Path], list[str]]:
    """Sources and flags of a board's small firmware. Floats are only its telemetry's: compact ones serve."""
    floats = FIRMWARE / "softfloat" / "floats.c"
    sources = firmware_sources(board)
    sources += [floats] if is_bare(board) and floats not in sources else []
    return sources, [*SMALL_DEFINES, *(SMALL_FLAGS if is_bare(board) else [])]


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


def emulator(board: dict[str, Any]) -> str:
    """The program that emulates the board; empty where none does, or none is named."""
    named = str(board.get("emulator", ""))
    return os.environ.get(named[1:], "") if named.startswith("$") else named


def missing_compiler(board: dict[str, Any]) -> list[str]:
    """What the board's firmware needs to be built and this machine lacks."""
    if board.get("plan_only"):
        return ["firmware for it"]
    return [] if shutil.which(board["compiler"]) else [board["compiler"]]


def missing(board: dict[str, Any]) -> list[str]:
    """What the board needs to run here and this machine lacks: programs, or firmware where espike only plans for it."""
    lacking = missing_compiler(board)
    if board.get("plan_only") or "emulator" not in board:
        return lacking
    program = emulator(board)
    if not program:
        return [*lacking, f"an emulator ({board['emulator'][1:]}) or --port"]
    return lacking if shutil.which(program) else [*lacking, program]


def require_compiler(board: dict[str, Any]) -> None:
    """Raises: EspikeError naming what to install where the board's firmware cannot be built."""
    where = f"board {board['name']}"
    if board.get("plan_only"):
        what = "espike plans for this board, and cannot build or flash its firmware yet"
        raise EspikeError(what, where=where, do="espike boards lists those that run")
    if missing_compiler(board):
        packages = " ".join(board.get("packages", ["gcc"]))
        raise EspikeError(f"{board['compiler']} not found", where=where, do=f"apt-get install {packages}")


def require(board: dict[str, Any]) -> None:
    """Raises: EspikeError naming what to install where the board's programs are missing."""
    require_compiler(board)
    lacking = missing(board)
    if not lacking:
        return
    where = f"board {board['name']}"
    if not emulator(board):
        variable = board["emulator"][1:]
        raise EspikeError(
            f"no emulator of it is known here, and none is on a port ({variable} is not set)", where=where,
            do=f"set {variable} to the chip's emulator, or name a board on a wire with --port",
        )  # fmt: skip
    packages = " ".join(board.get("packages", ["gcc"]))
    raise EspikeError(f"{', '.join(lacking)} not found", where=where, do=f"apt-get install {packages}")


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
    require_compiler(board)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [board["compiler"], *board_flags(board), *flags, *link_flags(board)]
    files = [*start_sources(board), *sources]
    run([*command, *files, *link_libraries(board), "-o", output], where=f"board {board['name']}")
    return output
