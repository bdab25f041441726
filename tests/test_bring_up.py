"""firmware -> an empty chip, through the boot loader in its ROM, by esptool; and every way in which that fails."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import engines
import pytest
from command import run

from espike import boards, chips

CHIPS = ("esp32", "esp32c3")
UART_BOOT = {"esp32": ("esp32.gpio", 0x0F), "esp32c3": ("esp32c3.gpio", 0x02)}
"""The chip's straps for its boot loader to take firmware over the wire."""


def emulator(name: str) -> str:
    variable = f"ESPIKE_QEMU_{name.upper()}"
    if not os.environ.get(variable):
        pytest.skip(f"for want of the chip's emulator: set {variable}")
    return os.environ[variable]


@contextmanager
def chip(name: str, flash: Path, *, loads: bool) -> Iterator[str]:
    """A bare chip in its emulator, `loads`: waiting for firmware -> its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    device, straps = UART_BOOT[name]
    with subprocess.Popen(
        [
            emulator(name), "-M", name, "-display", "none", "-monitor", "none",
            "-drive", f"file={flash},if=mtd,format=raw",
            *(["-global", f"driver={device},property=strap_mode,value={straps}"] if loads else []),
            "-serial", f"tcp:127.0.0.1:{number},server=on,wait=off,nodelay=on",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            for _ in range(100):
                time.sleep(0.1)
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", number)) == 0:
                        break
            time.sleep(0.3)
            yield f"socket://127.0.0.1:{number}"
        finally:
            process.kill()


@pytest.mark.parametrize("name", CHIPS)
def test_an_empty_chip_gets_firmware_and_then_a_network(name: str, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * (4 << 20))
    assert run("genome", "new", "reservoir", "-o", "net.json", cwd=tmp_path).code == 0
    line = ("flash", "--board", name, "net.json", "--precision", "int8", "--port")
    with chip(name, flash, loads=True) as port:
        done = run(*line, port, cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 2), done.err
        assert "the firmware is written, and the board does not answer yet; reset the board" in done.errors[1]
        other = next(chip for chip in CHIPS if chip != name)
        wrong = run("flash", "--board", other, "--firmware", "--port", port, cwd=tmp_path)
        assert wrong.code == 1
        assert "the firmware did not get there" in wrong.errors[-1]
        assert "name the board that it is" in wrong.errors[-1]
    board = boards.boards()[name]
    offset = board.data["flash_map"]["firmware"]
    image = chips.chip_image(board.data, boards.firmware(board)).read_bytes()
    assert flash.read_bytes()[offset : offset + len(image)] == image
    with chip(name, flash, loads=False) as port:
        flashed = run(*line, port, "--json", cwd=tmp_path)
        assert flashed.code == 0, flashed.err
        told = run("run", "-b", port, "-n", "50", "-s", "poisson:input:rate=0.2:amount=1", "--json", cwd=tmp_path)
        host = run(
            "run", "net.json", "--precision", "int8", "-n", "50", "-s", "poisson:input:rate=0.2:amount=1", "--json",
            cwd=tmp_path,
        )  # fmt: skip
        assert told.json["hash"] == host.json["hash"]
        mistaken = run("flash", "--board", "native", "--port", port, cwd=tmp_path)
        assert (mistaken.code, len(mistaken.errors)) == (1, 1)
        assert f"the board runs the firmware of {name}, not of native" in mistaken.errors[0]


def silent_pty() -> tuple[int, int]:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    return ours, theirs


@pytest.mark.skipif(not chips.available(), reason="esptool is not installed")
def test_a_boot_loader_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    engines.needs_compiler("esp32c3")
    ours, theirs = silent_pty()
    try:
        done = run("flash", "--board", "esp32c3", "--port", os.ttyname(theirs), cwd=tmp_path)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.code == 1
    assert "the firmware did not get there" in done.errors[-1]
    assert "hold BOOT while you press RESET" in done.errors[-1]
    assert "Traceback" not in done.err


def test_ports_and_boards_that_are_not_are_one_line(tmp_path: Path) -> None:
    for line, text in (
        (("--board", "esp32c3", "--port", str(tmp_path / "nothing")), "no such port"),
        (("--board", "nonesuch", "--port", "/dev/null"), "no board is called nonesuch"),
    ):
        done = run("flash", *line, cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 1), done.err
        assert text in done.errors[0]
    assert run("flash", "--board", "native", cwd=tmp_path).code == 2
    assert run("flash", "--board", "native", "--firmware", "net.json", cwd=tmp_path).code == 2


def test_a_board_without_a_boot_loader_is_told(tmp_path: Path) -> None:
    ours, theirs = silent_pty()
    try:
        done = run("flash", "--board", "native", "--port", os.ttyname(theirs), cwd=tmp_path)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.code == 1
    assert "has no chip whose firmware esptool writes" in done.errors[-1]
