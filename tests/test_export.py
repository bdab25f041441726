"""network -> source that builds without espike: what it prints is what the host computes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import engines
import pytest
from command import run
from golden_cases import load_case

from espike import boards, export, genome, program, toolchain
from espike.image import pack
from espike.program import Program

STIMULUS = "poisson:input:rate=0.1:amount=1"
COPIES = ("firmware/test/test_core", "examples/arduino/EspikeRun", "examples/esp-idf/main")
"""Where the repository keeps an exported network."""


def golden() -> Program:
    """The network that the repository's own examples run."""
    q, stimulus, expected = load_case(toolchain.ROOT / "tests" / "golden" / "recurrence")
    return program.program(pack(q).data, expected.ledger.bursts, stimulus)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "net.json"
    path.write_text(json.dumps(genome.new("reservoir")))
    return path


def fired_by_burst(out: str) -> list[list[int]]:
    lines = [line.split(":") for line in out.splitlines() if line.startswith("burst ")]
    assert [int(line[0].removeprefix("burst ")) for line in lines] == list(range(1, len(lines) + 1))
    return [list(map(int, line[1].split())) for line in lines]


def made(folder: Path, *, optimized: bool) -> subprocess.CompletedProcess[str]:
    """Run `make run`; without optimization it is made sooner, and ends in the same bits."""
    line = ["make", "-s", "-C", str(folder), "run"]
    if not optimized:
        line.append("CFLAGS=-I. -Ic_core/include")
    return subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("board", "precision"),
    [(None, "int8"), (None, "fp32"), ("emu-rv32", "int8"), ("emu-rv32", "fp32"), ("emu-lx106", "int8")],
)
def test_c_ends_in_the_hash_of_run(net: Path, board: str | None, precision: str, tmp_path: Path) -> None:
    if board is not None and boards.boards()[board].missing:
        engines.lack(f"board {board}: {', '.join(boards.boards()[board].missing)} not found")
    how = ("-n", "40", "-s", STIMULUS, "--precision", precision)
    told = run("export", "c", net, "out", *how, *(["-b", board] if board else []), "--json", cwd=tmp_path).json
    ran = run("run", net, *how, "-o", "ledger.npz", "--json", cwd=tmp_path).json
    assert told["hash"] == "".join(f"{word:08x}" for word in ran["hash"])
    done = made(tmp_path / "out", optimized=board is not None or precision == "int8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"hash {told['hash']}, as on the host"
    assert sum(map(len, fired_by_burst(done.stdout))) == ran["fired"] > 100
    assert all(Path(name).exists() for name in map(tmp_path.joinpath, told["files"]))


def test_an_image_is_exported_as_it_is(net: Path, tmp_path: Path) -> None:
    run("pack", net, "-o", "net.spk", cwd=tmp_path)
    (tmp_path / "alone.spk").write_bytes((tmp_path / "net.spk").read_bytes())
    told = run("export", "c", "alone.spk", "out", "-n", "3", "--json", cwd=tmp_path)
    assert told.code == 0
    text = (tmp_path / "out" / "network.c").read_text()
    assert f"network_image_bytes = {(tmp_path / 'net.spk').stat().st_size};" in text
    assert "network_stimulus_count = 0;" in text


def test_a_wrong_hash_ends_in_failure(tmp_path: Path) -> None:
    right = golden()
    wrong = replace(right, hash=(right.hash[0] ^ 1, right.hash[1]))
    export.write(export.c_files(wrong, None), tmp_path / "out")
    done = made(tmp_path / "out", optimized=False)
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1].endswith("which is not the host's")


def test_arguments_that_cannot_be_met_are_one_line(net: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    for arguments, told in (
        (["c", net, "used"], "used: the folder is not empty; choose another, or add --force"),
        (["c", net, "used/mine.txt"], "cannot write"),
        (["c", net, "out", "-b", "soup"], "no board is called soup"),
        (["c", net, "out", "-b", "s3-devkit"], "only plans"),
        (["c", "nowhere.json", "out"], "nowhere.json"),
        (["c", net, "out", "-s", "soup"], "soup"),
        (["platformio", net, "out", "-b", "native"], "native"),
    ):
        done = run("export", *arguments, cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 1), arguments
        assert told in done.errors[0]
    assert run("export", "c", net, "used", "--force", cwd=tmp_path).code == 0
    assert (tmp_path / "used" / "mine.txt").read_text() == "mine"
    assert run("export", "platformio", net, "out", cwd=tmp_path).code == 2


@pytest.mark.parametrize("folder", COPIES)
def test_the_repository_s_copies_are_what_is_exported(folder: str) -> None:
    """ESPIKE_UPDATE writes them anew."""
    source = golden()
    place = toolchain.ROOT / folder
    wanted = {
        "network.c": program.network_c(source), "network.h": program.network_h(source),
        "program.c": program.template("program.c"), "program.h": program.template("program.h"),
    }  # fmt: skip
    if (place / "main.c").exists():
        wanted["main.c"] = program.template("main_sdk.c")
    if os.environ.get("ESPIKE_UPDATE"):
        for name, text in wanted.items():
            (place / name).write_text(text)
    assert {name: (place / name).read_text() for name in wanted} == wanted


def test_exports_need_nothing_of_the_checkout(net: Path, tmp_path: Path) -> None:
    """No file names the checkout."""
    run("export", "platformio", net, "out", "-b", "emu-rv32", cwd=tmp_path)
    run("export", "c", net, "out2", "-b", "emu-rv32", cwd=tmp_path)
    for path in [*(tmp_path / "out").rglob("*"), *(tmp_path / "out2").rglob("*")]:
        assert path.is_dir() or str(toolchain.ROOT) not in path.read_text()
    shutil.rmtree(tmp_path / "out")
