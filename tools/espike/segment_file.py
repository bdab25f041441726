"""path -> open segment store file: the SQLite schema, its version, checksums of rows, and errors in one line."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from espike_sim.errors import EspikeError

APPLICATION_ID = 0x4553504B
"""ESPK, in the SQLite header."""
VERSION = 1
"""Of the schema, in the SQLite header's user_version."""
PAGE_BYTES = 4096

Mode = Literal["read", "write", "new"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table whose rows carry crc32, a checksum over all columns but `unsealed`."""

    name: str
    columns: Mapping[str, str]
    """Column name -> SQL type and constraint, in the order of the file."""
    unsealed: frozenset[str] = frozenset()
    """Columns that change, that SQLite chooses, or that follow from others."""

    @property
    def names(self) -> str:
        """The columns as SQL."""
        return ", ".join(f'"{name}"' for name in self.columns)

    def seal(self, row: Mapping[str, Any]) -> int:
        """The row's checksum: CRC-32 of the table's name, then each value as type letter, length and bytes."""
        crc = zlib.crc32(self.name.encode())
        for name in self.columns:
            if name != "crc32" and name not in self.unsealed:
                head, body = _flat(row[name])
                crc = zlib.crc32(body, zlib.crc32(head, crc))
        return crc

    def row(self, values: tuple[Any, ...]) -> Row:
        """Values in column order -> row."""
        return dict(zip(self.columns, values, strict=True))

    def is_sound(self, row: Mapping[str, Any]) -> bool:
        """Does the row's checksum hold?"""
        return bool(row["crc32"] == self.seal(row))


def _flat(value: Any) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    letter = {int: b"i", str: b"s", bytes: b"b"}.get(type(value), b"?")
    body = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    return letter + b"%d:" % len(body), body


_INT, _TEXT, _BLOB = "INTEGER NOT NULL", "TEXT NOT NULL", "BLOB NOT NULL"

TENSORS = Table(
    "tensors",
    {
        "tensor_id": "TEXT NOT NULL PRIMARY KEY", "kind": _TEXT, "tensor_len": _INT, "meta": _TEXT, "policy": _TEXT,
        "producer": _TEXT, "source_hash": _TEXT, "access_count": _INT, "last_access": _INT, "crc32": _INT,
    },
    frozenset({"access_count", "last_access"}),
)  # fmt: skip
SEGMENTS = Table(
    "segments",
    {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT", "tensor_id": _TEXT, "start": _INT, "end": _INT, "tier": "TEXT",
        "bits": _INT, "frames": _INT, "version": _INT, "requantized": _INT, "parent": "INTEGER", "crc32": _INT,
        "gaps": "BLOB", "bytes": _BLOB,
    },
    frozenset({"id", "tier", "bits", "frames", "version"}),
)  # fmt: skip
LINEAGE = Table(
    "lineage",
    {
        "id": "INTEGER PRIMARY KEY", "tensor_id": _TEXT, "start": _INT, "end": _INT, "tier": "TEXT", "bits": _INT,
        "frames": _INT, "version": _INT, "requantized": _INT, "parent": "INTEGER", "byte_count": _INT,
        "replaced_at": _INT, "crc32": _INT,
    },
    frozenset({"id"}),
)  # fmt: skip
SOURCES = Table(
    "sources",
    {
        "id": "INTEGER PRIMARY KEY", "tensor_id": _TEXT, "start": _INT, "end": _INT, "frames": _INT, "dtype": _TEXT,
        "crc32": _INT, "gaps": "BLOB", "bytes": _BLOB,
    },
    frozenset({"id"}),
)  # fmt: skip
ATTACHMENTS = Table("attachments", {"name": "TEXT NOT NULL PRIMARY KEY", "meta": _TEXT, "crc32": _INT, "bytes": _BLOB})
TABLES = (TENSORS, SEGMENTS, LINEAGE, SOURCES, ATTACHMENTS)


def _schema() -> Iterator[str]:
    for table in TABLES:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in table.columns.items())
        yield f"CREATE TABLE {table.name} ({columns})"
    yield 'CREATE TABLE damaged (id INTEGER PRIMARY KEY, "table" TEXT, "row" TEXT, why TEXT, bytes BLOB)'
    yield "CREATE UNIQUE INDEX segments_start ON segments (tensor_id, start)"
    yield "CREATE UNIQUE INDEX sources_start ON sources (tensor_id, start)"
    # The key and tags of docs/segment.md's ancestor (ADR-017, 5.2), for whoever opens the file with sqlite3.
    yield (
        "CREATE VIEW keys AS SELECT tensor_id || ':' || start || ':' || \"end\" AS key, tier, bits, frames, "
        "length(bytes) AS byte_count FROM segments"
    )
    yield f"PRAGMA application_id = {APPLICATION_ID}"
    yield f"PRAGMA user_version = {VERSION}"


