"""frames -> bytes and error, codec by codec: the segment versions beside compressors that are installed."""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espike_sim.segment import Policy, ScaleError, decode, encode

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]
Progress = Callable[[int, int], None]

WIDTHS = (8, 5, 3)
_ROWS = 4096


@dataclass(frozen=True)
class Row:
    """One codec on one set of frames."""

    codec: str
    bits: int
    bytes: int
    ratio: float
    """4 bytes a value over bytes."""
    error: float
    """Largest |value - decoded| over the largest |value| of the frame, in the worst frame."""


def relative_error(frames: F32, decoded: F32) -> float:
    """Largest error of a frame over its largest magnitude, in the worst frame; frames of zeros count where they err."""
    worst = 0.0
    for i in range(0, len(frames), _ROWS):
        exact = frames[i : i + _ROWS].astype(np.float64)
        miss, most = np.abs(exact - decoded[i : i + _ROWS]).max(axis=1), np.abs(exact).max(axis=1)
        of_each = np.divide(miss, most, out=np.where(miss > 0, np.inf, 0.0), where=most > 0)
        worst = max(worst, float(of_each.max()))
    return worst


def quantize(frames: F32, bits: int, group_len: int) -> tuple[I8, F32]:
    """Codes with one scale per group for all frames, and their values: what the peers are given."""
    qmax = 2 ** (bits - 1) - 1
    channels = np.abs(frames).max(axis=0)
    groups = [slice(i, i + group_len) for i in range(0, len(channels), group_len)]
    scale = np.concatenate([np.full(len(channels[g]), channels[g].max() / qmax) for g in groups])
    scale[scale == 0] = 1
    codes = np.clip(np.rint(frames / scale), -qmax, qmax).astype(np.int8)
    return codes, (codes * scale).astype(np.float32)


def _zstd(level: int) -> Callable[[bytes], int]:
    compressor = importlib.import_module("zstandard").ZstdCompressor(level=level)
    return lambda data: len(compressor.compress(data))


def _lz4() -> Callable[[bytes], int]:
    frame = importlib.import_module("lz4.frame")
    return lambda data: len(frame.compress(data))


def _heatshrink() -> Callable[[bytes], int]:
    heatshrink = importlib.import_module("heatshrink2")
    return lambda data: len(heatshrink.compress(data, window_sz2=8, lookahead_sz2=4))


def _pcodec(codes: I8) -> int:
    standalone = importlib.import_module("pcodec.standalone")
    config = importlib.import_module("pcodec").ChunkConfig(compression_level=8)
    return sum(len(standalone.simple_compress(np.ascontiguousarray(column), config)) for column in _blocks(codes))


def _blocks(codes: I8) -> Iterator[NDArray[np.int16]]:
    yield np.ascontiguousarray(codes.T).astype(np.int16).reshape(-1)  # channel after channel


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def compare(frames: F32, group_len: int, widths: Sequence[int] = WIDTHS, progress: Progress | None = None) -> list[Row]:
    """Every codec at each width. Peers get codes of one scale per group for all frames (they bound no error
    themselves), as such and as differences to the frame before, and the better of the two counts.
    """
    rows: list[Row] = []
    for done, bits in enumerate(widths):
        for version in (1, 2):
            try:
                made = encode(frames, Policy(version=version, group_len=group_len), bits=bits)
            except ScaleError:
                continue  # version 1 cannot hold these
            error = relative_error(frames, decode(made))
            rows.append(_row(f"segment {version}", bits, frames, sum(map(len, made)), error))
        codes, values = quantize(frames, bits, group_len)
        error = relative_error(frames, values)
        delta = np.diff(codes.astype(np.int16), axis=0, prepend=np.zeros((1, codes.shape[1]), np.int16))
        wrapped = delta.astype(np.int8)
        for name, size in _peers():
            rows.append(_row(name, bits, frames, min(size(codes.tobytes()), size(wrapped.tobytes())), error))
        if _has("pcodec"):
            rows.append(_row("q + pcodec", bits, frames, _pcodec(codes), error))
        if progress is not None:
            progress(done + 1, len(widths))
    return rows


def _peers() -> Iterator[tuple[str, Callable[[bytes], int]]]:
    """Compressors of bytes that are installed; zlib always is."""
    yield "q + zlib-6", lambda data: len(zlib.compress(data, 6))
    if _has("zstandard"):
        yield "q + zstd-1", _zstd(1)
        yield "q + zstd-19", _zstd(19)
    if _has("lz4"):
        yield "q + lz4", _lz4()
    if _has("heatshrink2"):
        yield "q + heatshrink", _heatshrink()


def _row(codec: str, bits: int, frames: F32, size: int, error: float) -> Row:
    return Row(codec, bits, size, 4 * frames.size / size, error)
