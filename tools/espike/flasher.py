"""image -> board: a transfer, resumed where one broke off, made from what the board holds; docs/flash.md."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from espike_sim import npzfile
from espike_sim.core import error_name, ffi, lib
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from . import link as wire
from . import transfer
from .board import attach
from .boards import Running, home
from .link import BoardRefusedError, Hello, Link
from .transport import LinkError

KEY_BYTES = 16
KEPT = 8
"""Images of which copies are kept, so that the next one need only be a difference."""
_STEP = 4096
"""A transfer goes on at a multiple of this."""

Progress = Callable[[int, int], None]
"""(done, all)"""


@dataclass(frozen=True)
class Flashed:
    """What a board says after it was flashed, and what that took."""

    hello: Hello
    image_bytes: int
    bytes_sent: int
    """To the board, of everything."""
    payload_bytes: int
    """Of transfers, headers included."""
    resumed_at: int
    """Image bytes that an earlier transfer had brought already."""
    difference: bool
    """Was it sent as the difference to the image before?"""


def flash(
    running: Running, image: bytes, *, key: bytes | None = None, progress: Progress | None = None, again: bool = False
) -> Flashed:
    """Put an image into the board's other slot, and have the board try it.

    key: of the board, where it has one (default: what $ESPIKE_KEY names); again: also where the board runs it already.
    Raises: EspikeError where it does not fit, LinkError where the wire fails (the board keeps the image that it had),
    BoardRefusedError where the board does not take it.
    """
    return _Flasher(running, image, key if key is not None else key_from_environment(), progress).flash(again)


def self_test(running: Running, hello: Hello) -> tuple[bool, str]:
    """Have a board run its image's self-test -> passed, and in words. Raises: LinkError, BoardRefusedError."""
    try:
        bursts = int(struct.unpack("<I", running.link.request(wire.SELF_TEST, timeout=90))[0])
    except BoardRefusedError as error:
        if error.code != wire.TEST_FAILED:
            raise
        return False, f"failed after {error.detail} bursts: espike verify shows where it differs"
    if bursts == 0:
        raise EspikeError("the image has no self-test", where=f"board {hello.board}", do="pack and flash it again")
    return True, f"passed, {bursts} bursts"


