"""segments -> segment store: one SQLite file, searched by time, re-tiered by use; also what a recording is.

A segment's key is `tensor_id:start:end`, its tags are tier, bits and frames. Times are integers such as burst numbers.
One store object belongs to one thread; any number of programs may read while one writes.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espike_sim import npzfile
from espike_sim.errors import EspikeError
from espike_sim.segment import F32, I32, KINDS, TIERS, U32, Kind, Policy, Segment, encode

from .segment_file import ATTACHMENTS, LINEAGE, SEGMENTS, SOURCES, TENSORS, Mode, SegmentFile
from .segment_rows import (
    I64,
    Ancestor,
    Attachment,
    Retiered,
    Sizes,
    Stored,
    Tensor,
    TensorSize,
    csv_head,
    csv_lines,
    from_json,
    inflate,
    pack_times,
    read_key,
    read_stored,
    read_tensor,
    tier_of,
    to_json,
    unpack_times,
)

if TYPE_CHECKING:
    from .segment_repair import Problem, Repair

Values = F32 | I32 | list[U32]

TIME_MOST = 1 << 62
"""Times lie in -TIME_MOST .. TIME_MOST."""
_SOURCE_TYPES = ("float32", "int32", "int16", "int8")


class SegmentStore:
    """Segments in one file. What `append` or the end of a `batch` returned survives a loss of power.

    mode: read (never changes the file, so counts no accesses), write (makes it where it is missing), new (refuses one
    that is there). timeout_s: how long to wait for another program that is writing.
    Raises: EspikeError, here and from every method, where the file is missing, foreign, damaged, locked or full.
    """

    def __init__(self, path: Path | str, mode: Mode = "read", *, timeout_s: float = 5.0) -> None:
        self.path = Path(path)
        self._file = SegmentFile(self.path, mode, timeout_s)
        self._known: dict[str, tuple[Kind, int, Policy]] = {}

    def __enter__(self) -> SegmentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def forget(self) -> None:
        """Read the tensors anew when they are needed."""
        self._known.clear()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Group changes: on the disk together when it ends, none of them where it raises."""
        try:
            with self._file.transaction():
                yield
        except BaseException:
            self.forget()  # a tensor that was added is gone again
            raise

    # tensors

    def add(self, tensor: Tensor) -> None:
        """Declare a tensor; the same again is fine. Raises: EspikeError where it differs from the one there."""
        _check_tensor(tensor)
        with self._file.transaction():
            present = self._tensors("WHERE tensor_id = ?", tensor.tensor_id)
            if present and present[0] != tensor:
                raise EspikeError(f"tensor {tensor.tensor_id} is there, with other properties", where=str(self.path))
            if not present:
                row = vars(tensor) | {"meta": to_json(tensor.meta), "policy": to_json(asdict(tensor.policy))}
                self._file.insert(TENSORS, row)

    def tensors(self) -> list[Tensor]:
        """All tensors, by id."""
        return self._tensors("ORDER BY tensor_id")

    def tensor(self, tensor_id: str) -> Tensor:
        """One tensor. Raises: EspikeError where it is not there."""
        found = self._tensors("WHERE tensor_id = ?", tensor_id)
        if not found:
            raise EspikeError(f"tensor {tensor_id} is not there", where=str(self.path))
        return found[0]

    def _tensors(self, condition: str, *values: Any) -> list[Tensor]:
        rows = self._file.rows(f"SELECT {TENSORS.names} FROM tensors {condition}", *values)
        return [read_tensor(TENSORS.row(row), str(self.path)) for row in rows]

    # writing

    def append(
        self, tensor_id: str, start: int, data: bytes, timestamps: ArrayLike | None = None, *,
        tier: str | None = None, source: ArrayLike | None = None,
    ) -> str:  # fmt: skip
        """Store one segment -> its key. It is on the disk when this returns, or when the batch around it ends.

        start: time of its first frame. timestamps: int64 (frames,), ascending; None: consecutive from `start`.
        tier: hot, warm or cold; None: the hottest whose width by the tensor's policy is not above the segment's.
        source: float32, int32, int16 or int8 (frames, tensor_len), the frames as they were; kept for `retier`.
        Raises: EspikeError where the segment is damaged, is not of this tensor, or overlaps what is there.
        """
        where = f"{self.path}: {tensor_id}"
        kind, tensor_len, policy = self._expected(tensor_id)
        segment = Segment(data, where)
        _check_segment(segment, len(data), kind, tensor_len, where)
        times = _times(start, timestamps, segment.frames, where)
        if tier is not None and (tier not in TIERS or kind != "quantized"):
            raise EspikeError(f"tier {tier} is none of a {kind} tensor", where=where, do="use " + ", ".join(TIERS))
        if kind == "quantized" and tier is None:
            tier = tier_of(policy, segment.bits)
        raw = None if source is None else _source(source, segment, where)
        with self._file.transaction():
            return self._insert(tensor_id, times, segment, tier, source=raw)

    def _expected(self, tensor_id: str) -> tuple[Kind, int, Policy]:
        """Kind and length never change, a policy by this object alone."""
        if tensor_id not in self._known:
            tensor = self.tensor(tensor_id)
            self._known[tensor_id] = tensor.kind, tensor.tensor_len, tensor.policy
        return self._known[tensor_id]

    def _insert(
        self, tensor_id: str, times: I64, segment: Segment, tier: str | None, *, source: NDArray[Any] | None = None,
        parent: int | None = None, requantized: bool = False,
    ) -> str:  # fmt: skip
        first, last = int(times[0]), int(times[-1])
        key = f"{tensor_id}:{first}:{last}"
        there = self._next(tensor_id, first, 'tensor_id, start, "end"')
        if there is not None and there[1] <= last:
            raise EspikeError(f"{key} overlaps {':'.join(map(str, there))}", where=str(self.path))
        row = {"tensor_id": tensor_id, "start": first, "end": last, "frames": segment.frames, "gaps": pack_times(times)}
        self._file.insert(
            SEGMENTS,
            row | {
                "tier": tier, "bits": segment.bits, "version": segment.version, "requantized": int(requantized),
                "parent": parent, "bytes": segment.data,
            },
        )  # fmt: skip
        if source is not None:
            packed = zlib.compress(source.astype(source.dtype.newbyteorder("<")).tobytes(), 1)
            self._file.insert(SOURCES, row | {"dtype": source.dtype.name, "bytes": packed})
        return key

    # reading

    def query(
        self, tensor_id: str, start: int | None = None, stop: int | None = None, *, touch: bool = True,
        now: int | None = None,
    ) -> Iterator[Stored]:  # fmt: skip
        """Segments that hold times of start .. stop - 1 (None: from the first, to the last), in order of time.

        touch: counts as one access at `now`, where the store is open for writing.
        """
        self._expected(tensor_id)
        if touch:
            self.touch(tensor_id, now)
        return self._walk(tensor_id, start, stop)

    def frames(
        self, tensor_id: str, start: int | None = None, stop: int | None = None, *, touch: bool = True,
        now: int | None = None,
    ) -> tuple[I64, Values]:  # fmt: skip
        """Frames of times start .. stop - 1 -> their times, int64 (frames,), and values; only these are decoded.

        Values: float32 (frames, tensor_len) of quantized, int32 of integers, of sets uint32 (ids,) per frame.
        """
        kind, tensor_len, _ = self._expected(tensor_id)
        found = self.query(tensor_id, start, stop, touch=touch, now=now)
        parts = [_decode(stored, kind, start, stop) for stored in found]
        try:
            times = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
            if kind == "sets":
                return times, [ids for part in parts for ids in part[1]]
            dtype = np.float32 if kind == "quantized" else np.int32
            return times, np.concatenate([np.zeros((0, tensor_len), dtype), *(part[1] for part in parts)])
        except MemoryError:
            raise EspikeError("these frames do not fit memory", where=f"{self.path}: {tensor_id}") from None

    def segment(self, key: str) -> Stored:
        """The segment of a key; no access is counted. Raises: EspikeError where it is not there."""
        tensor_id, start, end = read_key(key, str(self.path))
        rows = self._file.rows(
            f'SELECT {SEGMENTS.names} FROM segments WHERE tensor_id = ? AND start = ? AND "end" = ?',
            tensor_id,
            start,
            end,
        )
        if not rows:
            raise EspikeError(f"segment {key} is not there", where=str(self.path))
        return self._stored(rows[0])

    def _walk(self, tensor_id: str, start: int | None, stop: int | None) -> Iterator[Stored]:
        """One look-up a segment, so that no transaction stays open and another program may re-tier meanwhile."""
        at = -TIME_MOST if start is None else max(start, -TIME_MOST)
        stop = TIME_MOST + 1 if stop is None else stop
        while at < stop:
            row = self._next(tensor_id, min(at, TIME_MOST), SEGMENTS.names)
            if row is None or row[2] >= stop:
                return
            stored = self._stored(row)
            at = stored.end + 1
            # The range may end in a hole between two frames: such a segment holds none of it.
            if start is None or stored.gaps is None or _holds(stored.timestamps, start, stop):
                yield stored

    def _next(self, tensor_id: str, at: int, columns: str) -> tuple[Any, ...] | None:
        """The first segment that ends at `at` or later: two steps in the index, as segments do not overlap."""
        rows = self._file.rows(
            f"SELECT {columns} FROM segments WHERE tensor_id = ?1 AND start >= coalesce((SELECT start FROM segments "
            'WHERE tensor_id = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1), ?2) AND "end" >= ?2 '
            "ORDER BY start LIMIT 1",
            tensor_id, at,
        )  # fmt: skip
        return rows[0] if rows else None

    def _stored(self, values: tuple[Any, ...]) -> Stored:
        row = SEGMENTS.row(values)
        stored = read_stored(row, str(self.path))
        if not SEGMENTS.is_sound(row):
            raise EspikeError(
                "segment is damaged: its checksum does not match", where=stored.where, do="repair the store"
            )
        return stored

    # accesses and tiers

    def touch(self, tensor_id: str, now: int | None = None) -> None:
        """Count an access. Nothing where the store is open for reading; a loss of power may undo it."""
        if self._file.mode != "read":
            self._file.run_lightly(
                "UPDATE tensors SET access_count = min(access_count + 1, 4294967295), last_access = ? "
                "WHERE tensor_id = ?", _moment(now), tensor_id,
            )  # fmt: skip

    def retier(
        self, tensor_id: str | None = None, *, now: int | None = None, policy: Policy | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Retiered]:  # fmt: skip
        """Give the segments of a tensor (None: of all) the tier of its score -> what was done, in order.

        policy: becomes the tensor's; None: the one it has. A segment is due whose tier or width is another. From its
        source it is coded as `encode` codes these frames by themselves. Without one, fewer bits are coded from the
        decoded values and marked requantized, and more bits are refused, as they would claim what the data does not
        have: bits and tier stay as they are, and `kept` says so. Lossless kinds are never touched. Each segment is one
        transaction, unless a batch is around them all. progress: (done, due) of the tensor at hand.
        """
        moment = _moment(now)
        out = []
        for tensor in self.tensors() if tensor_id is None else [self.tensor(tensor_id)]:
            if tensor.kind != "quantized":
                continue
            if policy is not None and policy != tensor.policy:
                tensor = self._set_policy(tensor, policy)
            tier = tensor.tier(moment)
            due = self._file.rows(
                "SELECT id FROM segments WHERE tensor_id = ? AND (tier IS NOT ? OR bits != ?) ORDER BY start",
                tensor.tensor_id, TIERS[tier], tensor.policy.bits[tier],
            )  # fmt: skip
            for done, (number,) in enumerate(due):
                with self._file.transaction():
                    rows = self._file.rows(f"SELECT {SEGMENTS.names} FROM segments WHERE id = ?", number)
                    out += [self._retier(row, tensor.policy, tier, moment) for row in rows]
                if progress is not None:
                    progress(done + 1, len(due))
        if any(item.bits != item.bits_before for item in out):
            self._file.give_back()
        return out

    def _set_policy(self, tensor: Tensor, policy: Policy) -> Tensor:
        policy.tier(0)  # refuses what is out of range
        with self._file.transaction():
            text = to_json(asdict(policy))
            rows = self._file.rows(f"SELECT {TENSORS.names} FROM tensors WHERE tensor_id = ?", tensor.tensor_id)
            seal = TENSORS.seal(TENSORS.row(rows[0]) | {"policy": text})
            sql = "UPDATE tensors SET policy = ?, crc32 = ? WHERE tensor_id = ?"
            self._file.run(sql, text, seal, tensor.tensor_id)
        self._known.pop(tensor.tensor_id, None)
        return self.tensor(tensor.tensor_id)

    def _retier(self, row: tuple[Any, ...], policy: Policy, tier: int, now: int) -> Retiered:
        old = read_stored(SEGMENTS.row(row), str(self.path))
        name, bits = TIERS[tier], policy.bits[tier]
        kept = Retiered(old.key, name, old.bits, old.bits, (old.key,), old.requantized)
        if old.bits == bits:
            self._file.run("UPDATE segments SET tier = ? WHERE id = ?", name, old.id)
            return kept
        try:
            self._stored(row)
            values = self.source(old)
            if values is None and bits > old.bits:
                return replace(kept, kept=f"{bits} bits need the source, which is not kept")
            pieces = _code(old, values, policy, bits)
        except EspikeError as error:
            return replace(kept, kept=error.what)
        keys = self.replace(old, pieces, name, now, requantized=values is None)
        return Retiered(old.key, name, old.bits, bits, keys, values is None)

    def recode(
        self, old: Stored, values: NDArray[Any], policy: Policy, bits: int, tier: str, now: int
    ) -> tuple[str, ...]:
        """Code a segment again from its source and put that in its place -> keys. Raises: EspikeError, nothing done."""
        return self.replace(old, _code(old, values, policy, bits), tier, now, requantized=False)

    def replace(
        self, old: Stored, pieces: Sequence[Segment], tier: str, now: int, *, requantized: bool
    ) -> tuple[str, ...]:
        """Put segments of the same frames in the place of one, whose tags go to the lineage -> keys."""
        cuts = np.cumsum([piece.frames for piece in pieces])[:-1]
        times = np.split(old.timestamps, cuts)
        row = {name: getattr(old, name) for name in LINEAGE.columns if hasattr(old, name)}
        row |= {"requantized": int(old.requantized), "byte_count": len(old.data), "replaced_at": now}
        with self._file.transaction():
            self._file.run("DELETE FROM segments WHERE id = ?", old.id)
            self._file.insert(LINEAGE, row)
            return tuple(
                self._insert(old.tensor_id, part, piece, tier, parent=old.id, requantized=requantized)
                for part, piece in zip(times, pieces, strict=True)
            )

    def lineage(self, key: str) -> list[Ancestor]:
        """A segment and those it was made from, the youngest first."""
        now = self.segment(key)
        shared = {name: getattr(now, name) for name in LINEAGE.columns if hasattr(now, name)}
        chain = [Ancestor(**shared, byte_count=len(now.data), replaced_at=None)]
        while (parent := chain[-1].parent) is not None and parent < chain[-1].id:
            rows = self._file.rows(f"SELECT {LINEAGE.names} FROM lineage WHERE id = ?", parent)
            if not rows:
                break
            row = LINEAGE.row(rows[0])
            del row["crc32"]
            chain.append(Ancestor(**row | {"requantized": bool(row["requantized"])}))
        return chain

    # sources

    def source(self, stored: Stored) -> NDArray[Any] | None:
        """The frames as they were, float32, int32, int16 or int8 (frames, tensor_len); None: they are not kept.

        Raises: EspikeError where they are damaged.
        """
        rows = self._file.rows(
            f"SELECT {SOURCES.names} FROM sources WHERE tensor_id = ? AND start <= ? ORDER BY start DESC LIMIT 1",
            stored.tensor_id, stored.start,
        )  # fmt: skip
        if not rows or rows[0][3] < stored.end:
            return None
        row = SOURCES.row(rows[0])
        where = f"{self.path}: source of {stored.key}"
        if not SOURCES.is_sound(row):
            raise EspikeError("is damaged: its checksum does not match", where=where, do="repair the store")
        times = unpack_times(row["start"], row["end"], row["frames"], row["gaps"], where)
        tensor_len = self._expected(stored.tensor_id)[1]
        dtype = np.dtype(row["dtype"]).newbyteorder("<")
        raw = inflate(row["bytes"], row["frames"] * tensor_len * dtype.itemsize, where)
        values = np.frombuffer(raw, dtype).reshape(-1, tensor_len).astype(row["dtype"], copy=False)
        at = np.searchsorted(times, stored.timestamps)
        if not np.array_equal(times[at], stored.timestamps):
            return None
        found: NDArray[Any] = values[at]
        return found

    def drop_source(self, tensor_id: str | None = None, start: int | None = None, stop: int | None = None) -> int:
        """Drop the sources that lie within start .. stop - 1 (None: no limit) -> bytes that they took."""
        condition = 'WHERE (?1 IS NULL OR tensor_id = ?1) AND start >= ?2 AND "end" < ?3'
        values = tensor_id, -TIME_MOST if start is None else start, TIME_MOST + 1 if stop is None else stop
        with self._file.transaction():
            rows = self._file.rows(f"SELECT total(length(bytes)) FROM sources {condition}", *values)
            self._file.run(f"DELETE FROM sources {condition}", *values)
        self._file.give_back()
        return int(rows[0][0])

    # attachments

    def attach(self, name: str, data: bytes, meta: Mapping[str, Any] | None = None) -> None:
        """Keep a file (image, stimulus) beside the segments; one of the same name is replaced."""
        _check_name(name, "an attachment's name")
        row = {"name": name, "meta": to_json(meta or {}), "bytes": data}
        with self._file.transaction():
            self._file.run("DELETE FROM attachments WHERE name = ?", name)
            self._file.insert(ATTACHMENTS, row)

    def attachment(self, name: str) -> Attachment:
        """One attachment. Raises: EspikeError where it is not there, or damaged."""
        rows = self._file.rows(f"SELECT {ATTACHMENTS.names} FROM attachments WHERE name = ?", name)
        where = f"{self.path}: attachment {name}"
        if not rows:
            raise EspikeError("is not there", where=where)
        row = ATTACHMENTS.row(rows[0])
        if not ATTACHMENTS.is_sound(row):
            raise EspikeError("is damaged: its checksum does not match", where=where)
        return Attachment(name, row["bytes"], from_json(row["meta"], where))

    def attachments(self) -> list[str]:
        """Names of all attachments, in order."""
        return [str(row[0]) for row in self._file.rows("SELECT name FROM attachments ORDER BY name")]

    # the whole

    def export_npz(
        self, path: Path, tensor_ids: Sequence[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> None:
        """Frames of some tensors (None: all) as one npz file, format `tensors`; no access is counted.

        Members of tensor x: x.timestamps int64 (frames,) and x.values float32 or int32 (frames, tensor_len); of sets
        x.start int64 (frames + 1,) and x.ids uint32 (ids,), frame i holding ids[start[i]:start[i + 1]].
        """
        arrays: npzfile.Arrays = {}
        chosen = self.tensors() if tensor_ids is None else [self.tensor(name) for name in tensor_ids]
        for tensor in chosen:
            name = tensor.tensor_id
            arrays[f"{name}.timestamps"], values = self.frames(name, start, stop, touch=False)
            if isinstance(values, list):
                ends = np.cumsum([0, *(len(ids) for ids in values)], dtype=np.int64)
                arrays |= {f"{name}.start": ends, f"{name}.ids": np.concatenate([np.zeros(0, np.uint32), *values])}
            else:
                arrays[f"{name}.values"] = values
        told = [
            {"tensor_id": t.tensor_id, "kind": t.kind, "tensor_len": t.tensor_len, "meta": dict(t.meta),
             "producer": t.producer, "source_hash": t.source_hash}
            for t in chosen
        ]  # fmt: skip
        npzfile.save(path, {"format": "tensors", "version": 1, "tensors": told}, arrays)

    def export_csv(self, path: Path, tensor_id: str, start: int | None = None, stop: int | None = None) -> None:
        """Frames of one tensor as CSV: timestamp, then its values; of sets timestamp, id per row. No access counts."""
        kind, tensor_len, _ = self._expected(tensor_id)
        with npzfile.whole(path) as file:
            file.write(csv_head(kind, tensor_len))
            for stored in self._walk(tensor_id, start, stop):
                file.writelines(csv_lines(*_decode(stored, kind, start, stop)))

    def sizes(self) -> Sizes:
        """Bytes of the file and of each tensor; sets are decoded to count them."""
        sources = dict(self._file.rows("SELECT tensor_id, sum(length(bytes)) FROM sources GROUP BY tensor_id"))
        counts = {
            row[0]: row[1:]
            for row in self._file.rows(
                "SELECT tensor_id, count(*), sum(frames), sum(length(bytes)) FROM segments GROUP BY tensor_id"
            )
        }
        tensors = []
        for tensor in self.tensors():
            name = tensor.tensor_id
            segments, frames, byte_count = counts.get(name, (0, 0, 0))
            raw = 4 * frames * tensor.tensor_len
            if tensor.kind == "sets":
                raw = sum(stored.segment().raw_bytes for stored in self._walk(name, None, None))
            tensors.append(TensorSize(name, segments, frames, byte_count, sources.get(name, 0), raw))
        attached = self._file.rows("SELECT total(length(bytes)) FROM attachments")[0][0]
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        total = sum(file.stat().st_size for file in files if file.exists())
        return Sizes(total, int(attached), tuple(tensors))

    def check(self) -> list[Problem]:
        """All that is wrong with the file; nothing is changed."""
        from .segment_repair import check

        return check(self._file)

    def repair(self) -> Repair:
        """Mend damaged rows: `segment_repair.repair`, which says how."""
        from .segment_repair import repair

        return repair(self, self._file)


def _code(old: Stored, values: NDArray[Any] | None, policy: Policy, bits: int) -> list[Segment]:
    """Frames (None: as decoded) as segments of a width; of version 2 where it was: version 1 may not hold it."""
    frames = old.segment().decode() if values is None else values
    chosen = replace(policy, version=max(policy.version, old.version))
    return [Segment(data, old.where) for data in encode(frames, chosen, bits=bits)]


def _decode(stored: Stored, kind: Kind, start: int | None, stop: int | None) -> tuple[I64, Any]:
    times = stored.timestamps
    low = 0 if start is None else int(np.searchsorted(times, start))
    high = len(times) if stop is None else int(np.searchsorted(times, stop))
    segment = stored.segment()
    if segment.frames != len(times) or segment.kind != kind:
        raise EspikeError("the tags do not agree with the bytes", where=stored.where, do="repair the store")
    read = {"quantized": segment.decode, "integers": segment.integers, "sets": segment.sets}[kind]
    return times[low:high], read(low, max(low, high))


def _holds(times: I64, start: int, stop: int) -> bool:
    at = int(np.searchsorted(times, start))
    return at < len(times) and int(times[at]) < stop


def _times(start: int, timestamps: ArrayLike | None, frames: int, where: str) -> I64:
    if not -TIME_MOST <= start <= TIME_MOST - frames:
        raise EspikeError(f"time {start} is out of range", where=where)
    if timestamps is None:
        return np.arange(start, start + frames, dtype=np.int64)
    given = np.asarray(timestamps)
    if given.shape != (frames,) or given.dtype.kind not in "iu":
        raise EspikeError(f"timestamps are {given.dtype} {given.shape}, expected integers ({frames},)", where=where)
    if int(given[-1]) > TIME_MOST or int(given[0]) != start or np.any(given[1:] <= given[:-1]):
        raise EspikeError(f"timestamps must ascend from {start}", where=where)
    return given.astype(np.int64)


def _source(source: ArrayLike, segment: Segment, where: str) -> NDArray[Any]:
    array = np.asarray(source)
    if segment.kind != "quantized":
        raise EspikeError(f"{segment.kind} are exact and need no source", where=where)
    if array.dtype.name not in _SOURCE_TYPES or array.shape != (segment.frames, segment.tensor_len):
        raise EspikeError(
            f"the source is {array.dtype} {array.shape}, expected ({segment.frames}, {segment.tensor_len}) of "
            f"{', '.join(_SOURCE_TYPES)}", where=where,
        )  # fmt: skip
    return array


def _check_segment(segment: Segment, byte_count: int, kind: Kind, tensor_len: int, where: str) -> None:
    if segment.byte_count != byte_count:
        raise EspikeError(
            f"{byte_count - segment.byte_count} bytes follow the segment", where=where, do="append one at a time"
        )
    if (segment.kind, segment.tensor_len) != (kind, tensor_len):
        raise EspikeError(
            f"a segment of {segment.kind} of length {segment.tensor_len}, expected {kind} of {tensor_len}", where=where
        )
    if not segment.frames:
        raise EspikeError("a segment without frames", where=where)


def _check_tensor(tensor: Tensor) -> None:
    _check_name(tensor.tensor_id, "a tensor's id")
    if tensor.kind not in KINDS:
        raise EspikeError(f"{tensor.kind!r} is no kind of segment", do="use " + ", ".join(KINDS))
    if not 1 <= tensor.tensor_len < 1 << 32:
        raise EspikeError(f"frames of {tensor.tensor_len} values", where=tensor.tensor_id)
    tensor.policy.tier(0)


def _check_name(name: str, what: str) -> None:
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise EspikeError(f"{what} is 1 to 200 printable characters", where=repr(name[:40]))


def _moment(now: int | None) -> int:
    return (int(time.time()) if now is None else now) & 0xFFFFFFFF
