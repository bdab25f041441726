"""key -> integers: draws that are the same on every machine, and examples in an order drawn from a key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


def digest(*key: str | int) -> int:
    """A number of 128 bits of a key: keys that differ anywhere begin streams that do not meet."""
    return int.from_bytes(sha256(json.dumps(key).encode()).digest()[:16], "little")


class Draws:
    """Integers from PCG64 (O'Neill, HMC-CS-2014-0905), by its raw words alone, which no version of numpy changes."""

    def __init__(self, *key: str | int) -> None:
        self._source = np.random.PCG64(digest(*key))

    def below(self, high: int, *shape: int) -> I64:
        """int64 of a shape, 0 .. high - 1, high up to 2^31: the upper half of a word times high, over 2^32."""
        words = np.asarray(self._source.random_raw(int(np.prod(shape))), np.uint64).reshape(shape)
        return ((words >> np.uint64(32)) * np.uint64(high) >> np.uint64(32)).astype(np.int64)

    def one(self, high: int) -> int:
        """One integer of 0 .. high - 1."""
        return int(self.below(high, 1)[0])

    def near(self, most: int, *shape: int) -> I64:
        """int64 of a shape, -most .. most, small ones more often: the difference of two draws."""
        return self.below(most + 1, *shape) - self.below(most + 1, *shape)


def mixed(label: I64, *key: str | int) -> I64:
    """int64 (n,): an order in which each class is shuffled, and classes take turns as long as they last."""
    shuffled = np.argsort(Draws(*key).below(1 << 31, len(label)), kind="stable")
    turn = np.zeros(len(label), np.int64)
    for one in np.unique(label):
        own = shuffled[label[shuffled] == one]
        turn[own] = np.arange(len(own))
    return np.lexsort((label, turn))


def split_off(label: I64, share: Sequence[int]) -> tuple[I64, I64]:
    """Indices (kept, split off): of each class the last of every `share[1]`, `share[0]` of them, in their order."""
    off = np.zeros(len(label), np.bool_)
    for one in np.unique(label):
        own = np.flatnonzero(label == one)
        off[own[np.arange(len(own)) % share[1] >= share[1] - share[0]]] = True
    return np.flatnonzero(~off), np.flatnonzero(off)
