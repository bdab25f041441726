"""PlatformIO without a network: firmware, tests on the board, upload, exports. What needs the registry is only read."""

from __future__ import annotations

import configparser
import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import engines
import pytest
from command import run

import espike
from espike import boards, emulators, genome, toolchain

ROOT = toolchain.ROOT
PROJECT = ROOT / "firmware"
MADE = ROOT / "build" / "pio" / "build"
QUIET = {
    "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
    "PLATFORMIO_NO_ANSI": "true",
    "PLATFORMIO_DISABLE_PROGRESSBAR": "true",
}
ENVIRONMENTS = ["emu-rv32", "emu-lx106", "esp32c3", "esp32"]
EMULATED = ENVIRONMENTS[:2]


def ini() -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read(PROJECT / "platformio.ini")
    return found


@cache
def alone() -> list[str]:
    """What runs a command without any network; skips where that is not permitted."""
    for flags in ("-n", "-rn"):
        line = ["unshare", flags, "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
        if (
            shutil.which("unshare")
            and subprocess.run([*line, "true"], check=False, capture_output=True).returncode == 0
        ):
            return line
    pytest.skip("unshare -n is not permitted here")


def apart(line: list[str], cwd: Path) -> str:
    """Run a command where there is no network at all -> its output."""
    if find_spec("platformio") is None:
        engines.lack("platformio not found")
    toolchain.BUILD.mkdir(exist_ok=True)
    with (toolchain.BUILD / "pio.lock").open("w") as lock:  # of several workers one builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [*alone(), *line], cwd=cwd, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pio(*arguments: str | Path) -> str:
    """Run PlatformIO without a network -> its output."""
    return apart([sys.executable, "-m", "platformio", *map(str, arguments)], ROOT)


def commands(block: str, cwd: Path) -> Iterator[tuple[str, str]]:
    """Run a document's commands, one by one -> each and its output."""
    programs = {
        "pio": [sys.executable, "-m", "platformio"],
        "espike": [sys.executable, "-m", "espike"],
        "make": ["make"],
    }
    for line in block.strip().splitlines():
        program, *arguments = shlex.split(line, comments=True)
        yield line, apart([*programs[program], *arguments], cwd)


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """A file that others use, as it was, at the end."""
    copy = path.with_suffix(".kept")
    shutil.copy2(path, copy)
    try:
        yield
    finally:
        copy.replace(path)


def compiler_of(name: str) -> None:
    lacking = toolchain.missing_compiler(boards.boards()[name].data)
    if lacking:
        engines.lack(f"board {name}: {', '.join(lacking)} not found")
    if "chip" in boards.boards()[name].data and find_spec("esptool") is None:
        engines.lack("esptool not found")


def document() -> list[str]:
    """The blocks of commands in docs/platformio.md: the firmware, C, a project."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "platformio.md").read_text(), re.DOTALL)


def test_the_document_builds_uploads_and_tests_firmware() -> None:
    for name in ENVIRONMENTS:
        compiler_of(name)
    engines.board_file("emu-rv32")
    with engines.board_apart("emu-rv32") as board, kept(toolchain.firmware_path(board.data)):
        run_block = commands(document()[0], ROOT)
        every, one, upload = (next(run_block)[1] for _ in range(3))
        assert all(re.search(rf"^{name} +SUCCESS", every, re.MULTILINE) for name in ENVIRONMENTS)
        assert "SUCCESS" in one
        assert "start it with espike boards emu-rv32" in upload
        assert boards.firmware(board).read_bytes() == (MADE / "emu-rv32" / "firmware.elf").read_bytes()
        with closing(boards.start(board)) as running:
            assert running.link.hello().board == "emu-rv32"
        [(_, core)] = run_block
    assert "4 test cases: 4 succeeded" in core
    for name in ENVIRONMENTS:
        assert (MADE / name / "firmware.bin").exists() == ("chip" in boards.boards()[name].data)


def test_the_document_exports_what_ends_in_the_host_s_hash(tmp_path: Path) -> None:
    engines.board_file("emu-rv32")
    promised = ""
    _, for_c, project = document()
    for line, told in commands(for_c + project, tmp_path):
        if line.startswith("espike export"):
            promised = told.split()[-1]
        elif not line.startswith("espike"):
            assert f"hash {promised}, as on the host" in told


def test_core_passes_on_xtensa() -> None:
    engines.board_file("emu-lx106")
    assert "4 test cases: 4 succeeded" in pio("test", "-d", PROJECT, "-e", "emu-lx106")


def test_the_monitor_opens_a_board_s_port() -> None:
    if find_spec("platformio") is None:
        engines.lack("platformio not found")
    with engines.board_apart("emu-rv32") as board, boards.serve(board) as (port, _):
        terminal, inner = pty.openpty()
        line = [sys.executable, "-m", "platformio", "device", "monitor", "-d", PROJECT, "-e", "emu-rv32", "-p", port]
        with subprocess.Popen(line, stdin=inner, stdout=inner, stderr=inner, env={**os.environ, **QUIET}) as monitor:
            shown = b""
            while b"Quit: Ctrl+C" not in shown and select.select([terminal], [], [], 30)[0]:
                shown += os.read(terminal, 1000)
            monitor.terminate()
        os.close(terminal)
        os.close(inner)
    assert f"Terminal on {port}".encode() in shown


def test_configuration_is_read_without_a_network() -> None:
    told = pio("project", "config", "-d", PROJECT)
    assert all(f"env:{name}" in told for name in (*ENVIRONMENTS, "esp32s3-espidf", "esp32c6-espidf", "esp32-arduino"))


def test_environments_agree_with_the_board_files() -> None:
    found = ini()
    known = boards.boards()
    assert found["platformio"]["default_envs"].split(", ") == ENVIRONMENTS
    for section in found.sections():
        if section.startswith("env:") and found[section]["extends"] in ("bare", "emulated"):
            board = known[found[section]["board"]]
            assert section == f"env:{board.name}"
            assert ("chip" in board.data) == (found[section]["extends"] == "bare")
    sdk = {found[s]["board"] for s in found.sections() if found[s].get("extends") in ("espidf", "arduino")} - {None}
    assert {board.data["sdk_board"] for board in known.values() if "sdk_board" in board.data} <= sdk
    for name in EMULATED:
        command = found[f"env:{name}"]["test_testing_command"].split()
        machine = emulators.MACHINES[known[name].data["kind"]].arguments
        assert command[0] == known[name].data["emulator"]
        assert command[1:3] == list(machine[:2])


def test_versions_agree() -> None:
    """Ours everywhere; PlatformIO's and SCons' as the extra pins them."""
    ours = espike.__version__
    manifest = re.search(r'^version: "(.*)"$', (toolchain.CORE / "idf_component.yml").read_text(), re.MULTILINE)
    assert manifest is not None
    assert manifest[1] == ours
    assert json.loads((toolchain.CORE / "library.json").read_text())["version"] == ours
    assert json.loads((ROOT / "boards" / "platform-espike" / "platform.json").read_text())["version"] == ours
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{ours}"' in project
    if find_spec("platformio") is None:
        engines.lack("platformio not found")
    assert f'firmware = ["platformio=={version("platformio")}", "scons=={version("scons")}"]' in project


def test_boards_without_firmware_are_exported_for_their_sdk(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(genome.new("reservoir")))
    assert run("export", "platformio", "net.json", "out", "-b", "c6-devkit", cwd=tmp_path).code == 0
    found = configparser.ConfigParser()
    found.read(tmp_path / "out" / "platformio.ini")
    assert found["env:c6-devkit"]["platform"] == "espressif32"
    assert found["env:c6-devkit"]["board"] == boards.boards()["esp32c6"].data["sdk_board"]
    assert "app_main" in (tmp_path / "out" / "src" / "main.c").read_text()
