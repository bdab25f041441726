"""board name or port -> running board: starting and finding boards."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from espike_sim.errors import EspikeError

from . import emulators, toolchain
from .board_files import Board as Board
from .board_files import boards as boards
from .board_files import folder as folder
from .link import Link
from .transport import SerialTransport, SocketTransport, Transport, open_transport


def home() -> Path:
    """Where boards by name keep their flash: $ESPIKE_HOME, else the user's state folder."""
    chosen = os.environ.get("ESPIKE_HOME")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "espike"


@contextmanager
def own_home() -> Iterator[None]:
    """For a while, boards whose flash nobody else needs, and which nobody else runs."""
    before = os.environ.get("ESPIKE_HOME")
    with tempfile.TemporaryDirectory(prefix="espike-") as folder:
        os.environ["ESPIKE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["ESPIKE_HOME"]
            else:
                os.environ["ESPIKE_HOME"] = before


def firmware(board: Board) -> Path:
    """The board's firmware, built by SCons where a source is newer -> its path.

    Raises: EspikeError where a tool is missing or the build fails.
    """
    if board.plan_only:
        toolchain.require(board.data)
    path = toolchain.firmware_path(board.data)
    sources = [toolchain.ROOT / "SConstruct", folder() / f"{board.name}.json", Path(toolchain.__file__)]
    for source in (toolchain.CORE, toolchain.FIRMWARE):
        sources += [p for p in source.rglob("*") if p.suffix in (".c", ".h", ".inc", ".S", ".ld")]
    if not path.exists() or max(p.stat().st_mtime for p in sources) > path.stat().st_mtime:
        toolchain.require_compiler(board.data)
        where = f"board {board.name}"
        toolchain.run([sys.executable, "-m", "SCons", "-Q", f"board={board.name}"], where=where)
        path.touch()
    return path


class Running:
    """A board that answers: its link, and the process and lock behind it where espike started it."""

    def __init__(self, name: str, link: Link, process: subprocess.Popen[bytes] | None, lock: IO[bytes] | None) -> None:
        self.name = name
        self.link = link
        self._process = process
        self._lock = lock

    def close(self) -> None:
        """Close the link; end the process that espike started."""
        self.link.close()
        if self._process is not None:
            _end(self._process)
        if self._lock is not None:
            self._lock.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def connect(target: str) -> Running:
    """A board by name (which starts it) or by port (which talks to it).

    Raises: EspikeError where there is no such board or port, it is busy, or it does not answer.
    """
    known = boards()
    if target in known:
        return start(known[target])
    if "/" not in target and "://" not in target and not target.upper().startswith("COM"):
        raise EspikeError(f"no board is called {target}", do="boards are " + ", ".join(known) + ", or give a port")
    return Running(target, Link(open_transport(target)), None, None)


def _locked_place(board: Board) -> tuple[Path, IO[bytes]]:
    """The board's folder in `home()`, locked for this process."""
    place = home() / "boards" / board.name
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("a+b", buffering=0)  # closing it must not write
    except OSError as error:
        raise _not_kept(error, place) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().decode("ascii", "replace").strip()
        lock.close()
        raise EspikeError(
            "the board is running already", where=f"board {board.name}", do=f"end process {owner or 'that uses it'}"
        ) from None
    return place, lock


def start(board: Board) -> Running:
    """Start a board of this machine: its firmware as a process or in its emulator, its flash in `home()`.

    Raises: EspikeError where a tool is missing, it is running already, or it does not start.
    """
    program = firmware(board)
    place, lock = _locked_place(board)
    try:
        if board.data["kind"] == "native":
            process, pty = _launch_native(board, program, place / "flash.bin", lock)
            transport: Transport = _or_end(process, lambda: SerialTransport(pty, f"board {board.name}"))
        else:
            process, transport = _launch_emulator(board, program, place / "flash.bin", lock)
        running = Running(board.name, Link(transport), process, lock)
    except BaseException:
        lock.close()
        raise
    try:
        if emulators.boots(board):
            running.link.hello()
    except BaseException:
        running.close()
        raise
    return running


@contextmanager
def serve(board: Board) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a board for other programs -> the port they open, and its process; ended at the end."""
    program = firmware(board)
    place, lock = _locked_place(board)
    with lock:
        if board.data["kind"] == "native":
            process, port = _launch_native(board, program, place / "flash.bin", lock)
        else:
            with socket.create_server(("127.0.0.1", 0)) as free:
                number = free.getsockname()[1]
            port = f"socket://127.0.0.1:{number}"
            process = _emulate(board, program, place / "flash.bin", f"{number},server=on,wait=off", lock)
        try:
            yield port, process
        finally:
            _end(process)


def _or_end(process: subprocess.Popen[bytes], make: Callable[[], Transport]) -> Transport:
    try:
        return make()
    except BaseException:
        _end(process)
        raise


def _not_kept(error: OSError, place: Path) -> EspikeError:
    return EspikeError(
        f"cannot keep the board's flash ({error.strerror})",
        where=str(place),
        do="make room, or set ESPIKE_HOME elsewhere",
    )


def _own(lock: IO[bytes], process: subprocess.Popen[bytes]) -> None:
    """The lock names the board's process, which holds it too: as long as that lives, the flash is in use."""
    try:
        lock.truncate(0)
        lock.write(f"{process.pid}\n".encode())
    except OSError as error:
        _end(process)
        raise _not_kept(error, Path(lock.name).parent) from None


def _launch_native(board: Board, program: Path, flash: Path, lock: IO[bytes]) -> tuple[subprocess.Popen[bytes], str]:
    """The board's process, and its pty."""
    process = subprocess.Popen(
        [program, flash], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, pass_fds=(lock.fileno(),),
    )  # fmt: skip
    _own(lock, process)
    assert process.stdout is not None
    assert process.stderr is not None
    select.select([process.stdout], [], [], 10)
    pty = process.stdout.readline().decode().strip()
    if not pty:
        text = process.stderr.read().decode().strip()
        _end(process)
        raise EspikeError(f"the board did not start: {text or 'no output'}", where=f"board {board.name}")
    return process, pty


def _emulate(board: Board, program: Path, flash: Path, tcp: str, lock: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        command = emulators.prepared(board, program, flash, tcp)
    except OSError as error:
        raise _not_kept(error, flash.parent) from None
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        pass_fds=(lock.fileno(),),
    )  # fmt: skip
    _own(lock, process)
    return process


def _launch_emulator(
    board: Board, program: Path, flash: Path, lock: IO[bytes]
) -> tuple[subprocess.Popen[bytes], Transport]:
    """The emulator's process, and the connection that its serial port has made to us."""
    where = f"board {board.name}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = _emulate(board, program, flash, str(server.getsockname()[1]), lock)

        def accept() -> Transport:
            for _ in range(100):
                if select.select([server], [], [], 0.2)[0]:
                    return SocketTransport(server.accept()[0], where)
                if process.poll() is not None:
                    assert process.stderr is not None
                    text = process.stderr.read().decode().strip().splitlines() or ["no output"]
                    raise EspikeError(f"the emulator ended: {text[-1]}", where=where)
            raise EspikeError("the emulator does not connect", where=where)

        return process, _or_end(process, accept)


@contextmanager
def running(target: str) -> Iterator[Running]:
    """`connect`, and close at the end."""
    board = connect(target)
    try:
        yield board
    finally:
        board.close()
