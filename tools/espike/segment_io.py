"""files of segments and stores -> segments, with where they lie in time -> frames, a piece at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.segment import Kind, Policy, Segment, split

from .segment_rows import I64, Tensor
from .segment_store import SegmentStore

Values = Any
"""float32 or int32 (frames, tensor_len), or of sets a list of uint32 (ids,) per frame."""

PIECE_BYTES = 1 << 24
"""Decoded at once, where a block of frames does not take more."""
_SQLITE, _MAGIC = b"SQLite format 3\0", b"TQTC"


@dataclass(frozen=True)
class Part:
    """A segment of a file: `start` is the time of its first frame (a file of segments counts frames from 0)."""

    tensor_id: str
    start: int
    times: I64 | None
    """int64 (frames,); None: consecutive from `start`."""
    segment: Segment
    tier: str | None
    requantized: bool

    def within(self, start: int | None, stop: int | None) -> tuple[int, int]:
        """The frames whose times lie in start .. stop - 1, as first and behind the last."""
        count = self.segment.frames
        if self.times is not None:
            low, high = (None if t is None else int(np.searchsorted(self.times, t)) for t in (start, stop))
        else:
            low, high = (None if t is None else min(max(t - self.start, 0), count) for t in (start, stop))
        low, high = low or 0, count if high is None else high
        return low, max(low, high)

    def decode(self, low: int, high: int) -> tuple[I64, Values]:
        """Times and values of frames low .. high - 1."""
        s = self.segment
        read = {"quantized": s.decode, "integers": s.integers, "sets": s.sets}[s.kind]
        times = np.arange(low, high) + self.start if self.times is None else self.times[low:high]
        return times, read(low, high)


def is_store(path: Path) -> bool:
    """Is the file a segment store (or a recording, which is one)?"""
    return _head(path).startswith(_SQLITE)


def is_segments(path: Path) -> bool:
    """Does the file hold segments back to back?"""
    return _head(path).startswith(_MAGIC)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None


def parts(path: Path, tensor: str | None = None, start: int | None = None, stop: int | None = None) -> Iterator[Part]:
    """Every segment of a `.tqtc` file or a store, read one at a time; of a store those of one tensor where given, and
    those that hold times of start .. stop - 1.

    Raises: EspikeError where the file is neither, or at the segment that is damaged.
    """
    head = _head(path)
    if head.startswith(_SQLITE):
        with SegmentStore(path) as store:
            yield from _stored(store, tensor, start, stop)
        return
    if not head.startswith(_MAGIC):
        raise EspikeError("holds no segments", where=str(path), do="give a .tqtc file, a store or a recording")
    if tensor is not None:
        raise EspikeError("names no tensors", where=str(path), do="leave --tensor out")
    first = 0
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    for segment in split(data, str(path)):
        yield Part("", first, None, segment, None, False)
        first += segment.frames


def _stored(store: SegmentStore, tensor: str | None, start: int | None, stop: int | None) -> Iterator[Part]:
    names = [found.tensor_id for found in store.tensors()]
    if tensor is not None and tensor not in names:
        raise EspikeError(f"holds no tensor {tensor}", where=str(store.path), do=f"it has {', '.join(names) or 'none'}")
    for name in names if tensor is None else [tensor]:
        for stored in store.query(name, start, stop, touch=False):
            times = None if stored.gaps is None else stored.timestamps
            segment = stored.segment()
            if segment.frames != stored.frames:
                raise EspikeError("the tags do not agree with the bytes", where=stored.where, do="repair the store")
            yield Part(name, stored.start, times, segment, stored.tier, stored.requantized)


def keep(
    store: SegmentStore, tensor_id: str, segments: Sequence[Segment], start: int | None, source: NDArray[Any] | None
) -> list[str]:
    """Append segments that follow each other to a tensor, all or none -> their keys.

    The tensor is made where it is not there. start: time of the first frame, None: behind the tensor's last. source:
    the frames (frames, tensor_len) as they were. Raises: EspikeError where there is none or the store refuses one.
    """
    if not segments:
        raise EspikeError("there is no segment to keep", where=str(store.path))
    if tensor_id not in [tensor.tensor_id for tensor in store.tensors()]:
        first = segments[0]
        policy = Policy(version=first.version, group_len=first.group_len or 64)
        store.add(Tensor(tensor_id, first.kind, first.tensor_len, policy=policy, producer="espike segment keep"))
    if start is None:
        start = max((stored.end + 1 for stored in store.query(tensor_id, touch=False)), default=0)
    keys: list[str] = []
    done = 0
    with store.batch():
        for segment in segments:
            raw = None if source is None else source[done : done + segment.frames]
            keys.append(store.append(tensor_id, start + done, segment.data, source=raw))
            done += segment.frames
    return keys


@dataclass(frozen=True)
class Frames:
    """The frames of one tensor in a range of times, decoded as they are asked for."""

    path: Path
    tensor: str | None
    start: int | None
    stop: int | None
    kind: Kind
    tensor_len: int
    count: int

    def pieces(self) -> Iterator[tuple[I64, Values]]:
        """Times int64 (frames,) and values, some frames at a time, in order."""
        for part in parts(self.path, self.tensor, self.start, self.stop):
            low, high = part.within(self.start, self.stop)
            block = max(1, part.segment.block_frames)
            step = max(1, PIECE_BYTES // (4 * self.tensor_len * block)) * block
            while low < high:
                behind = min(high, (low // step + 1) * step)
                yield part.decode(low, behind)
                low = behind


def open_frames(path: Path, tensor: str | None = None, start: int | None = None, stop: int | None = None) -> Frames:
    """The frames of times start .. stop - 1 (None: from the first, to the last) in a `.tqtc` file or a store.

    Raises: EspikeError where there is none of them, or a store holds several tensors and none is named.
    """
    if tensor is None and is_store(path):
        with SegmentStore(path) as store:
            names = [found.tensor_id for found in store.tensors()]
        if len(names) != 1:
            do = f"--tensor: {', '.join(names)}" if names else ""
            raise EspikeError(f"holds {len(names) or 'no'} tensors", where=str(path), do=do)
    shapes: set[tuple[Kind, int]] = set()
    count = 0
    for part in parts(path, tensor, start, stop):
        low, high = part.within(start, stop)
        shapes.add((part.segment.kind, part.segment.tensor_len))
        count += high - low
    if len(shapes) > 1:
        raise EspikeError("holds segments of different tensors", where=str(path), do="decode them apart")
    if not count:
        raise EspikeError("holds no frame of these times", where=str(path), do="look at it: espike segment inspect")
    kind, tensor_len = shapes.pop()
    return Frames(path, tensor, start, stop, kind, tensor_len, count)
