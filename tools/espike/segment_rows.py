"""rows of a segment store <-> tensors, stored segments, times."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.segment import TIERS, Kind, Policy, Segment

from .link import varint
from .segment_file import SEGMENTS, TENSORS, Row

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Tensor:
    """A stream of frames that are alike: what they are and where they come from."""

    tensor_id: str
    kind: Kind
    tensor_len: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What JSON can say, by custom `unit` and `meaning`."""
    policy: Policy = field(default_factory=Policy)
    """How `retier` codes it."""
    producer: str = ""
    """Program, board or workflow that made the frames."""
    source_hash: str = ""
    """Hash of the network or file that they come from."""
    access_count: int = field(default=0, compare=False)
    last_access: int = field(default=0, compare=False)
    """uint32, wall clock seconds unless callers count otherwise."""

    def tier(self, now: int) -> int:
        """Index into `TIERS` that its accesses have earned."""
        return self.policy.tier(self.policy.score(self.access_count, self.last_access, now))


@dataclass(frozen=True)
class Stored:
    """A segment as stored, its checksum verified."""

    id: int
    tensor_id: str
    start: int
    end: int
    """Time of the last frame."""
    tier: str | None
    """hot, warm or cold; None where the kind is lossless."""
    bits: int
    frames: int
    version: int
    requantized: bool
    """Coded from decoded values: its bound is about these, not about the original ones."""
    parent: int | None
    """Id of the segment that it was made from; `SegmentStore.lineage` tells."""
    gaps: bytes | None
    data: bytes
    where: str

    @property
    def key(self) -> str:
        """tensor_id:start:end."""
        return f"{self.tensor_id}:{self.start}:{self.end}"

    @cached_property
    def timestamps(self) -> I64:
        """int64 (frames,): ascending. Raises: EspikeError where they do not fit the key."""
        return unpack_times(self.start, self.end, self.frames, self.gaps, self.where)

    def segment(self) -> Segment:
        """The segment. Raises: EspikeError where its bytes are damaged."""
        return Segment(self.data, self.where)


@dataclass(frozen=True)
class Ancestor:
    """One link of a segment's chain."""

    id: int
    tensor_id: str
    start: int
    end: int
    tier: str | None
    bits: int
    frames: int
    version: int
    requantized: bool
    parent: int | None
    byte_count: int
    replaced_at: int | None
    """None: it is the one stored now."""


@dataclass(frozen=True)
class Retiered:
    """What `retier` did with one segment."""

    key: str
    tier: str
    """The tier that the tensor's score asks for."""
    bits_before: int
    bits: int
    keys: tuple[str, ...]
    """What stands in its place: values that drift may need several segments."""
    requantized: bool
    kept: str = ""
    """Why the segment was left as it is."""


@dataclass(frozen=True)
class Attachment:
    """A file kept beside the segments."""

    name: str
    data: bytes
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class TensorSize:
    """Bytes of one tensor."""

    tensor_id: str
    segments: int
    frames: int
    segment_bytes: int
    source_bytes: int
    raw_bytes: int
    """4 a value, in sets 4 an id."""

    @property
    def ratio(self) -> float:
        """Raw bytes over segment bytes."""
        return self.raw_bytes / self.segment_bytes if self.segment_bytes else 0.0


@dataclass(frozen=True)
class Sizes:
    """Bytes of a store."""

    file_bytes: int
    """With the write-ahead log."""
    attachment_bytes: int
    tensors: tuple[TensorSize, ...]

    @property
    def segment_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(tensor.segment_bytes for tensor in self.tensors)

    @property
    def ratio(self) -> float:
        """Raw bytes over segment bytes of all tensors."""
        return sum(t.raw_bytes for t in self.tensors) / self.segment_bytes if self.segment_bytes else 0.0


def read_key(key: str, where: str) -> tuple[str, int, int]:
    """tensor_id:start:end -> its parts; the id may hold colons."""
    try:
        tensor_id, start, end = key.rsplit(":", 2)
        return tensor_id, int(start), int(end)
    except ValueError:
        raise EspikeError(f"{key!r} is no key", where=where, do="a key is tensor_id:start:end") from None


