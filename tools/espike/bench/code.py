"""sources -> bytes of code: what the linker keeps of the core, and what a whole firmware takes."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from espike_sim.errors import EspikeError

from .. import toolchain
from .instructions import RV32, Target

HERE = Path(__file__).resolve().parent
STORED = (".text", ".rodata", ".data")
"""Output sections that occupy flash; the core has no .data."""
KEPT_SECTION = re.compile(
    r"^ \.(?:text|literal|s?rodata|s?data)\S*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+(\S+)$", re.MULTILINE
)
"""A section in the link map: its bytes and its file. A long name has a line of its own."""


def segment_text_bytes(folder: Path) -> int:
    """Code and constants of the segment codec, both versions, written and read, with the software floats it needs."""
    return _linked_bytes(folder, "segment_entry", [])


def core_text_bytes(folder: Path, precision: str, target: Target = RV32) -> int:
    """Code and constants of the core in a firmware of one precision, compiled as the target's board file says (-Os).

    `entry.c` calls what an application calls: image, engine, ledger, hashes, link codec. The core's files are compiled
    one by one and linked with it under --gc-sections; summed is what the link map lists as kept from them, and from
    libgcc, whose software floats fp32 needs, or what stands for it on lx106.
    """
    only = ["-DSPK_INT8_ONLY"] if precision == "int8" else []
    return _linked_bytes(folder, "entry", [f"-DLINK_KERNEL=spk_kernel_{precision}", *only], target)


def _linked_bytes(folder: Path, entry: str, defines: list[str], target: Target = RV32) -> int:
    b = target.board
    toolchain.require_compiler(b)
    flags = [*toolchain.board_flags(b), "-fno-lto", *defines]  # so that each section keeps the name of its file
    name = "-".join([entry, *(define.split("_")[-1] for define in defines if "=" in define)])
    folder = folder / target.name
    folder.mkdir(exist_ok=True)
    start = toolchain.start_sources(b)
    library = [path for path in start if path.parent.name in ("softfloat", "xtensa") and path.suffix == ".c"]
    objects = {source: folder / f"core-{source.stem}.o" for source in [*toolchain.core_sources(), *library]}
    main = folder / f"{name}.o"
    for source, output in {**objects, HERE / f"{entry}.c": main}.items():
        toolchain.run([b["compiler"], *flags, "-c", source, "-o", output], where=f"board {b['name']}")
    start = [source for source in start if source not in library]
    linked = folder / f"{name}.map"
    command = [b["compiler"], *flags, *toolchain.link_flags(b), f"-Wl,-Map={linked}", *start, main, *objects.values()]
    toolchain.run([*command, *toolchain.link_libraries(b), "-o", folder / f"{name}.elf"], where=f"board {b['name']}")
    return _kept_bytes(linked.read_text(), {str(path) for path in objects.values()})


def _kept_bytes(link_map: str, objects: set[str]) -> int:
    """Sum of the kept input sections of some objects and of libgcc. Raises: EspikeError where there are none."""
    kept = link_map[link_map.find("Linker script and memory map") :]
    sections = KEPT_SECTION.findall(kept)
    total = sum(int(size, 16) for size, file in sections if file in objects or "libgcc.a(" in file)
    if not total:
        raise EspikeError("the link map lists no section of the core", where="bench code")
    return total


def small_firmware(folder: Path) -> Path:
    """The small firmware of the emulated rv32imc board, as `scons small=1` builds it."""
    b = RV32.board
    output = folder / "small.elf"
    sources, more = toolchain.small_firmware(b)
    flags = [*toolchain.board_flags(b), *toolchain.firmware_defines(b), f"-I{toolchain.FIRMWARE}", *more]
    command = [b["compiler"], *flags, *toolchain.link_flags(b), *sources, *toolchain.link_libraries(b), "-o", output]
    toolchain.run(command, where=f"board {b['name']}")
    return output


def build_firmware() -> Path | None:
    """The firmware of the emulated rv32imc board, built by SCons as `scons board=emu-rv32` does; None without SCons."""
    if importlib.util.find_spec("SCons") is None:
        return None
    b = RV32.board
    command: list[str | Path] = [sys.executable, "-m", "SCons", "-s", "-C", toolchain.ROOT, f"board={b['name']}"]
    toolchain.run(command, where=f"board {b['name']}")
    return toolchain.firmware_path(b)


def section_bytes(elf: Path) -> Mapping[str, int]:
    """Bytes of each section of a program."""
    size = str(RV32.board["compiler"]).removesuffix("gcc") + "size"
    lines = toolchain.run([size, "-A", elf], where=str(elf)).splitlines()
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 3 and words[0].startswith(".")}


def firmware_text_bytes(elf: Path) -> int:
    """Bytes of flash that the firmware takes: .text, .rodata and what .data starts as."""
    sections = section_bytes(elf)
    return sum(sections.get(name, 0) for name in STORED)


def firmware_ram_bytes(elf: Path) -> int:
    """Bytes of RAM that the firmware takes without the network: .data, .bss and the reserved stack."""
    sections = section_bytes(elf)
    return sum(sections.get(name, 0) for name in (".data", ".bss", ".stack"))
