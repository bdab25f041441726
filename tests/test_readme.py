"""README's commands, run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from espike.genome import develop, from_json, new
from espike.image import pack
from espike.quantize import quantize
from espike.toolchain import CORE, CORE_FLAGS, core_sources

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_commands_run_in_order(tmp_path: Path) -> None:
    environment = {**os.environ, "ESPIKE_HOME": str(tmp_path / "home")}
    commands = "".join(blocks("sh")).replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in commands.splitlines()]
    assert len(lines) == 35
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    outputs = {}
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "espike"
        done = subprocess.run(
            [sys.executable, "-m", "espike", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
        outputs[arguments[0]] = done.stdout
    promised = re.search(r"^    (equal: .*)$", README, re.MULTILINE)
    assert promised is not None
    assert outputs["verify"].strip() == promised[1]
    assert (tmp_path / "net.png").stat().st_size > 1000
    assert (tmp_path / "raster.png").stat().st_size > 1000
    assert (tmp_path / "recorded.png").stat().st_size > 1000
    assert outputs["replay"].startswith("equal: 500 of 500 bursts")


@pytest.mark.parametrize(("number", "least"), [(0, 5), (1, 100)])
def test_python_examples_run(number: int, least: int) -> None:
    example = blocks("python")[number]
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) > least


def test_c_example_runs(tmp_path: Path) -> None:
    (tmp_path / "example.c").write_text(blocks("c")[0])
    made = from_json(new("reservoir"))
    (tmp_path / "net.spk").write_bytes(pack(quantize(develop(made), "int8")).data)
    command = ["cc", *CORE_FLAGS, f"-I{CORE / 'include'}", "example.c", *map(str, core_sources()), "-o", "example"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./example"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.removeprefix("ok: ").split()[0]) > 100


@pytest.mark.parametrize("target", ["setup", "demo", "test", "toolchain", "bench", "soak", "lint", "help"])
def test_make_help_lists_the_targets(target: str) -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"make {target} " in done.stdout


def test_the_first_board_s_commands_run_up_to_the_cable(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "first-board.md").read_text()
    lines = "".join(re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)).splitlines()
    assert len(lines) == 3
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "espike"
        done = subprocess.run(
            [sys.executable, "-m", "espike", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
