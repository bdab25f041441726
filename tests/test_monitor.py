"""a running board -> what a monitor shows of it, while it is attached to, left, unplugged and plugged in again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import engines
import pytest
from command import run

from espike import boards, selftest
from espike.flasher import flash
from espike_sim.random_networks import random_network


class Monitor:
    """`espike monitor` as a process, its lines as they come."""

    def __init__(self, port: str, *more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "espike", "monitor", "-b", port, "--interval", "0.1", "--json", *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self.notes: list[str] = []
        for stream, take in ((self._process.stdout, self._lines.put), (self._process.stderr, self.notes.append)):
            threading.Thread(target=lambda s=stream, t=take: [t(line.rstrip()) for line in s], daemon=True).start()

    def status(self, timeout: float = 20) -> dict[str, Any]:
        """The next line."""
        found: dict[str, Any] = json.loads(self._lines.get(timeout=timeout))
        return found

    def interrupt(self) -> int:
        """Ctrl-C -> exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(20)
        time.sleep(0.1)
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def soon(check: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.05)
    return False


@contextmanager
def served(name: str, link: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A board behind one name that stays, as a USB port's does."""
    with boards.serve(boards.boards()[name]) as (port, process):
        link.unlink(missing_ok=True)
        os.symlink(port, link)
        try:
            yield process
        finally:
            link.unlink(missing_ok=True)


def test_a_run_is_left_on_attached_to_and_stopped(tmp_path: Path) -> None:
    with engines.board_apart("native"), served("native", tmp_path / "usb") as process:
        port = str(tmp_path / "usb")
        with closing(boards.connect(port)) as target:
            flash(target, selftest.pack(random_network(41, "int8", True, areas=5)).data)
        with closing(Monitor(port)) as first:
            assert first.status()["burst"] > 0
            assert first.interrupt() == 0
            assert any("left running at burst" in line for line in first.notes), first.notes
        assert process.poll() is None
        with closing(boards.connect(port)) as target:
            left = target.link.state()
            assert left.running
        with closing(Monitor(port)) as second:
            seen = [second.status() for _ in range(3)]
            assert [s["burst"] for s in seen] == sorted(s["burst"] for s in seen)
            assert seen[0]["burst"] > left.burst, "it goes on, from no burst 0"
            assert seen[2]["bursts_per_s"] > 0
            assert second.interrupt() == 0
            assert any("running" in line and "started by power" in line for line in second.notes), second.notes
        command = [sys.executable, "-m", "espike", "stop", "-b", port, "--json"]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert told["was_running"]
        assert told["burst"] > seen[2]["burst"]
        assert not json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["was_running"]


def test_an_unplugged_board_is_waited_for(tmp_path: Path) -> None:
    with engines.board_apart("native"):
        link = tmp_path / "usb"
        with served("native", link), closing(boards.connect(str(link))) as target:
            flash(target, selftest.pack(random_network(41, "int8", True, areas=5)).data)
        with served("native", link) as process:
            monitor = Monitor(str(link))
            assert monitor.status()["burst"] > 0
            process.kill()
        with closing(monitor):
            assert soon(lambda: any("waiting for it" in line for line in monitor.notes)), monitor.notes
            with served("native", link):
                while not monitor._lines.empty():
                    monitor._lines.get()
                assert monitor.status()["burst"] > 0
                assert monitor.interrupt() == 0
            assert not any("Traceback" in line for line in monitor.notes)


def test_waiting_for_a_board_can_be_ended(tmp_path: Path) -> None:
    with engines.board_apart("native"):
        link = tmp_path / "usb"
        with served("native", link) as process:
            with closing(boards.connect(str(link))) as target:
                flash(target, selftest.pack(random_network(41, "int8", True, areas=5)).data)
            monitor = Monitor(str(link))
            monitor.status()
            process.kill()
        with closing(monitor):
            assert soon(lambda: any("waiting for it" in line for line in monitor.notes)), monitor.notes
            assert monitor.interrupt() == 0


def test_a_board_that_never_was_is_one_line(tmp_path: Path) -> None:
    done = run("monitor", "-b", str(tmp_path / "nothing"), cwd=tmp_path)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "no such port" in done.errors[0]


@pytest.mark.parametrize("name", engines.BOARDS)
def test_the_stack_that_is_left_is_shown(name: str) -> None:
    running = engines.board(name)
    engines.put(running, random_network(41, "int8", True, areas=5))
    unused = running.link.state().stack_unused
    if name == "native":
        assert unused is None
    else:
        assert unused is not None
        assert 128 <= unused < 4096
