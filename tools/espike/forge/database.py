"""The registry's SQLite file: tables, migrations, transactions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

MIGRATIONS = (
    """
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL, seed INTEGER NOT NULL, tool TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'imported')), reason TEXT NOT NULL,
        started TEXT NOT NULL, seconds REAL NOT NULL, process INTEGER NOT NULL);
    CREATE TABLE phases (
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, phase TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')), started TEXT NOT NULL,
        seconds REAL NOT NULL, result TEXT, PRIMARY KEY (run, phase));
    CREATE TABLE steps (
        key TEXT PRIMARY KEY, run TEXT REFERENCES runs ON DELETE SET NULL, phase TEXT NOT NULL, name TEXT NOT NULL,
        inputs TEXT NOT NULL, outputs TEXT NOT NULL, results TEXT NOT NULL, seconds REAL NOT NULL);
    CREATE TABLE uses (
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, phase TEXT NOT NULL,
        step TEXT NOT NULL REFERENCES steps ON DELETE CASCADE, PRIMARY KEY (run, phase, step)) WITHOUT ROWID;
    CREATE INDEX uses_step ON uses (step);
    CREATE TABLE metrics (
        number INTEGER PRIMARY KEY, run TEXT REFERENCES runs ON DELETE CASCADE,
        step TEXT REFERENCES steps ON DELETE CASCADE, phase TEXT NOT NULL, name TEXT NOT NULL, value NOT NULL,
        unit TEXT NOT NULL, function TEXT NOT NULL, objects TEXT NOT NULL, parameters TEXT NOT NULL, seed INTEGER,
        is_time INTEGER NOT NULL, CHECK ((run IS NULL) <> (step IS NULL)));
    CREATE UNIQUE INDEX metrics_run ON metrics (run, phase, name) WHERE run IS NOT NULL;
    CREATE UNIQUE INDEX metrics_step ON metrics (step, name) WHERE step IS NOT NULL;
    CREATE TABLE models (
        id TEXT PRIMARY KEY, session TEXT NOT NULL, phase TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL,
        parameters INTEGER NOT NULL, bytes INTEGER NOT NULL, bytes_per_synapse REAL NOT NULL, neurons INTEGER NOT NULL,
        synapses INTEGER NOT NULL, provenance TEXT NOT NULL, master TEXT, image TEXT, specialization TEXT,
        board TEXT NOT NULL, formats TEXT NOT NULL, tags TEXT NOT NULL, gates TEXT NOT NULL, metrics TEXT NOT NULL,
        promoted INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX models_session ON models (session);
    CREATE TABLE lineage (
        child TEXT NOT NULL REFERENCES models ON DELETE CASCADE, parent TEXT NOT NULL, PRIMARY KEY (child, parent));
    CREATE TABLE artefacts (
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, phase TEXT NOT NULL, name TEXT NOT NULL,
        object TEXT NOT NULL, PRIMARY KEY (run, phase, name));
    CREATE TABLE logs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        phase TEXT NOT NULL, at TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
    CREATE INDEX logs_run ON logs (run)
    """,
)
"""Statements from each version to the next; the file's `user_version` counts those that ran."""
TABLES = ("runs", "phases", "steps", "metrics", "models", "artefacts")
"""Tables that may name objects."""
Row = sqlite3.Row


class Database:
    """One file, for any number of threads; a process that was forked opens it anew.

    Raises: EspikeError, here and from every method, where it is foreign, newer, damaged, busy or full.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.path, self.timeout_s = path, timeout_s
        self._lock = threading.RLock()
        with self._told():
            self._connect()

    def _connect(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two that make the file at once
            self._db = sqlite3.connect(self.path, self.timeout_s, isolation_level=None, check_same_thread=False)
            try:
                self._db.row_factory = Row
                self._db.execute("PRAGMA foreign_keys = ON")
                self._db.execute("PRAGMA synchronous = FULL")
                self._migrate()
            except BaseException:
                self._db.close()
                raise
        self._process = os.getpid()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        known = len(MIGRATIONS)
        if version > known:
            what = f"was written by a newer espike (version {version}, this one knows {known})"
            raise EspikeError(what, where=str(self.path), do="update espike, or choose another home")
        if version == 0 and tables:
            raise EspikeError("is no registry of the forge", where=str(self.path), do="choose another home")
        self._db.execute("PRAGMA journal_mode = WAL")
        if version < known:
            self._db.execute("BEGIN IMMEDIATE")
            for statement in ";".join(MIGRATIONS[version:]).split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {known}")
            self._db.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's and the system's errors as ours."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise EspikeError(f"cannot be used ({error})", where=str(self.path)) from None
        except OSError as error:
            raise EspikeError(f"cannot be used ({error.strerror})", where=str(self.path)) from None

    def _own(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._connect()
        return self._db

    @contextmanager
    def change(self, undo: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it ends; nothing of it where it raises, or with `undo`."""
        with self._lock, self._told():
            db = self._own()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("ROLLBACK" if undo else "COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def rows(self, query: str, *values: Any) -> list[Row]:
        """What a query finds."""
        with self._lock, self._told():
            return self._own().execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._process == os.getpid():
                self._db.close()
