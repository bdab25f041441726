"""files of numbers <-> frames: .npy, .npz and .csv; docs/npz.md, frames."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from espike_sim import npzfile
from espike_sim.errors import EspikeError

from .segment_io import PIECE_BYTES, Frames, Values
from .segment_rows import I64, csv_head, csv_lines

Progress = Callable[[int, int], None]
"""(done, all)"""
Pieces = Iterator[tuple[I64, Values]]

SUFFIXES = (".npz", ".npy", ".csv")
_META = {"format": "frames", "version": 1}


def load_frames(path: Path, name: str | None = None) -> NDArray[Any]:
    """A .npy, .npz (array `name`; else `values`, or the only one) or .csv file -> (frames, values).

    One-dimensional arrays are frames of one value. CSV: a head line is skipped, and the column under `timestamp`; whole
    numbers are int64, others float32. Raises: EspikeError where it is none of these, or no numbers.
    """
    where = str(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is told of in one line, not two
            array = _read(path, name, where)
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror or error}", where=where) from None
    except npzfile.UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].split(";")[0]
        raise EspikeError(f"is no table of numbers ({why})", where=where) from None
    except MemoryError:
        raise EspikeError("says that it holds more than fits memory", where=where) from None
    if array.dtype.kind not in "fiub":
        raise EspikeError(f"holds {array.dtype}, not numbers", where=where)
    if array.ndim == 0 or array.size == 0:
        raise EspikeError("holds no frame", where=where)
    return array.reshape(len(array), -1)


def _read(path: Path, name: str | None, where: str) -> NDArray[Any]:
    if path.suffix == ".csv":
        return _read_csv(path)
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"\x93NUMPY"):
        # Mapped: a file larger than memory is read as it is used.
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    if not head.startswith(b"PK"):
        raise EspikeError("is no .npy, .npz or .csv file", where=where)
    with np.load(path, allow_pickle=False) as loaded:
        names = [key for key in loaded.files if key != "meta"]
        if name is None:
            name = "values" if "values" in names else names[0] if len(names) == 1 else None
        if name is None:
            do = f"--array: {', '.join(names)}" if names else ""
            raise EspikeError(f"holds {len(names) or 'no'} arrays", where=where, do=do)
        if name not in names:
            raise EspikeError(f"holds no array {name}", where=where, do="it has " + ", ".join(names))
        return np.asarray(loaded[name])


def _read_csv(path: Path) -> NDArray[Any]:
    with path.open(encoding="utf-8-sig") as file:
        first = [cell.strip() for cell in file.readline().split(",")]
    has_head = "timestamp" in first or not any(map(_is_number, first))
    columns = [i for i, cell in enumerate(first) if cell != "timestamp"] if has_head else None
    table = np.loadtxt(
        path, np.float64, delimiter=",", skiprows=int(has_head), usecols=columns, ndmin=2, encoding="utf-8-sig"
    )
    whole = table.astype(np.int64)
    is_whole = np.array_equal(whole, table) and bool(np.all(np.abs(table) < 1 << 53))
    return whole if is_whole else table.astype(np.float32)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def count_odd(frames: NDArray[Any]) -> int:
    """Values that are not finite as float32: they would be coded as 0."""
    if frames.dtype.kind != "f":
        return 0
    step = max(1, PIECE_BYTES // (4 * frames.shape[1]))
    with np.errstate(over="ignore"):
        rows = (frames[i : i + step].astype(np.float32) for i in range(0, len(frames), step))
        return sum(int(np.count_nonzero(~np.isfinite(part))) for part in rows)


def finite(frames: NDArray[Any]) -> NDArray[np.float32]:
    """As they are coded: float32, what is not finite 0."""
    with np.errstate(over="ignore"):
        values = frames.astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(0))


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises: EspikeError where a file cannot be written there, before work is done for it."""
    if path.suffix not in suffixes:
        raise EspikeError(f"cannot write {path.suffix or 'a file without suffix'}", where=str(path),
                          do="use " + " or ".join(suffixes))  # fmt: skip
    if not path.parent.is_dir():
        raise EspikeError("cannot write: no such folder", where=str(path))


def save_frames(path: Path, frames: Frames, progress: Progress | None = None) -> None:
    """Decode into a file: .npy (values alone), .npz (times, values; of sets times, start, ids) or .csv, whole or not at
    all, some frames at a time. Raises: EspikeError.
    """
    check_output(path, SUFFIXES)
    if path.suffix == ".npy" and frames.kind == "sets":
        raise EspikeError("sets of ids are no table", where=str(path), do="use .npz or .csv")

    def pieces() -> Pieces:
        done = 0
        for times, values in frames.pieces():
            yield times, values
            done += len(times)
            if progress is not None:
                progress(done, frames.count)
        if done != frames.count:
            raise EspikeError("has changed while it was read", where=str(frames.path), do="try again")

    with npzfile.whole(path) as file:
        {".npy": _save_npy, ".npz": _save_npz, ".csv": _save_csv}[path.suffix](file, frames, pieces())


def _save_npy(file: Any, frames: Frames, pieces: Pieces, times: list[I64] | None = None) -> None:
    head = {
        "descr": "<f4" if frames.kind == "quantized" else "<i4", "fortran_order": False,
        "shape": (frames.count, frames.tensor_len),
    }  # fmt: skip
    np.lib.format.write_array_header_1_0(file, head)
    for at, values in pieces:
        file.write(np.ascontiguousarray(values).data)
        if times is not None:
            times.append(at)


def _save_npz(file: BinaryIO, frames: Frames, pieces: Pieces) -> None:
    times: list[I64] = []
    with zipfile.ZipFile(file, "w") as archive:
        _save_array(archive, "meta", np.frombuffer(json.dumps(_META, sort_keys=True).encode(), np.uint8))
        if frames.kind != "sets":
            with archive.open("values.npy", "w", force_zip64=True) as member:
                _save_npy(member, frames, pieces, times)
        else:
            ids: list[NDArray[np.uint32]] = []
            for at, sets in pieces:
                times.append(at)
                ids += sets
            ends = np.cumsum([0, *map(len, ids)], dtype=np.int64)
            _save_array(archive, "start", ends)
            _save_array(archive, "ids", np.concatenate(ids))
        _save_array(archive, "times", np.concatenate(times))


def _save_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _save_csv(file: BinaryIO, frames: Frames, pieces: Pieces) -> None:
    file.write(csv_head(frames.kind, frames.tensor_len))
    for times, values in pieces:
        file.writelines(csv_lines(times, values))
