"""bytes <-> objects: files by their SHA-256, written beside their place, synced and renamed."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from espike_sim.errors import EspikeError

HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""An object's name, wherever it stands in a text."""


class Objects:
    """A folder of objects `ab/<sha256>`. Any number of threads and processes may put and get at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where an object lies, or would. Raises: EspikeError where the key is no SHA-256 in hex."""
        if not HASH.fullmatch(key):
            raise EspikeError(f"{key!r} is no SHA-256", where=str(self.folder))
        return self.folder / key[:2] / key

    def put(self, data: bytes | Path) -> str:
        """Keep bytes, or those of a file -> their SHA-256. A damaged copy of them is replaced.

        Raises: EspikeError where the file cannot be read, or the folder not be written.
        """
        try:
            content = data.read_bytes() if isinstance(data, Path) else data
            key = hashlib.sha256(content).hexdigest()
            path = self.path(key)
            if path.is_file():
                os.utime(path)  # young again, so that `remove` leaves it
            if not self.whole(key):
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, content)
        except OSError as error:
            where = str(error.filename or self.folder)
            raise EspikeError(f"cannot be kept ({error.strerror})", where=where, do="make room there") from None
        return key

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises: EspikeError where it is absent or damaged."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EspikeError(f"is no object that can be read ({error.strerror})", where=str(path)) from None
        if hashlib.sha256(content).hexdigest() != key:
            raise EspikeError("is damaged: its bytes have another hash", where=str(path), do="do again what made it")
        return content

    def whole(self, key: str) -> bool:
        """Is there such an object, undamaged?"""
        try:
            self.get(key)
        except EspikeError:
            return False
        return True

    def has(self, key: str) -> bool:
        """Is there such an object? `get` says whether it is whole."""
        return bool(HASH.fullmatch(key)) and self.path(key).is_file()

    def files(self) -> Iterator[Path]:
        """Every object, and what a killed `put` left."""
        yield from self.folder.glob("??/*")
        yield from self.folder.glob("??/.*.tmp")

    def remove(self, kept: set[str], age_s: float, dry_run: bool) -> tuple[int, int]:
        """Delete what is not kept and is older than so many seconds -> (files, bytes) of that."""
        files = size = 0
        for path in sorted(set(self.files())):
            with suppress(FileNotFoundError):
                state = path.stat()
                if path.name in kept or time.time() - state.st_mtime < age_s:
                    continue
                files, size = files + 1, size + state.st_size
                if not dry_run:
                    path.unlink()
        return files, size


def _write(path: Path, content: bytes) -> None:
    """The file is there whole or not at all, whatever ends the process."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