def tier_of(policy: Policy, bits: int) -> str:
    """The hottest tier whose width is not above `bits`; else cold."""
    return next((TIERS[i] for i, width in enumerate(policy.bits) if width <= bits), TIERS[-1])


def pack_times(times: I64) -> bytes | None:
    """int64 (frames,), ascending -> zlib of a varint per step: the frames left out. None where they are consecutive."""
    holes = np.diff(times) - 1
    if not holes.any():
        return None
    return zlib.compress(b"".join(map(varint, holes.tolist())), 9)


def unpack_times(start: int, end: int, frames: int, gaps: bytes | None, where: str) -> I64:
    """The inverse, checked against the key. Raises: EspikeError where they do not fit."""
    wrong = EspikeError("the times of its frames are damaged", where=where, do="repair the store")
    if gaps is None:
        if end - start + 1 != frames:
            raise wrong
        return np.arange(start, end + 1, dtype=np.int64)
    times, step, shift = [start], 0, 0
    for byte in inflate(gaps, 10 * frames, where, exact=False):
        step |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            times.append(times[-1] + step + 1)
            step = shift = 0
    if shift or len(times) != frames or times[-1] != end:
        raise wrong
    return np.array(times, np.int64)


def csv_head(kind: Kind, tensor_len: int) -> bytes:
    """The first line of frames as CSV: timestamp, then the values; of sets an id."""
    return (",".join(["timestamp", *(["id"] if kind == "sets" else map(str, range(tensor_len)))]) + "\n").encode()


def csv_lines(times: I64, values: Any) -> Iterator[bytes]:
    """Frames as CSV: a line per frame, of sets per id; floats in the fewest digits that tell them apart."""
    for at, row in zip(times.tolist(), values, strict=True):
        cells = row.astype(str).tolist()
        if isinstance(values, list):
            yield "".join(f"{at},{cell}\n" for cell in cells).encode()
        else:
            yield f"{at},{','.join(cells)}\n".encode()


def read_tensor(row: Row, where: str) -> Tensor:
    """A row of `tensors`. Raises: EspikeError where it is damaged."""
    where = f"{where}: tensor {row['tensor_id']}"
    if not TENSORS.is_sound(row):
        raise EspikeError("is damaged: its checksum does not match", where=where, do="repair the store")
    fields: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in from_json(row["policy"], where).items()
    }
    try:
        policy = Policy(**fields)
    except TypeError:
        raise EspikeError("has a policy with unknown fields", where=where, do="update espike") from None
    rest: Row = {name: row[name] for name in ("tensor_id", "kind", "tensor_len", "producer", "source_hash")}
    counts: Row = {name: int(row[name]) & 0xFFFFFFFF for name in ("access_count", "last_access")}
    return Tensor(**rest, **counts, meta=from_json(row["meta"], where), policy=policy)


def read_stored(row: Row, where: str) -> Stored:
    """A row of `segments`, its checksum not yet looked at."""
    shared: Row = {name: row[name] for name in SEGMENTS.columns if name not in ("bytes", "crc32", "requantized")}
    where = f"{where}: {row['tensor_id']}:{row['start']}:{row['end']}"
    return Stored(**shared, requantized=bool(row["requantized"]), data=row["bytes"], where=where)


def inflate(data: bytes, most: int, where: str, *, exact: bool = True) -> bytes:
    """zlib bytes -> at most `most` of them, so that a damaged length cannot fill the memory."""
    try:
        out = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        raise EspikeError("is damaged: no zlib bytes", where=where, do="repair the store") from None
    if len(out) > most or (exact and len(out) != most):
        raise EspikeError("is damaged: another length than stated", where=where, do="repair the store")
    return out


def to_json(value: Mapping[str, Any]) -> str:
    """Canonical JSON of an object. Raises: EspikeError where it is none."""
    try:
        return json.dumps(dict(value), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EspikeError(f"meta is no JSON: {error}") from None


def from_json(text: str, where: str) -> dict[str, Any]:
    """The inverse. Raises: EspikeError where it is no object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EspikeError("is damaged: its meta is no JSON object", where=where, do="repair the store")
    return value
