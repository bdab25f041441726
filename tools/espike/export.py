"""program -> a folder that builds without espike: C with a Makefile, or a PlatformIO project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from espike_sim.errors import EspikeError

from . import emulators, toolchain
from .board_files import Board
from .program import Program, network_c, network_h, template

Files = dict[str, str]
"""Path below the folder -> text."""


def c_files(made: Program, board: Board | None) -> Files:
    """C sources and a Makefile, for this machine's compiler or for a bare-metal board's.

    Raises: EspikeError where espike has no firmware for the board.
    """
    files = {**_network(made), **_core()}
    if board is None or not toolchain.is_bare(board.data):
        return {**files, "main.c": template("main_host.c"), "Makefile": _makefile(None)}
    _refuse_plan_only(board)
    return {**files, **_port(board), "main.c": template("main_port.c"), "Makefile": _makefile(board)}


def platformio_files(made: Program, board: Board) -> Files:
    """A PlatformIO project: bare metal where espike has firmware for the board, else with Espressif's SDK.

    Raises: EspikeError where PlatformIO knows the board in neither way.
    """
    network = {f"src/{name}": text for name, text in _network(made).items()}
    files = {**network, **_core(), **_texts(toolchain.CORE, ("library.json",))}
    if not board.plan_only and toolchain.is_bare(board.data):
        platform = toolchain.ROOT / "boards" / "platform-espike"
        like = [board.data["like"]] if "like" in board.data else []
        return {
            **files, **_port(board), **_texts(platform, ("*.json", "*.py", "builder/*.py")),
            **_texts(toolchain.boards_folder(), [f"{name}.json" for name in (board.name, *like)], "boards"),
            **_builder_modules(), "src/main.c": template("main_port.c"), "platformio.ini": _bare_ini(board),
        }  # fmt: skip
    if "sdk_board" not in board.data:
        what = "PlatformIO has no board for it without a registry"
        raise EspikeError(what, where=f"board {board.name}", do="espike export c, or another --board")
    return {**files, "src/main.c": template("main_sdk.c"), "platformio.ini": _sdk_ini(board)}


def write(files: Files, folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files into a folder that is new or empty, or with `force` into any; others in it stay.

    Raises: EspikeError where the folder is in use or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise EspikeError("the folder is not empty", where=str(folder), do="choose another, or add --force")
    written = []
    try:
        for name, text in sorted(files.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    except OSError as error:
        raise EspikeError(f"cannot write ({error.strerror})", where=str(error.filename or folder)) from None
    return written


def _refuse_plan_only(board: Board) -> None:
    if board.plan_only:
        what = "espike has no firmware for this board, only plans"
        raise EspikeError(what, where=f"board {board.name}", do="espike export platformio goes through its SDK")


def _texts(folder: Path, patterns: Iterable[str], into: str | None = None) -> Files:
    """Files of a folder of the checkout, by where they lie in it, or in `into`."""
    base = into if into is not None else folder.relative_to(toolchain.ROOT).as_posix()
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return {f"{base}/{path.relative_to(folder).as_posix()}": path.read_text() for path in paths}


def _network(made: Program) -> Files:
    own = {name: template(name) for name in ("program.c", "program.h")}
    return {**own, "network.c": network_c(made), "network.h": network_h(made)}


def _core() -> Files:
    return _texts(toolchain.CORE, ("include/espike/*.h", "src/*.[ch]", "src/*.inc"))


def _port(board: Board) -> Files:
    """The board's port: what of firmware/ is not espike's own application."""
    files = _texts(toolchain.FIRMWARE, ("app.h", "port.h"))
    for folder in toolchain.port_folders(board.data):
        files |= _texts(folder, ("*.[chS]", "*.ld"))
    return files


def _builder_modules() -> Files:
    """What the platform's builder imports, without the packages around it."""
    return {
        "tools/espike/__init__.py": "",
        "hostsim/espike_sim/__init__.py": "",
        **_texts(toolchain.ROOT / "tools" / "espike", ("toolchain.py", "chips.py")),
        **_texts(toolchain.ROOT / "hostsim" / "espike_sim", ("errors.py",)),
    }


def _below(flags: list[str]) -> str:
    """Flags, paths in the checkout as paths below the exported folder."""
    return " ".join(flag.replace(f"{toolchain.ROOT}/", "") for flag in flags)


def _runner(board: Board, program: str) -> list[str]:
    """The command that emulates a board with an empty flash and its wire on the terminal; empty where none does."""
    machine = emulators.MACHINES.get(board.data["kind"])
    if machine is None or "chip" in board.data or not toolchain.emulator(board.data):
        return []
    arguments = list(machine.arguments)
    while "-drive" in arguments:
        at = arguments.index("-drive")
        del arguments[at : at + 2]
    named = [argument.format(program=program) for argument in arguments]
    quiet = ("-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio")
    return [toolchain.emulator(board.data), *named, *quiet]


def _makefile(board: Board | None) -> str:
    if board is None:
        compiler, flags, link, libraries = "cc", ["-O2", *toolchain.CORE_FLAGS, "-Ic_core/include"], "", ""
        ports: list[str] = []
        run = ["./program"]
    else:
        data = board.data
        compiler, libraries = data["compiler"], " ".join(toolchain.link_libraries(data))
        run = _runner(board, "program")
        ends = ["-DPROGRAM_ENDS"] if run else []
        flags = [*toolchain.board_flags(data), *toolchain.firmware_defines(data), "-Ifirmware", *ends]
        link = _below(toolchain.link_flags(data))
        ports = [path.relative_to(toolchain.ROOT).as_posix() for path in toolchain.port_sources(data)]
    return f"""# network -> program; written by espike export. `make run` runs it.
CC = {compiler}
CFLAGS = -I. {_below(flags)}
SOURCES = main.c program.c network.c $(wildcard c_core/src/*.c) {" ".join(ports)}

program: $(SOURCES) $(wildcard *.h c_core/include/espike/*.h c_core/src/*.h c_core/src/*.inc) Makefile
\t$(CC) $(CFLAGS) {link} $(SOURCES) -o $@ {libraries}

.PHONY: run
run: program
\t{" ".join(run) or "@echo 'put program on the board: esptool elf2image, then write-flash'"}
"""


def _bare_ini(board: Board) -> str:
    run = _runner(board, "$SOURCE")
    ends = "build_flags = -DPROGRAM_ENDS\n" if run else ""
    upload = f"upload_protocol = custom\nupload_command = {' '.join(run)}\n" if run else ""
    return f"""; Written by espike export. Needs no registry, but platformio and scons as espike[firmware] pins them.
[platformio]
boards_dir = boards
core_dir = .pio-core

[env:{board.name}]
platform = symlink://boards/platform-espike
board = {board.name}
lib_compat_mode = off
lib_deps = espike=symlink://c_core
{ends}{upload}monitor_speed = 115200
"""


def _sdk_ini(board: Board) -> str:
    return f"""; Written by espike export. PlatformIO downloads Espressif's SDK when it builds this for the first time.
[env:{board.name}]
platform = espressif32
board = {board.data["sdk_board"]}
framework = espidf
lib_compat_mode = off
lib_deps = espike=symlink://c_core
monitor_speed = 115200
"""