class SegmentFile:
    """An open file. Every error of SQLite becomes an EspikeError.

    mode: read (never changes the file), write (makes it where it is missing), new (refuses one that is there).
    timeout_s: how long to wait for another program that is writing.
    Raises: EspikeError where the file is missing, foreign, of another version, damaged, locked or read-only.
    """

    def __init__(self, path: Path, mode: Mode = "read", timeout_s: float = 5.0) -> None:
        self.path, self.mode = path, mode
        self._depth = 0
        if mode == "new":
            self._take_name()
        elif not path.exists() and mode == "read":
            raise EspikeError("does not exist", where=str(path))
        if path.is_dir():
            raise EspikeError("is a folder", where=str(path))
        self._connection = self._connect(timeout_s)
        try:
            self._check(mode)
            if mode != "read":
                self._prepare()
        except BaseException:
            self._connection.close()
            if mode == "new" and _size(path) == 0:
                path.unlink(missing_ok=True)
            raise

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        with self._guard():
            return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement that changes -> id of the row it inserted, rows changed by others."""
        if self.mode == "read":
            raise EspikeError("is open for reading only", where=str(self.path), do="open it for writing")
        with self._guard():
            cursor = self._connection.execute(sql, values)
            return int((cursor.lastrowid or 0) if sql.startswith("INSERT") else cursor.rowcount)

    def insert(self, table: Table, row: Mapping[str, Any]) -> int:
        """Insert a row, columns left out NULL, `crc32` filled in -> its id."""
        full = {name: row.get(name) for name in table.columns}
        full["crc32"] = table.seal(full)
        marks = ", ".join("?" * len(full))
        return self.run(f"INSERT INTO {table.name} ({table.names}) VALUES ({marks})", *full.values())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on the disk when it ends. Inside another one: a part of it, undone alone by an error."""
        begin, commit, undo = ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part")
        if not self._depth:
            # IMMEDIATE: what is read inside still holds when it is written.
            begin, commit, undo = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        elif not self._connection.in_transaction:
            raise EspikeError("an earlier error has undone this batch", where=str(self.path))
        self.run(begin)
        self._depth += 1
        try:
            yield
            if not self._connection.in_transaction:
                raise EspikeError("an earlier error has undone this batch", where=str(self.path))
            self.run(commit)
        except BaseException:
            # A full disk has ended the transaction already.
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute(undo)
            raise
        finally:
            self._depth -= 1

    def run_lightly(self, sql: str, *values: Any) -> None:
        """Execute a statement whose effect may be lost with the power: it does not wait for the disk."""
        if self._connection.in_transaction:
            self.run(sql, *values)
            return
        self.run("PRAGMA synchronous = NORMAL")
        try:
            self.run(sql, *values)
        finally:
            self.run("PRAGMA synchronous = EXTRA")

    def give_back(self) -> None:
        """Return free pages to the file system; not within a batch."""
        if not self._connection.in_transaction:
            with self._guard():
                # execute() would take one step of it, and free one page.
                self._connection.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Close; where nobody else has it open, the file is then complete by itself. Idempotent."""
        with suppress(sqlite3.Error):
            if self.mode != "read":
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._connection.execute("PRAGMA busy_timeout = 100")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                # Without a WAL the file can be read from a read-only medium.
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        with self._guard():
            self._connection.close()

    def _take_name(self) -> None:
        try:
            self.path.open("xb").close()
        except FileExistsError:
            raise EspikeError("exists already", where=str(self.path), do="name another file") from None
        except OSError as error:
            raise EspikeError(f"cannot write: {error.strerror}", where=str(self.path)) from None

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        with self._guard():
            if self.mode != "read":
                return self._open("mode=rwc", timeout_s)
            connection = self._open("mode=ro", timeout_s)
            try:
                connection.execute("PRAGMA schema_version").fetchall()
            except sqlite3.OperationalError as error:
                # A WAL that was left over needs a folder that can be written; none left over: nobody writes here.
                wal = self.path.with_name(self.path.name + "-wal")
                if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _size(wal):
                    connection.close()
                    raise
                connection.close()
                connection = self._open("immutable=1", timeout_s)
            except BaseException:
                connection.close()
                raise
            return connection

    def _open(self, how: str, timeout_s: float) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?{how}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout_s)
        connection.text_factory = _text
        return connection

    def _check(self, mode: Mode) -> None:
        """Refuse what is no store of this version, before anything is changed."""
        where = str(self.path)
        self.rows("PRAGMA trusted_schema = OFF")
        application, version = self.rows("PRAGMA application_id")[0][0], self.rows("PRAGMA user_version")[0][0]
        if _size(self.path) == 0:
            if mode == "read":
                raise EspikeError("is empty", where=where)
            return
        if application != APPLICATION_ID:
            raise EspikeError("is a database of another program, no recording of espike", where=where)
        if version > VERSION:
            raise EspikeError(f"recording version {version} is later than {VERSION}", where=where, do="update espike")
        if version != VERSION:
            raise EspikeError(f"recording version {version} is not known", where=where)
        self.rows("SELECT count(*) FROM sqlite_master")

    def _prepare(self) -> None:
        """Make the tables of an empty file; set how it is written."""
        if _size(self.path) == 0:
            self.rows(f"PRAGMA page_size = {PAGE_BYTES}")
            self.rows("PRAGMA auto_vacuum = INCREMENTAL")
            with self.transaction():
                if not self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
                    for statement in _schema():
                        self.run(statement)
        # A WAL, because readers go on while one writes and a commit waits for the disk once, not three times.
        # EXTRA (= FULL in a WAL) syncs it at every commit: what was acknowledged survives a loss of power. Where the
        # file system has no shared memory and SQLite stays with the DELETE journal, EXTRA syncs the folder too.
        self.rows("PRAGMA journal_mode = WAL")
        self.rows("PRAGMA synchronous = EXTRA")
        self.rows("PRAGMA fullfsync = ON")
        with self.transaction():
            pass  # a file that cannot be written says so now

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError, UnicodeError) as error:
            raise refusal(self.path, error) from None


SALVAGE = "salvage it into a new file: espike segment repair --output"

_SAYINGS = {
    sqlite3.SQLITE_BUSY: ("another program is writing to it", "try again when it is done"),
    sqlite3.SQLITE_LOCKED: ("another program is writing to it", "try again when it is done"),
    sqlite3.SQLITE_PROTOCOL: ("another program is writing to it", "try again when it is done"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "look at the rights of the file and its folder"),
    sqlite3.SQLITE_PERM: ("no permission", "look at the rights of the file and its folder"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "look at the rights of the file and its folder"),
    sqlite3.SQLITE_IOERR: ("the disk failed to read or write", "see that it is there and has room"),
    sqlite3.SQLITE_FULL: ("the disk is full; what was acknowledged is kept", "make room"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", SALVAGE),
    sqlite3.SQLITE_NOTADB: ("is no recording of espike, or its first page is damaged", f"in that case {SALVAGE}"),
    sqlite3.SQLITE_TOOBIG: ("more bytes than SQLite takes in one piece", "use shorter segments"),
    sqlite3.SQLITE_NOMEM: ("does not fit memory", ""),
    sqlite3.SQLITE_ERROR: ("is damaged, a table is missing or foreign", SALVAGE),
}


def refusal(path: Path, error: BaseException) -> EspikeError:
    """An error of SQLite as one clear line."""
    where = str(path)
    if isinstance(error, MemoryError):
        return EspikeError("does not fit memory", where=where)
    if isinstance(error, UnicodeError):  # SQLite's own message quotes garbled bytes
        return EspikeError("is damaged", where=where, do=SALVAGE)
    if isinstance(error, OverflowError | sqlite3.DataError):
        return EspikeError("more bytes, or a larger number, than SQLite takes", where=where)
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return EspikeError("is closed", where=where)
    if isinstance(error, sqlite3.ProgrammingError) and "thread" in str(error):
        return EspikeError("was opened by another thread", where=where, do="open it once per thread")
    what, do = _SAYINGS.get(_code(error), (f"SQLite refuses: {error}", ""))
    return EspikeError(what, where=where, do=do)


def _code(error: BaseException) -> int:
    """SQLite's primary result code, 0 where there is none."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(data: bytes) -> str:
    """Damaged text is text too: its checksum tells."""
    return data.decode(errors="replace")
