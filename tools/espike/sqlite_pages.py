"""bytes of a damaged SQLite file -> the table rows that are still whole, whatever tables they belonged to.

Follows the file format (https://www.sqlite.org/fileformat2.html, 1.6, 2.1 and 4.1) and trusts nothing but single leaf
pages: neither the schema nor the tree above them. Rows of pages that were freed appear too; the caller has checksums.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

DEFAULT_PAGE_BYTES = 4096
_MAGIC = b"SQLite format 3\0"
_LEAF = 0x0D
_INDEX_LEAF, _INDEX_INSIDE = 0x0A, 0x02
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)


@dataclass(frozen=True)
class Record:
    """A row as found: `values` by column (None, int, float, str, bytes), cut short where its pages are lost."""

    rowid: int
    values: tuple[Any, ...]
    is_whole: bool


@dataclass(frozen=True)
class Pages:
    """The pages of a file, under those of its write-ahead log."""

    data: Any
    """bytes or mmap."""
    newer: dict[int, bytes]
    page_bytes: int
    usable_bytes: int

    @property
    def count(self) -> int:
        """Whole pages that are there."""
        return max([len(self.data) // self.page_bytes, *self.newer])

    @property
    def stated(self) -> int:
        """Pages that the header says there are; 0 where it is damaged."""
        first = self.page(1) or b""
        return int.from_bytes(first[28:32], "big") if first.startswith(_MAGIC) else 0

    def page(self, number: int) -> bytes | None:
        """A page by number, from 1; None where it is not there."""
        if number in self.newer:
            return self.newer[number]
        start = (number - 1) * self.page_bytes
        if number < 1 or start + self.page_bytes > len(self.data):
            return None
        return bytes(self.data[start : start + self.page_bytes])

    def records(self) -> Iterator[Record]:
        """Every row of every page that looks like a leaf of a table."""
        for page, at in self._cells(_LEAF):
            with suppress(IndexError, ValueError, struct.error):  # no cell
                yield self._record(page, at)

    def index_entries(self) -> Iterator[tuple[Any, ...]]:
        """Every entry, the rowid last, of every page that looks like an index; those with overflow pages left out."""
        for kind, skip in ((_INDEX_LEAF, 0), (_INDEX_INSIDE, 4)):
            for page, at in self._cells(kind):
                with suppress(IndexError, ValueError, struct.error):
                    total, start = _varint(page, at + skip)
                    if start + total <= self.usable_bytes:
                        yield tuple(_values(page[start : start + total]))

    def _cells(self, kind: int) -> Iterator[tuple[bytes, int]]:
        """The pages of a kind, each with the place of each of its cells."""
        for number in range(1, self.count + 1):
            page = self.page(number)
            head = 100 if number == 1 else 0
            if page is None or page[head] != kind:
                continue
            cells = int.from_bytes(page[head + 3 : head + 5], "big")
            first = head + (12 if kind == _INDEX_INSIDE else 8)
            for pointer in range(first, min(first + 2 * cells, self.page_bytes - 1), 2):
                yield page, int.from_bytes(page[pointer : pointer + 2], "big")

    def _record(self, page: bytes, at: int) -> Record:
        total, at = _varint(page, at)
        rowid, at = _varint(page, at)
        most = self.usable_bytes - 35
        local = total
        if total > most:
            least = (self.usable_bytes - 12) * 32 // 255 - 23
            local = least + (total - least) % (self.usable_bytes - 4)
            local = local if local <= most else least
        if total > len(self.data) + len(self.newer) * self.page_bytes or at + local > self.usable_bytes:
            raise ValueError("longer than the file")
        parts, left = [page[at : at + local]], total - local
        following = int.from_bytes(page[at + local : at + local + 4], "big") if left else 0
        while left > 0 and (more := self.page(following)) is not None:
            parts.append(more[4 : 4 + min(left, self.usable_bytes - 4)])
            left -= len(parts[-1])
            following = int.from_bytes(more[:4], "big")
        values = tuple(_values(b"".join(parts)))
        return Record(rowid - (1 << 64) if rowid >> 63 else rowid, values, left <= 0)


def read_pages(path: Path) -> Pages:
    """The file and, where one was left over, the committed part of its log. Raises: EspikeError where it cannot."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        wal_path = path.with_name(path.name + "-wal")
        wal = wal_path.read_bytes() if wal_path.exists() else b""
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None
    except ValueError:
        raise EspikeError("is empty", where=str(path)) from None
    page_bytes, spare = DEFAULT_PAGE_BYTES, 0
    if data[:16] == _MAGIC:
        stated = int.from_bytes(data[16:18], "big")
        stated = 65536 if stated == 1 else stated
        if stated >= 512 and stated.bit_count() == 1:
            page_bytes, spare = stated, data[20]
    return Pages(data, _log_pages(wal, page_bytes), page_bytes, page_bytes - spare)


def _log_pages(wal: bytes, page_bytes: int) -> dict[int, bytes]:
    """The newest image of each page, as of the last frame that ends a transaction."""
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    if len(wal) < 32 or int.from_bytes(wal[8:12], "big") != page_bytes:
        return pages
    salt = wal[16:24]
    for at in range(32, len(wal) - 24 - page_bytes + 1, 24 + page_bytes):
        number, committed = struct.unpack_from(">II", wal, at)
        if wal[at + 8 : at + 16] != salt:
            break
        pending[number] = wal[at + 24 : at + 24 + page_bytes]
        if committed:
            pages |= pending
            pending = {}
    return pages


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """SQLite's: high bits first, bit 7 = more, all 8 bits of the ninth byte."""
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + index + 1
    raise AssertionError


def _values(payload: bytes) -> Iterator[Any]:
    """Values of a record; a value that the payload does not hold whole is what is there of it."""
    head, at = _varint(payload, 0)
    types = []
    while at < min(head, len(payload)):
        kind, at = _varint(payload, at)
        types.append(kind)
    if len(types) > 100:
        raise ValueError("no row of ours")
    for kind in types:
        if kind in (0, 8, 9):
            yield None if kind == 0 else kind - 8
            continue
        if kind in (10, 11):
            raise ValueError("reserved type")
        size = _INTEGER_BYTES[kind] if kind < 7 else 8 if kind == 7 else (kind - 12) // 2
        body, at = payload[at : at + size], at + size
        if kind < 7:
            yield int.from_bytes(body, "big", signed=True)
        elif kind == 7:
            yield struct.unpack(">d", body)[0]
        else:
            yield body.decode(errors="replace") if kind % 2 else body
