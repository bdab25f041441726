"""One program over every build of the segment codec: NEON, AVX2, SSE2, no vectors at all; the same bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from engines import lack
from segment_cases import Answer, cases, host, read, write

from espike import toolchain

SOURCE = Path(__file__).parent / "c" / "segment_paths.c"
ARM = "aarch64-linux-gnu-gcc"
VECTOR = ["-O3", "-DSPK_VECTOR", "-fno-trapping-math"]
"""GCC turns no loop with a float -> int conversion into vectors as long as an unseen exception flag might matter."""
FLAGS = [*toolchain.CORE_FLAGS, f"-I{toolchain.CORE / 'include'}"]


@pytest.fixture(scope="module")
def wanted() -> list[Answer]:
    return [host(case) for case in cases()]


def build(compiler: str, output: Path, *flags: str) -> Path:
    """The program by a compiler."""
    if shutil.which(compiler) is None:
        lack(f"{compiler} not found")
    command = [compiler, *FLAGS, *flags, SOURCE, *toolchain.core_sources(), "-o", output]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if "stdio.h: No such file" in done.stderr or "cannot find -lc" in done.stderr:
        lack(f"{compiler}: its C library is not installed")
    assert done.returncode == 0, done.stderr
    return output


def check(command: list[str | Path], wanted: list[Answer], folder: Path) -> None:
    """Running the program yields what the host does."""
    streams = cases()
    output = folder / "answers"
    subprocess.run([*command, write(streams, folder / "cases"), output], check=True)
    answers = read(output)
    assert len(answers) == len(wanted)
    for case, found, expected in zip(streams, answers, wanted, strict=True):
        assert found == expected, (case.policy, case.frames.shape)


@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize(
    "flags",
    [VECTOR, [*VECTOR, "-DSPK_NO_CLONES"], ["-O2"], ["-O0"]],
    ids=["best", "baseline", "plain", "unoptimized"],
)
def test_every_path_on_this_machine_yields_the_same(
    compiler: str, flags: list[str], wanted: list[Answer], tmp_path: Path
) -> None:
    check([build(compiler, tmp_path / "paths", *flags)], wanted, tmp_path)


def test_neon_yields_the_same(wanted: list[Answer], tmp_path: Path) -> None:
    if shutil.which("qemu-aarch64") is None:
        lack("qemu-aarch64 not found")
    program = build(ARM, tmp_path / "paths", *VECTOR, "-static")
    check(["qemu-aarch64", program], wanted, tmp_path)


@pytest.mark.parametrize(
    ("name", "instructions"),
    [("segment_quantize", ["fmul", "fcvtzs"]), ("segment_read", ["fmul", "scvtf"])],
)
def test_neon_is_really_used(name: str, instructions: list[str], tmp_path: Path) -> None:
    if shutil.which(ARM) is None:
        lack(f"{ARM} not found")
    made = tmp_path / f"{name}.o"
    command = [ARM, *FLAGS, *VECTOR, "-c", toolchain.CORE / "src" / f"{name}.c", "-o", made]
    subprocess.run(list(map(str, command)), check=True)
    listing = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", made], capture_output=True, text=True, check=True
    ).stdout
    for instruction in instructions:
        assert any(instruction in line and ".4s" in line for line in listing.splitlines()), instruction
