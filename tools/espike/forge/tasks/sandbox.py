"""calls -> replies: a device's program in a process of its own, ended where it runs away."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from . import device

WALL_SECONDS = 1.5
"""A device has so long to reply to a line of calls."""
REPLY_MOST = 1 << 20
"""Bytes."""
SCRIPT = Path(device.__file__)


class Process:
    """A device of a program, behind pipes. Raises: EspikeError where the process cannot be started."""

    def __init__(self, program: Path, name: str, seed: int, wall_seconds: float = WALL_SECONDS) -> None:
        self.where, self.wall_seconds = f"device {name}", wall_seconds
        command = [sys.executable, "-I", str(SCRIPT), str(program.resolve()), name, str(seed)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env={}, cwd="/", start_new_session=True
            )
        except OSError as error:
            raise EspikeError(f"cannot be started: {error.strerror}", where=self.where) from None

    def calls(self, calls: Sequence[device.Call]) -> list[device.Reply]:
        """A reply to each call. Raises: EspikeError where the device ended, or was ended as it gave none in time."""
        line = self._exchanged(json.dumps(list(calls)).encode() + b"\n")
        try:
            replies = json.loads(line)
        except (ValueError, RecursionError):
            replies = None
        if not _are_replies(replies, len(calls)):
            self.close()
            raise EspikeError("replied with what is no reply", where=self.where)
        return list(replies)

    def _exchanged(self, line: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            out = self._process.stdout.fileno()
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # it ended, or was ended before
            raise self._ended() from None
        until, got = time.monotonic() + self.wall_seconds, b""
        while not got.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or len(got) > REPLY_MOST or not select.select([out], [], [], left)[0]:
                self.close()
                raise EspikeError(f"gave no reply in {self.wall_seconds:g} s and was ended", where=self.where)
            some = os.read(out, 1 << 16)
            if not some:
                raise self._ended()
            got += some
        return got

    def _ended(self) -> EspikeError:
        self.close()
        return EspikeError(f"ended by itself or by its limits (exit {self._process.returncode})", where=self.where)

    def close(self) -> None:
        """End the process, at once, and what it started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()

    @property
    def running(self) -> bool:
        """Is it there?"""
        return self._process.poll() is None


def _are_replies(replies: Any, count: int) -> bool:
    kinds = ("ok", "failed", "violation")
    return (
        isinstance(replies, list)
        and len(replies) == count
        and all(isinstance(r, list) and len(r) == 2 and r[0] in kinds for r in replies)
    )