def read_key(path: Path) -> bytes:
    """A key file: 32 hexadecimal digits. Raises: EspikeError."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise EspikeError(f"cannot read the key ({error})", where=str(path)) from None
    if len(key) != KEY_BYTES:
        raise EspikeError(f"a key has {2 * KEY_BYTES} hexadecimal digits", where=str(path), do="espike key new FILE")
    return key


def key_from_environment() -> bytes | None:
    """The key that $ESPIKE_KEY names a file of; None where it is not set."""
    path = os.environ.get("ESPIKE_KEY")
    return read_key(Path(path)) if path else None


def tag(key: bytes, hello: Hello, kind: int, message: bytes) -> bytes:
    """What proves to a board that a write comes from a holder of its key (docs/link.md, key)."""
    mac, out = ffi.new("spk_mac_t *"), ffi.new("uint8_t[]", int(lib.SPK_MAC_BYTES))
    lib.spk_mac_begin(mac, key)
    for part in (bytes.fromhex(hello.challenge) + bytes([kind]), message):
        lib.spk_mac_push(mac, part, len(part))
    lib.spk_mac_end(mac, out)
    return bytes(out)


def set_key(running: Running, new: bytes | None, old: bytes | None) -> Hello:
    """Give a board a key, another one, or (None) none. Raises: EspikeError where it has one and `old` is not it."""
    hello = attach(running)
    _check_key(hello, old)
    payload = new or b""
    proof = tag(old, hello, wire.KEY, payload) if hello.has_key and old is not None else b""
    running.link.request(wire.KEY, payload + proof)
    return running.link.hello()


def _check_key(hello: Hello, key: bytes | None) -> None:
    if hello.has_key and key is None:
        do = "set ESPIKE_KEY to the file of its key, or give --key"
        raise EspikeError("the board has a key, and takes no writes without it", where=f"board {hello.board}", do=do)


def installed(crc: int) -> Path:
    """Where a copy of an image that was flashed is kept, by the CRC in its header."""
    return home() / "installed" / f"{crc:08x}.spk"


def _keep(image: bytes) -> None:
    """Keep a copy; where that is not possible the next difference is only larger."""
    path = installed(transfer.image_crc(image))
    with suppress(OSError, EspikeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        npzfile.write_atomic(path, image)
        found = sorted(path.parent.glob("*.spk"), key=lambda p: p.stat().st_mtime)
        for old in found[:-KEPT]:
            old.unlink(missing_ok=True)


def _base(hello: Hello) -> bytes | None:
    """The image that the board runs, where a copy is here."""
    if not hello.has_image:
        return None
    try:
        data = installed(hello.image_crc).read_bytes()
    except OSError:
        return None
    return data if len(data) == hello.image_bytes and transfer.image_crc(data) == hello.image_crc else None


class _Flasher:
    def __init__(self, running: Running, image: bytes, key: bytes | None, progress: Progress | None) -> None:
        self._link: Link = running.link
        self._image, self._key, self._progress = image, key, progress
        self._hello = attach(running)
        self._where = f"board {self._hello.board}"
        self._sent = self._payload = self._resumed = 0
        self._difference = False

    def flash(self, again: bool) -> Flashed:
        self._check_fit()
        _check_key(self._hello, self._key)
        before = self._link.bytes_sent
        if again or self._hello.image_crc != transfer.image_crc(self._image):
            try:
                self._transfer()
            except LinkError as error:
                do = "the board keeps the image it had: flash again, and it goes on where it was"
                raise LinkError(f"flashing broke off: {error.what}", where=self._where, do=do) from None
            _keep(self._image)
        hello = self._link.hello()
        sent = self._link.bytes_sent - before
        return Flashed(hello, len(self._image), sent, self._payload, self._resumed, self._difference)

    def _check_fit(self) -> None:
        hello, view = self._hello, ImageView(self._image)
        if view.precision not in hello.precisions:
            raise EspikeError(
                f"the board does not run {view.precision}", where=self._where, do="pack with another --precision"
            )
        if len(self._image) > hello.flash_bytes:
            what = f"the image has {len(self._image)} bytes, the slot {hello.flash_bytes}"
            raise EspikeError(what, where=self._where, do="espike plan says what would fit")
        if view.ram_bytes > hello.arena_bytes:
            what = f"the network needs {view.ram_bytes} bytes of RAM, the board has {hello.arena_bytes}"
            raise EspikeError(what, where=self._where, do="espike plan says what would fit")

    def _transfer(self) -> None:
        base = _base(self._hello)
        first = self._resumed = self._already_there()
        while True:
            data = transfer.encode(self._image, base, first=first)
            try:
                self._send(data)
            except BoardRefusedError as error:
                if error.code == wire.OTHER_BASE and base is not None:
                    base = None
                elif error.code in (wire.NO_FLASH, wire.FLASH_FAILED) and first != 0:
                    first = self._resumed = 0  # what lies behind the part that is there is not blank
                else:
                    raise
                self._hello = self._link.hello()
                continue
            self._difference = base is not None
            break
        self._commit()

    def _already_there(self) -> int:
        """Image bytes that the spare slot begins with already, in whole steps or all."""

        def is_there(steps: int) -> bool:
            count = min(steps * _STEP, len(self._image))
            reply = self._link.request(wire.CHECK, struct.pack("<II", 0, count), timeout=20)
            return bool(struct.unpack("<I", reply)[0] == zlib.crc32(self._image[:count]))

        low, high = 0, -(-len(self._image) // _STEP)
        if not is_there(1):
            return 0
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if is_there(middle) else (low, middle - 1)
        return min(low * _STEP, len(self._image))

    def _send(self, data: bytes) -> None:
        header, payload = data[: transfer.HEADER_BYTES], data[transfer.HEADER_BYTES :]
        proof = tag(self._key, self._hello, wire.BEGIN, header) if self._hello.has_key and self._key else b""
        self._link.request(wire.BEGIN, header + proof, timeout=20)
        self._hello = self._link.hello()
        self._payload += len(data)
        taken, written, waits = 0, 0, len(payload) == 0
        while taken < len(payload) or waits:
            piece = b"" if waits else payload[taken : taken + transfer.PIECE_BYTES]
            reply = self._link.request(wire.WRITE, struct.pack("<I", taken) + piece, timeout=30)
            taken, written, waits = struct.unpack("<IIB", reply)
            if self._progress is not None:
                self._progress(written, len(self._image))

    def _commit(self) -> None:
        proof = tag(self._key, self._hello, wire.COMMIT, self._image) if self._hello.has_key and self._key else b""
        try:
            self._link.request(wire.COMMIT, proof, timeout=90)
        except BoardRefusedError as error:
            if error.code == wire.WRONG_KEY:
                raise
            why = wire.REFUSALS.get(error.code) or error_name(error.code)
            kept = "keeps the image it had" if self._hello.has_image else "stays empty"
            what = f"the board tried the image and {kept}: {why} (detail {error.detail})"
            raise EspikeError(what, where=self._where, do="espike verify shows where it differs") from None
        except LinkError:
            if self._link.hello().image_crc != transfer.image_crc(self._image):
                raise
