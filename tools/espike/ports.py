"""serial ports -> what answers on each: USB ids matched against board files, then a short hello."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from serial.tools import list_ports

from .board_files import Board
from .link import BoardRefusedError, Hello, Link
from .transport import LinkError, open_transport

UsbId = tuple[int, int]
"""Vendor, product."""
TIMEOUT = 0.4
"""Seconds for one of the up to three hellos."""


@dataclass(frozen=True)
class Port:
    """A port as the system lists it, or as a person gave it."""

    name: str
    title: str = ""
    usb_id: UsbId | None = None


@dataclass(frozen=True)
class Found:
    """What a scan knows of one port."""

    port: Port
    boards: tuple[str, ...]
    """Board files with its USB id."""
    hello: Hello | None
    trouble: str
    """Why there is no hello."""


def listed() -> list[Port]:
    """The serial ports of this machine that are USB devices, by name."""
    ports = [port for port in list_ports.comports() if port.vid is not None]
    return sorted((Port(p.device, p.product or p.description, (p.vid, p.pid)) for p in ports), key=lambda p: p.name)


def candidates(usb_id: UsbId | None, boards: Iterable[Board]) -> tuple[str, ...]:
    """Names of the boards that a USB id may belong to."""
    return tuple(board.name for board in boards if usb_id in board.data["usb_ids"])


def scan(boards: Iterable[Board], given: Iterable[str] = ()) -> Iterator[Found]:
    """Ask the ports that were given, or else those whose USB id a board file has, what is there.

    Others are listed and left alone: they may be anything. Reset lines are not used.
    """
    known = list(boards)
    ports = [Port(name) for name in given]
    for port in ports or listed():
        names = candidates(port.usb_id, known)
        if ports or names:
            yield Found(port, names, *_ask(port.name))
        else:
            yield Found(port, (), None, "no board file has its USB id; name the port to ask it")


def _ask(name: str) -> tuple[Hello | None, str]:
    try:
        with closing(Link(open_transport(name))) as link:
            return link.hello(timeout=TIMEOUT), ""
    except (LinkError, BoardRefusedError) as error:
        return None, f"{error.what}; {error.do}" if error.do else error.what
