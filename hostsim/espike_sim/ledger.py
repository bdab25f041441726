"""fire queues -> fire ledger: who fired in each burst, and the state hashes; the common tongue of all engines."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import npzfile
from .connectome import Area
from .errors import EspikeError

FORMAT, VERSION = "ledger", 1

U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Ledger:
    """Fired neurons of consecutive bursts; those of the i-th burst are `ids[start[i]:start[i + 1]]`."""

    first_burst: int
    neurons: int
    start: I64  # (bursts + 1,)
    ids: U32  # (spikes,) ascending within a burst
    hashes: U32  # (bursts, 2) state hash after each burst
    potential_hashes: U32 | None = None  # (bursts, 2) the chain with potentials; None = was not kept
    network_hash: str = ""
    """`QuantizedConnectome.hash` of the network that fired."""

    @property
    def bursts(self) -> int:
        """Number of bursts."""
        return len(self.start) - 1

    @property
    def last_burst(self) -> int:
        """The last burst held; `first_burst - 1` where there is none."""
        return self.first_burst + self.bursts - 1

    @property
    def spikes(self) -> int:
        """Spikes of all bursts."""
        return len(self.ids)

    def fired(self, burst: int) -> U32:
        """uint32 (fired,): ids that fired in a burst, ascending. Raises: EspikeError where it is not held."""
        index = burst - self.first_burst
        if not 0 <= index < self.bursts:
            raise EspikeError(f"burst {burst} is not in the ledger, which holds {self.first_burst}..{self.last_burst}")
        return self.ids[self.start[index] : self.start[index + 1]]

    def counts(self) -> I64:
        """int64 (bursts,): spikes of each burst."""
        return np.diff(self.start)

    def burst_of_spike(self) -> I64:
        """int64 (spikes,): the burst of each entry of `ids`."""
        return np.repeat(np.arange(self.first_burst, self.first_burst + self.bursts, dtype=np.int64), self.counts())

    def __post_init__(self) -> None:
        _check(self, "ledger")


def from_queues(
    queues: Sequence[U32],
    *,
    first_burst: int,
    neurons: int,
    hashes: U32,
    potential_hashes: U32 | None = None,
    network_hash: str = "",
) -> Ledger:
    """The ledger of consecutive fire queues, each uint32 (fired,) ascending ids."""
    start = np.zeros(len(queues) + 1, np.int64)
    np.cumsum([len(queue) for queue in queues], out=start[1:])
    ids = np.concatenate([np.zeros(0, np.uint32), *queues]).astype(np.uint32, copy=False)
    return Ledger(first_burst, neurons, start, ids, hashes, potential_hashes, network_hash)


def concatenate(ledgers: Sequence[Ledger]) -> Ledger:
    """One ledger of several that follow each other; potential hashes only where all have them.

    Raises: EspikeError where they leave a gap, overlap or stem from different networks.
    """
    if not ledgers:
        raise EspikeError("no ledger to concatenate")
    first = ledgers[0]
    for before, after in pairwise(ledgers):
        if after.first_burst != before.last_burst + 1:
            raise EspikeError(f"a ledger that ends at burst {before.last_burst} is followed by {after.first_burst}")
        if (after.neurons, after.network_hash) != (first.neurons, first.network_hash):
            raise EspikeError("ledgers of different networks cannot be concatenated")
    tracked = [x.potential_hashes for x in ledgers if x.potential_hashes is not None]
    counts = np.concatenate([x.counts() for x in ledgers])
    return Ledger(
        first_burst=first.first_burst,
        neurons=first.neurons,
        start=np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))),
        ids=np.concatenate([x.ids for x in ledgers]),
        hashes=np.concatenate([x.hashes for x in ledgers]),
        potential_hashes=np.concatenate(tracked) if len(tracked) == len(ledgers) else None,
        network_hash=first.network_hash,
    )


@dataclass(frozen=True)
class SpikeDifference:
    """The first burst in which two ledgers differ, and the ids that fired in one of them only."""

    burst: int
    only_a: U32
    only_b: U32


def compare(a: Ledger, b: Ledger) -> SpikeDifference | None:
    """The first difference of who fired, or None. Hashes are not looked at.

    Raises: EspikeError where the ledgers hold different bursts or differ in the number of neurons.
    """
    if (a.first_burst, a.bursts) != (b.first_burst, b.bursts):
        ranges = f"{a.first_burst}..{a.last_burst} and {b.first_burst}..{b.last_burst}"
        raise EspikeError(f"ledgers hold different bursts ({ranges})", do="compare runs of equal length")
    if a.neurons != b.neurons:
        raise EspikeError(f"ledgers hold different networks ({a.neurons} and {b.neurons} neurons)")
    shared = min(a.spikes, b.spikes)
    differing = np.flatnonzero(a.ids[:shared] != b.ids[:shared])
    by_id = int(differing[0]) if differing.size else shared
    by_count = np.flatnonzero(a.start != b.start)
    index = a.bursts
    if by_count.size:
        index = int(by_count[0]) - 1
    if by_id < shared:
        index = min(index, int(np.searchsorted(a.start, by_id, side="right")) - 1)
    if index == a.bursts:
        return None
    burst = a.first_burst + index
    x, y = a.fired(burst), b.fired(burst)
    return SpikeDifference(burst, np.setdiff1d(x, y), np.setdiff1d(y, x))


def save(ledger: Ledger, path: Path) -> None:
    """Write a ledger file, whole or not at all; hashes lie flat. Raises: EspikeError where it cannot."""
    meta = {"format": FORMAT, "version": VERSION, "first_burst": ledger.first_burst, "neurons": ledger.neurons}
    meta["network_hash"] = ledger.network_hash
    arrays: npzfile.Arrays = {"start": ledger.start, "ids": ledger.ids, "hashes": ledger.hashes.reshape(-1)}
    if ledger.potential_hashes is not None:
        arrays["potential_hashes"] = ledger.potential_hashes.reshape(-1)
    npzfile.save(path, meta, arrays)


def load(path: Path) -> Ledger:
    """Read a ledger file. Raises: EspikeError saying what is wrong with it."""
    meta, arrays = npzfile.load(path, FORMAT, VERSION)
    where = str(path)
    try:
        first_burst, neurons = int(meta["first_burst"]), int(meta["neurons"])
        network_hash = str(meta["network_hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise EspikeError(f"meta is damaged ({error})", where=where) from None
    start = npzfile.take(arrays, "start", "<i8", None, where)
    ids = npzfile.take(arrays, "ids", "<u4", None, where)

    def chain(name: str) -> NDArray[Any]:
        return npzfile.take(arrays, name, "<u4", 2 * (len(start) - 1), where).reshape(-1, 2)

    potential_hashes = chain("potential_hashes") if "potential_hashes" in arrays else None
    try:
        return Ledger(first_burst, neurons, start, ids, chain("hashes"), potential_hashes, network_hash)
    except EspikeError as error:
        raise EspikeError(error.what, where=where) from None


def _check(ledger: Ledger, where: str) -> None:
    start, ids = ledger.start, ledger.ids
    if len(start) < 1 or start[0] != 0 or start[-1] != len(ids) or np.any(np.diff(start) < 0):
        raise EspikeError("burst starts do not fit the spikes", where=where)
    if len(ids) and int(ids.max()) >= ledger.neurons:
        raise EspikeError(f"neuron {int(ids.max())} fired, there are {ledger.neurons}", where=where)
    key = ledger.burst_of_spike() << 32 | ids
    if np.any(np.diff(key) <= 0):
        raise EspikeError("ids do not ascend within a burst", where=where)
    for chain in (ledger.hashes, ledger.potential_hashes):
        if chain is not None and chain.shape != (ledger.bursts, 2):
            raise EspikeError(f"hashes are {chain.shape}, expected ({ledger.bursts}, 2)", where=where)


class Window:
    """The sliding window of the fire ledger that plasticity reads: per tracked area the frames of its last bursts.

    A frame is the ids of the area that fired in a burst. Bursts must increase; bursts left out count as empty.
    """

    def __init__(self, areas: Sequence[Area]) -> None:
        self.areas = tuple(areas)
        self.burst = 0
        self._frames: dict[int, deque[U32]] = {}

    def track(self, area: int, depth_bursts: int) -> None:
        """Keep the last `depth_bursts` frames of an area (index). Begun after burst 0, all of them start empty.

        Raises: EspikeError where the area does not exist or is tracked, or the depth is below 1.
        """
        if not 0 <= area < len(self.areas):
            raise EspikeError(f"area {area} does not exist, there are {len(self.areas)}")
        if area in self._frames:
            raise EspikeError(f"area {self.areas[area].id} is tracked already", do="track it once, at its deepest")
        if depth_bursts < 1:
            raise EspikeError(f"area {self.areas[area].id} cannot be tracked for {depth_bursts} bursts")
        frames: deque[U32] = deque(maxlen=depth_bursts)
        if self.burst > 0:
            frames.extend([_EMPTY] * depth_bursts)
        self._frames[area] = frames

    def push(self, burst: int, ids: U32) -> None:
        """Archive a burst: uint32 (fired,) ascending ids of all areas. Raises: EspikeError where time stands still."""
        if burst <= self.burst:
            raise EspikeError(f"burst {burst} follows burst {self.burst}; bursts must increase")
        for index, frames in self._frames.items():
            area = self.areas[index]
            low, high = np.searchsorted(ids, [area.first, area.first + area.count])
            frames.extend([_EMPTY] * min(burst - self.burst - 1, frames.maxlen or 0))
            frames.append(ids[low:high].copy())
        self.burst = burst

    def frames(self, area: int, depth_bursts: int, last_burst: int | None = None) -> list[U32]:
        """Exactly `depth_bursts` frames of an area, oldest first, ending at `last_burst` (None: the latest).

        Raises: EspikeError where the area is not tracked, the window is not that deep, the burst lies in the
        future, or there is not that much history.
        """
        if area not in self._frames:
            raise EspikeError(f"area {area} is not tracked")
        frames, last = self._frames[area], self.burst if last_burst is None else last_burst
        where = f"area {self.areas[area].id}"
        if not 1 <= depth_bursts <= (frames.maxlen or 0):
            raise EspikeError(f"{depth_bursts} frames asked of a window of {frames.maxlen}", where=where)
        if last > self.burst:
            raise EspikeError(f"burst {last} lies in the future of burst {self.burst}", where=where)
        end = len(frames) - (self.burst - last)
        if end < depth_bursts:
            raise EspikeError(f"{depth_bursts} frames up to burst {last} are more than is held", where=where)
        return list(frames)[end - depth_bursts : end]


_EMPTY: U32 = np.zeros(0, np.uint32)
