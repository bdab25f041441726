"""tests/c/*.c + the segment codec alone -> programs, by flags: each path of the codec, with or without sanitizers."""

from __future__ import annotations

import atexit
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import c_programs
import numpy as np
from engines import lack

from espike import toolchain
from espike_sim.core import ffi, lib
from espike_sim.errors import EspikeError
from espike_sim.segment import Segment

VECTOR = "-DSPK_VECTOR"
"""What hosts compile; without it, what chips do."""
PATHS = {"chip": (), "host": (VECTOR,)}
SANITIZED = (f"-fsanitize={c_programs.SANITIZERS}", "-fno-sanitize-recover=all", "-g", "-O1")
MOST_VALUES = 1 << 14
"""Of tests/c/segment_fuzz.c: so many are decoded of a segment."""
PARTS = ("segment", "coder", "bitpack", "half", "link", "error")


def _compile(compiler: str, *arguments: str | Path, folder: Path | None = None) -> None:
    if shutil.which(compiler) is None:
        lack(f"{compiler} not found")
    command = [compiler, *toolchain.CORE_FLAGS, f"-I{toolchain.CORE / 'include'}", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if "cannot find" in done.stderr and "san" in done.stderr:
        lack(f"{compiler}: its sanitizer libraries are not installed")
    assert done.returncode == 0, done.stderr


@cache
def _core(compiler: str, flags: tuple[str, ...]) -> tuple[Path, ...]:
    """Objects of the C files that segments need, for this process."""
    folder = Path(tempfile.mkdtemp(prefix="espike-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    parts = [path for path in toolchain.core_sources() if path.stem.startswith(PARTS)]
    _compile(compiler, *flags, "-c", *parts, folder=folder)
    return tuple(folder / f"{path.stem}.o" for path in parts)


def build(source: str, output: Path, *flags: str, compiler: str = "cc", link: Sequence[str] = ()) -> Path:
    """A program of tests/c; skips where the compiler or its sanitizers are not installed."""
    objects = _core(compiler, flags)
    _compile(compiler, *flags, c_programs.FOLDER / source, *objects, *link, "-o", output)
    return output


def fuzzer(source: str, output: Path) -> Path:
    """A program of tests/c as a libFuzzer target, the host's path; skips where there is no clang."""
    flags = ["-DFUZZER", VECTOR, *SANITIZED, f"-fsanitize=fuzzer,{c_programs.SANITIZERS}"]
    return build(source, output, *flags, compiler="clang")


def run_riscv(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a freestanding program for rv32imc and run it; skips where compiler or emulator are missing."""
    if shutil.which("qemu-riscv32") is None:
        lack("qemu-riscv32 not found")
    libc = toolchain.FIRMWARE / "libc"
    flags = [*toolchain.BARE_FLAGS, f"-I{libc}", "-O2", "-march=rv32imc", "-mabi=ilp32"]
    link = ["-nostdlib", str(libc / "string.c"), "-lgcc"]
    program = build(source, folder / "rv32", *flags, compiler="riscv64-unknown-elf-gcc", link=link)
    return subprocess.run(["qemu-riscv32", program], capture_output=True, text=True, check=False, timeout=120)


def reader(path: str, folder: Path) -> Path:
    """tests/c/segment_fuzz.c on one of `PATHS`, under sanitizers."""
    return build("segment_fuzz.c", folder / f"reader-{path}", *PATHS[path], *SANITIZED)


def verdicts(cases: Sequence[bytes], path: str, folder: Path) -> list[str]:
    """What tests/c/segment_fuzz.c says of each segment."""
    stream = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    return c_programs.feed(reader(path, folder), stream).splitlines()


def verdict_of_host(data: bytes) -> str:
    """The same by this process's core."""
    view, at = ffi.new("spk_segment_t *"), ffi.new("uint32_t *")
    error = lib.spk_segment_open(view, ffi.from_buffer(data), len(data), at)
    if error:
        return f"{error} {at[0]}"
    segment, crc = Segment(data), 0
    frames = min(segment.frames, MOST_VALUES // segment.tensor_len + 1)
    for frame in range(frames):
        try:
            crc = zlib.crc32(_values(segment, frame), crc)
        except EspikeError:
            return f"{frames} {frame} {crc:08x}"
    return f"{frames} -1 {crc:08x}"


def _values(segment: Segment, frame: int) -> bytes:
    if segment.kind != "sets":
        return segment.decode(frame, frame + 1).tobytes()
    words = np.zeros((segment.tensor_len + 31) // 32 * 32, np.uint8)
    words[segment.sets(frame, frame + 1)[0]] = 1
    return np.packbits(words, bitorder="little").tobytes()


def replay(program: Path, inputs: Sequence[Path]) -> None:
    """Run a program on files. A sanitizer's finding fails the test with its report."""
    done = subprocess.run([program, *inputs], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[:3000].decode(errors="replace")
