"""board name + port -> a board that answers: its firmware goes there first where none does, by esptool."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from espike_sim.errors import EspikeError

from . import chips
from .board_files import Board
from .boards import Running, connect, firmware
from .transport import LinkError

BAUD = 460800
_BOOT_S = 12.0


def bring_up(board: Board, port: str, *, again: bool = False, tell: Callable[[str], None] = lambda _: None) -> Running:
    """Connect to a board of this kind on `port`; where nothing there speaks espike, put the firmware on it first.

    again: put the firmware there in any case. Raises: EspikeError where the board is another one, no chip that esptool
    knows, or does not take the firmware; LinkError where it does not answer afterwards.
    """
    found = None if again else _answering(port)
    if found is None:
        tell(f"{port}: writing the firmware of {board.name}")
        write_firmware(board, port)
        found = _answering(port, _BOOT_S)
        if found is None:
            do = "reset the board (its button, or unplug it), and try again"
            raise LinkError("the firmware is written, and the board does not answer yet", where=port, do=do)
    name = found.link.hello().board
    if name != board.name:
        found.close()
        do = f"say --board {name}, or replace it: --firmware"
        raise EspikeError(f"the board runs the firmware of {name}, not of {board.name}", where=port, do=do)
    return found


def _answering(port: str, patience_s: float = 0) -> Running | None:
    """The board on a port if it speaks espike, asked for `patience_s`. Raises: EspikeError: no such port."""
    end = time.monotonic() + patience_s
    while True:
        running = connect(port)
        try:
            running.link.hello(timeout=0.7)
            return running
        except LinkError as error:
            running.close()
            if "link version" in error.what:
                return None  # older firmware: replace it
            if "went away" in error.what and patience_s == 0:
                raise
        if time.monotonic() > end:
            return None
        time.sleep(0.3)


def write_firmware(board: Board, port: str) -> None:
    """Write a board's firmware with esptool. Raises: EspikeError with what esptool says, and what to do."""
    if "flash_map" not in board.data:
        raise EspikeError(
            "has no chip whose firmware esptool writes", where=f"board {board.name}", do="see docs/boards.md"
        )
    image = chips.chip_image(board.data, firmware(board))
    before, after = ("no-reset", "no-reset") if "://" in port else ("default-reset", "hard-reset")
    command = [
        sys.executable, "-m", "esptool", "--chip", board.data["chip"], "--port", port, "--baud", str(BAUD),
        "--before", before, "--after", after, "write-flash", hex(board.data["flash_map"]["firmware"]), str(image),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _told(done.stdout + done.stderr, board, port)


def _told(output: str, board: Board, port: str) -> EspikeError:
    """esptool's failure as one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    fatal = next((line for line in lines if "fatal error" in line.lower() or "error:" in line.lower()), "")
    with suppress(StopIteration, IndexError):
        fatal = fatal or lines[-1]
    reason = fatal.split("fatal error occurred:")[-1].strip() or "esptool failed"
    do = "hold BOOT while you press RESET, and try again"
    if "chip" in reason.lower() and ("this is" in reason.lower() or "wrong" in reason.lower()):
        do = "name the board that it is: espike boards"
    elif "could not open" in reason.lower() or "busy" in reason.lower():
        do = "plug it in, and close other programs that use the port"
    return EspikeError(f"the firmware did not get there: {reason}", where=f"{port} (board {board.name})", do=do)
