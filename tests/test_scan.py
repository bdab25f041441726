"""Ports: what a scan finds behind them, and that nothing there is fatal."""

from __future__ import annotations

import os
import pty
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import engines
import pytest
from command import run

from espike import boards, ports
from espike_sim.random_networks import random_network


def scanned(port: str, cwd: Path) -> Any:
    """What a scan says of a port; an emulator listens a moment after its start."""
    for _ in range(50):
        [found] = run("boards", "scan", port, "--json", cwd=cwd).json
        if "cannot connect" not in found["trouble"]:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("name", engines.BOARDS)
def test_running_boards_are_found(name: str, tmp_path: Path) -> None:
    with engines.board_apart(name) as board, boards.serve(board) as (port, _):
        found = scanned(port, tmp_path)
        assert (found["port"], found["trouble"], found["hello"]["board"]) == (port, "", name)
        done = run("boards", "scan", port, cwd=tmp_path)
        assert (done.code, name in done.out) == (0, True)


def test_what_a_board_holds_is_said(tmp_path: Path) -> None:
    q = random_network(3, "int8", False)
    with engines.board_apart("native") as board:
        with closing(boards.start(board)) as running:
            engines.put(running, q)
        with boards.serve(board) as (port, _):
            done = run("boards", "scan", port, cwd=tmp_path)
    assert f"holds {q.neurons:,} neurons" in done.out


def test_silent_missing_and_busy_ports_are_said(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        silent = os.ttyname(slave)
        found = run("boards", "scan", silent, "/dev/nowhere", "socket://127.0.0.1:1", "soup", "--json", cwd=tmp_path)
        troubles = [one["trouble"] for one in found.json]
        with boards.running(silent):
            busy = scanned(silent, tmp_path)
    finally:
        os.close(master)
        os.close(slave)
    assert "does not answer" in troubles[0]
    assert "no such port" in troubles[1]
    assert "cannot connect" in troubles[2]
    assert "no such port" in troubles[3]
    assert "busy" in busy["trouble"]


def test_usb_ids_name_the_boards() -> None:
    known = boards.boards().values()
    assert ports.candidates((0x1A86, 0x7523), known) == ("c3-devkit", "esp32-devkit")
    assert "c3-supermini" in ports.candidates((0x303A, 0x1001), known)
    assert ports.candidates((0x1234, 0x5678), known) == ports.candidates(None, known) == ()


def test_scan_without_ports_is_no_error(tmp_path: Path) -> None:
    assert run("boards", "scan", cwd=tmp_path).code == 0
    assert run("boards", "native", "/dev/null", cwd=tmp_path).code == 2
