"""frozen dataclasses of arrays <-> npz files: one container for connectomes, ledgers and stimuli.

The file is an uncompressed npz, so the same content gives the same bytes on every machine. Member `meta`
holds UTF-8 JSON with `format` and `version`; every other member is one array. `docs/npz.md` is the schema.
"""

from __future__ import annotations

import hashlib
import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import EspikeError

Arrays = dict[str, NDArray[Any]]

UNREADABLE = (
    ValueError, KeyError, EOFError, TypeError, AttributeError, OverflowError, RuntimeError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy raises for a file that is damaged, or none of its own."""


def content_hash(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) over meta as canonical JSON and each array's name, dtype, shape and little-endian bytes."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.tobytes() if array.nbytes < 1 << 16 else array.data.cast("B"))
    return digest.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all: a temporary one beside it, then a rename.

    Raises: EspikeError where the folder is missing, not writable or full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EspikeError(f"cannot write: {error.strerror}", where=str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises: EspikeError where it cannot."""
    with whole(path) as file:
        file.write(data)


def save(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write meta and arrays to `path`, whole or not at all. Raises: EspikeError where it cannot."""
    text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8)
    with whole(path) as file:
        write(file, {"meta": text, **arrays})


def write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an uncompressed npz: what numpy.savez writes, without what versions of Python differ in."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            kept = np.asarray(array, order="C")
            member = zipfile.ZipInfo(f"{name}.npy")
            member.file_size = kept.nbytes  # numpy leaves it open, and the member becomes one of Zip64
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(stream, kept, allow_pickle=False)


def load(path: Path, kind: str, version: int) -> tuple[dict[str, Any], Arrays]:
    """Read a file of format `kind` -> (meta, arrays).

    Raises: EspikeError where the file is missing, no npz, of another format or of a later version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Arrays = {name: file[name] for name in file.files}
        meta = json.loads(bytes(arrays.pop("meta")))
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror or error}", where=str(path)) from None
    except UNREADABLE:
        raise EspikeError(f"is no {kind} file", where=str(path), do="espike writes these as .npz") from None
    if not isinstance(meta, dict) or meta.get("format") != kind:
        found = meta.get("format") if isinstance(meta, dict) else None
        raise EspikeError(f"is a {found or 'foreign'} file, not a {kind}", where=str(path))
    if not isinstance(meta.get("version"), int) or meta["version"] > version:
        raise EspikeError(
            f"{kind} version {meta.get('version')} is later than {version}", where=str(path), do="update espike"
        )
    return meta, arrays


def take(arrays: Arrays, name: str, dtype: str, count: int | None, where: str) -> NDArray[Any]:
    """One array of a loaded file, checked for presence, dtype and length (None: any).

    Raises: EspikeError naming the array.
    """
    array = arrays.get(name)
    if array is None:
        raise EspikeError(f"array {name} is missing", where=where)
    if array.dtype != np.dtype(dtype) or array.ndim != 1:
        raise EspikeError(f"array {name} is {array.dtype} {array.shape}, expected {dtype} (n,)", where=where)
    if count is not None and len(array) != count:
        raise EspikeError(f"array {name} has {len(array)} entries, expected {count}", where=where)
    return array
