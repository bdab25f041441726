"""our own helpers for what a processor lacks -> the results of a processor that has it, to the bit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from espike import toolchain

SOURCE = Path(__file__).parent / "c" / "arithmetic.c"
HELPERS = ("softfloat/floats.h", "xtensa/library.h")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The comparison, with products made of halves and made whole."""
    folder = tmp_path_factory.mktemp("arithmetic")
    text = "".join((toolchain.FIRMWARE / header).read_text() for header in HELPERS)
    names = sorted(set(re.findall(r"\b(__[a-z0-9]+)\(", text)) - {"__attribute__"})
    assert len(names) > 20
    (folder / "own_names.h").write_text("".join(f"#define {name} own{name}\n" for name in names))
    made = {}
    for kind, more in (("halves", []), ("whole", ["-D__riscv_mul"])):
        made[kind] = folder / kind
        command = ["cc", "-std=c99", "-O1", "-g", "-ffp-contract=off", "-fsanitize=undefined"]
        command += ["-fno-sanitize-recover=all", f"-I{folder}", f"-I{toolchain.FIRMWARE}", *more, str(SOURCE)]
        done = subprocess.run([*command, "-lm", "-o", made[kind]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("kind", ["halves", "whole"])
def test_a_million_operands(program: dict[str, Path], kind: str) -> None:
    done = subprocess.run([program[kind], "1000000", "7"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.fullmatch(r"0 of [0-9]{8} differ\n", done.stdout)
