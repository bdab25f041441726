"""a port that a person names -> a byte pipe: serial devices, ptys, TCP sockets."""

from __future__ import annotations

import errno
import select
import socket
from typing import Protocol

import serial

from espike_sim.errors import EspikeError


class LinkError(EspikeError):
    """The wire or the board behind it failed; `where` is the port."""


class Transport(Protocol):
    """A byte pipe."""

    where: str

    def read(self, timeout: float) -> bytes:
        """What has arrived, waiting up to `timeout` seconds for a first byte; empty where nothing came."""

    def write(self, data: bytes) -> None:
        """Send all of data."""

    def close(self) -> None:
        """Give the pipe back."""


class SerialTransport:
    """A device, pty or any URL of pyserial, opened without touching a board's reset lines."""

    def __init__(self, url: str, where: str = "", baud: int = 115200) -> None:
        self.where = where or url
        try:
            port = serial.serial_for_url(url, baudrate=baud, do_not_open=True, timeout=0)
            port.dtr = port.rts = False
            if "://" not in url:
                port.exclusive = True
            port.open()
        except (OSError, ValueError) as error:
            raise _port_error(url, error) from None
        self._port = port

    def read(self, timeout: float) -> bytes:
        try:
            self._port.timeout = timeout
            first = self._port.read(1)
            waiting = self._port.in_waiting if first else 0
            return bytes(first + self._port.read(waiting)) if waiting else bytes(first)
        except (OSError, TypeError):
            raise LinkError("the board went away", where=self.where) from None

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, TypeError):
            raise LinkError("the board went away", where=self.where) from None

    def close(self) -> None:
        self._port.close()


class SocketTransport:
    """A connected TCP socket."""

    def __init__(self, connection: socket.socket, where: str) -> None:
        self.where = where
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, timeout: float) -> bytes:
        try:
            ready, _, _ = select.select([self._socket], [], [], timeout)
            if not ready:
                return b""
            data = self._socket.recv(65536)
        except OSError as error:
            raise LinkError(f"the board went away ({error.strerror})", where=self.where) from None
        if not data:
            raise LinkError("the board went away (connection closed)", where=self.where)
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LinkError(f"the board went away ({error.strerror})", where=self.where) from None

    def close(self) -> None:
        self._socket.close()


def _port_error(url: str, error: Exception) -> LinkError:
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.ENOENT, errno.ENXIO) or "No such file" in text:
        return LinkError("no such port", where=url, do="plug the board in, or look at: espike boards")
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in text:
        return LinkError("the port is busy", where=url, do="close the program that uses it")
    if number in (errno.EACCES, errno.EPERM):
        return LinkError("no permission for the port", where=url, do="join the group that owns it (dialout)")
    if isinstance(error, ValueError):
        return LinkError(f"is no port ({text})", where=url)
    return LinkError(f"cannot open the port ({text})", where=url, do="give a serial port or socket://host:port")


def open_transport(url: str) -> Transport:
    """Open a port: a device path, a pty, `socket://host:port`, or another pyserial URL.

    Raises: LinkError saying whether it is missing, busy or refused.
    """
    if not url.startswith("socket://"):
        return SerialTransport(url)
    host, colon, port = url.removeprefix("socket://").rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise LinkError("is no socket://host:port", where=url)
    try:
        return SocketTransport(socket.create_connection((host, int(port)), timeout=5), url)
    except OSError as error:
        raise LinkError(f"cannot connect ({error.strerror or error})", where=url, do="is the board running?") from None
