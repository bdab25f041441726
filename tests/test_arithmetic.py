"""our own helpers for what a processor lacks -> the results of a processor that has it, to the bit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import engines
import pytest

from espike import toolchain
from espike.bench.instructions import LX106, RV32, Target

SOURCE = Path(__file__).parent / "c" / "arithmetic.c"
OPERATORS = Path(__file__).parent / "c" / "operators.c"
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


@pytest.mark.parametrize("target", [RV32, LX106], ids=lambda target: target.name)
def test_every_operator_on_an_emulated_board(target: Target, tmp_path: Path) -> None:
    """Helpers of the compiler's own library too, where ours does not replace them."""
    if not target.available:
        engines.lack(f"{target.name}: {', '.join(toolchain.missing(target.board))} not found")
    here = tmp_path / "here"
    command = ["cc", "-std=c99", "-O1", "-ffp-contract=off", str(OPERATORS), "-o", here]
    subprocess.run(command, check=True)
    wanted = subprocess.run([here], capture_output=True, text=True, check=True).stdout
    found = target.run(target.compile([OPERATORS], tmp_path / "operators.elf"))
    assert found.split() == wanted.split()
    assert len(set(found.split())) == 11
