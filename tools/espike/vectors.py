"""weights of dense rows -> a codebook of vectors, and the weights that its vectors make.

Vector quantization as in VPTQ (arXiv 2409.17066), without its weighting: 4 or 8 weights of a row become one of at most
256 vectors, which a byte names. All sums are of integers, so that every machine finds the same codebook.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .row_synapses import VECTORS_MOST

COUNTS = (256, 128, 64, 32, 16)
"""Sizes of codebooks, the finest first."""
SAMPLE_MOST = 1 << 16
"""Vectors that a codebook is fitted to."""
ROUNDS_MOST = 20
WEIGHT_MOST = 127
_UNIT = 16
"""Steps of a centroid per weight code."""
_BLOCK = 1 << 12

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def codebooks(weight: I64, width: int) -> dict[int, I64]:
    """Codebooks for weights (rows, columns), columns >= width: size of COUNTS -> int64 (up to size, width), ascending.

    Linde, Buzo and Gray (1980): one centroid, then again and again each is split along its cell's widest axis and all
    move to the means of their cells. Sizes that there are too few distinct vectors for are left out.
    """
    columns = weight.shape[1] - weight.shape[1] % width
    found = weight[:, :columns].reshape(-1, width)
    vectors, counts = np.unique(found[:: -(-len(found) // SAMPLE_MOST)], axis=0, return_counts=True)
    centroids = _means(vectors, counts, np.zeros(len(vectors), np.int64), np.zeros((1, width), np.int64))
    made: dict[int, I64] = {}
    for size in (1 << k for k in range(1, VECTORS_MOST.bit_length())):
        before = len(centroids)
        centroids = _settle(vectors, counts, _split(vectors, counts, centroids, size - before))
        if len(centroids) > before or not made:
            made[max(size, COUNTS[-1])] = _as_codes(centroids)
    return made


def _as_codes(centroids: I64) -> I64:
    return np.unique((centroids + _UNIT // 2) // _UNIT, axis=0).clip(-WEIGHT_MOST, WEIGHT_MOST)


def nearest(wanted: F64 | I64, book: F64 | I64) -> I64:
    """int64 (vectors,): which of the book's vectors is nearest, of several the first.

    wanted: (vectors, lanes); book: (size, width), of which the first `lanes` count.
    """
    lanes = book[:, : wanted.shape[1]].astype(np.float64)
    size = (lanes * lanes).sum(axis=1)
    blocks = (wanted[i : i + _BLOCK].astype(np.float64) for i in range(0, len(wanted), _BLOCK))
    return np.concatenate([np.zeros(0, np.int64), *((size - 2 * block @ lanes.T).argmin(axis=1) for block in blocks)])


def rounded(wanted: F64 | I64, book: I64) -> I64:
    """int64 (rows, columns): the wanted weights of rows as the book's vectors make them; the last one may be cut."""
    rows, columns = wanted.shape
    width = book.shape[1]
    whole = columns - columns % width
    made = book[nearest(wanted[:, :whole].reshape(-1, width), book)].reshape(rows, whole)
    if whole == columns:
        return made
    rest = wanted[:, whole:]
    return np.concatenate([made, book[nearest(rest, book), : rest.shape[1]]], axis=1)


def sqnr_db(weight: I64, made: I64) -> float:
    """Signal to quantization noise, dB; infinite where nothing changes."""
    noise = float(((made - weight) ** 2).sum())
    return float("inf") if not noise else 10 * float(np.log10(max(float((weight**2).sum()), 1.0) / noise))


def _means(vectors: I64, counts: I64, owner: I64, centroids: I64) -> I64:
    """The mean of each cell in steps of 1 / _UNIT, halves up; of an empty one what it was."""
    held = np.bincount(owner, weights=counts, minlength=len(centroids)).astype(np.int64)
    sums = [np.bincount(owner, weights=counts * lane, minlength=len(centroids)) for lane in vectors.T]
    total = np.stack(sums, axis=1).astype(np.int64)
    each = np.maximum(held, 1)[:, None]
    return np.where(held[:, None] > 0, (2 * _UNIT * total + each) // (2 * each), centroids)


def _settle(vectors: I64, counts: I64, centroids: I64) -> I64:
    """Lloyd's algorithm; centroids that own nothing are dropped."""
    scaled = _UNIT * vectors
    owner = np.full(len(vectors), -1, np.int64)
    for _ in range(ROUNDS_MOST):
        found = nearest(scaled, centroids)
        if np.array_equal(found, owner):
            break
        owner = found
        centroids = _means(vectors, counts, owner, centroids)
    return centroids[np.bincount(owner, minlength=len(centroids)) > 0]


def _split(vectors: I64, counts: I64, centroids: I64, most: int) -> I64:
    """Two for each of up to `most` centroids, those of the largest errors first.

    They lie a standard deviation of the cell from where the one was, on both sides along the cell's widest axis. A cell
    of one point stays.
    """
    owner = nearest(_UNIT * vectors, centroids)
    off = (_UNIT * vectors - centroids[owner]) ** 2
    spread = np.stack([np.bincount(owner, weights=counts * lane, minlength=len(centroids)) for lane in off.T], axis=1)
    held = np.maximum(np.bincount(owner, weights=counts, minlength=len(centroids)), 1)
    axis, cells = spread.argmax(axis=1), np.arange(len(centroids))
    step = np.zeros_like(centroids)
    step[cells, axis] = np.sqrt(spread[cells, axis] / held).astype(np.int64)
    worst = np.argsort(-spread.sum(axis=1), kind="stable")
    split = worst[step[worst].any(axis=1)][:most]
    return np.concatenate(
        [np.delete(centroids, split, axis=0), centroids[split] - step[split], centroids[split] + step[split]]
    )
