"""frames -> segments -> frames: temporal tensor compression by the C core (docs/segment.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .core import error_name, ffi, lib
from .errors import EspikeError

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

Kind = Literal["quantized", "integers", "sets"]
KINDS: tuple[Kind, ...] = ("quantized", "integers", "sets")
WIDTHS = (3, 5, 7, 8)
TIERS = ("hot", "warm", "cold")

_TYPES = {np.dtype(np.float32): 0, np.dtype(np.int16): 1, np.dtype(np.int8): 2, np.dtype(np.int32): 3}
_BITMAP = 4
_MOST_BYTES = (1 << 32) - 1
_DEFAULT_BUFFER = 1 << 20


@dataclass(frozen=True)
class Policy:
    """How a stream is cut and coded. Three figures in a row are those of the hot, warm and cold tier."""

    bits: tuple[int, int, int] = (8, 7, 3)
    """3, 5, 7 or 8 each."""
    version: int = 1
    """2 adds the entropy code, lossless kinds and binary32 scales where binary16 fails."""
    group_len: int = 64
    """Values that share a scale."""
    drift_q8: tuple[int, int, int] = (26, 26, 26)
    """Growth that a segment takes, in 1/256 of its calibration."""
    low_q8: int = 143
    """A frame whose maximum is below low_q8/256 of full scale begins a new segment; 0 = never."""
    headroom: bool = True
    """Scales leave room for the drift and nothing is clamped. False: as the specification's text has it."""
    hysteresis_frames: int = 1
    """Frames in a row that must ask for a new segment before they get one."""
    measure_frames: int = 8
    """Every so many frames the error is measured; 1 = every frame, 0 = never."""
    hot_min_score: int = 512
    warm_min_score: int = 64
    block_frames: int = 128
    """Version 2: frames that are decoded from their first on."""

    @classmethod
    def plain(cls, **fields: Any) -> Policy:
        """The specification's text: growth within the drift is clamped, small frames stay."""
        return cls(**({"headroom": False, "low_q8": 0} | fields))

    def fixed(self, bits: int) -> Policy:
        """The same with one width for every tier."""
        return replace(self, bits=(bits, bits, bits))

    def score(self, access_count: int, last_access: int, now: int) -> int:
        """access_count * 1024 / age, as `spk_segment_score`; all uint32."""
        return int(lib.spk_segment_score(access_count, last_access & 0xFFFFFFFF, now & 0xFFFFFFFF))

    def tier(self, score: int) -> int:
        """Index into `TIERS` for a score."""
        return int(lib.spk_segment_tier(self._struct(), score))

    def _struct(self) -> Any:
        if self.version not in (1, 2):
            raise EspikeError(f"segment version {self.version} is not known", do="use 1 or 2")
        try:
            struct = ffi.new("spk_segment_policy_t *", {
                "coding": lib.spk_segment_version_2() if self.version == 2 else ffi.NULL, "group_len": self.group_len,
                "hot_min_score": self.hot_min_score, "warm_min_score": self.warm_min_score, "drift_q8": self.drift_q8,
                "low_q8": self.low_q8, "block_frames": self.block_frames, "bits": self.bits,
                "headroom": int(self.headroom), "hysteresis_frames": self.hysteresis_frames,
                "measure_frames": self.measure_frames,
            })  # fmt: skip
        except (OverflowError, TypeError, IndexError) as error:
            raise EspikeError(f"segment policy: {error}") from None
        if lib.spk_segment_policy_check(struct) < 0 or len(self.drift_q8) != 3:
            raise EspikeError(
                f"segment policy out of range: bits {self.bits} of {WIDTHS}, group_len {self.group_len} >= 1, "
                f"block_frames {self.block_frames} >= 1, hysteresis_frames {self.hysteresis_frames} >= 1, "
                f"(256 + drift_q8) * low_q8 <= 65000"
            )
        return struct


class Writer:
    """Compresses one stream, frame by frame.

    capacity: bytes of the segment buffer; a full buffer ends the segment. None: about 1 MiB, or what one frame takes.
    Raises: EspikeError where the arguments do not go together.
    """

    def __init__(
        self, tensor_len: int, policy: Policy | None = None, *, kind: Kind = "quantized", capacity: int | None = None,
        now: int = 0,
    ) -> None:  # fmt: skip
        self.policy, self.kind, self.tensor_len = policy or Policy(), kind, tensor_len
        self._struct = self.policy._struct()
        if kind not in KINDS:
            raise EspikeError(f"{kind!r} is no kind of segment", do="use " + ", ".join(KINDS))
        if kind != "quantized" and self.policy.version == 1:
            raise EspikeError(f"version 1 has no {kind}", do="use version 2")
        if not 1 <= tensor_len < 1 << 32:
            raise EspikeError(f"a frame of {tensor_len} values cannot be coded")
        code = KINDS.index(kind)
        one = int(lib.spk_segment_buffer_bytes(self._struct, code, tensor_len, 1))
        capacity = min(max(_DEFAULT_BUFFER, 4 * one), _MOST_BYTES) if capacity is None else capacity
        if not one <= capacity <= _MOST_BYTES:
            raise EspikeError(f"a segment buffer of {capacity} bytes does not hold a frame, which may take {one}")
        work = int(lib.spk_segment_work_bytes(self._struct, code, tensor_len))
        self._work = np.zeros((work + 7) // 8, np.uint64)
        self._buffer = np.empty(capacity, np.uint8)
        self._writer = ffi.new("spk_segment_writer_t *")
        self._detail = ffi.new("uint32_t *")
        error = lib.spk_segment_writer_init(
            self._writer, self._struct, code, tensor_len, ffi.cast("void *", self._work.ctypes.data), work,
            ffi.cast("uint8_t *", self._buffer.ctypes.data), capacity, now & 0xFFFFFFFF,
        )  # fmt: skip
        if error < 0:
            raise EspikeError(f"segment writer: {error_name(error)}")

    @property
    def frames(self) -> int:
        """Frames of the open segment."""
        return 0 if self._writer.state & lib.SPK_SEGMENT_CLOSED else int(self._writer.frame_count)

    @property
    def max_error(self) -> float:
        """Largest |value - decoded value| of the frames measured so far, finite values alone."""
        return math.sqrt(self._writer.max_square)

    @property
    def rms_error(self) -> float:
        """Root of the mean squared error of the frames measured so far."""
        return math.sqrt(self._writer.mean_square)

    @property
    def bits(self) -> int:
        """Width of the open segment."""
        return int(self._writer.bits)

    def touch(self, now: int) -> None:
        """Record an access: the stream's tier follows from how many there were and how old the last is."""
        lib.spk_segment_touch(self._writer, now & 0xFFFFFFFF)

    def set_access(self, access_count: int, last_access: int) -> None:
        """Set both figures."""
        lib.spk_segment_set_access(self._writer, access_count, last_access & 0xFFFFFFFF)

    def push(self, frame: ArrayLike, now: int = 0) -> bytes | None:
        """Add a frame: float32, int16, int8 (tensor_len,), int32 too for integers; ascending ids for sets.

        Returns the segment before it where the frame began a new one, else None. Raises: EspikeError, and the frame
        is not taken; ScaleError.closed is the segment that ended before it, which is given out there alone.
        """
        array, code = self._values(frame)
        pointer = ffi.cast("void *", array.ctypes.data)
        done = lib.spk_segment_push(self._writer, pointer, code, now & 0xFFFFFFFF, self._detail)
        closed = None
        if done == 0:
            closed = self.flush()
            done = lib.spk_segment_push(self._writer, pointer, code, now & 0xFFFFFFFF, self._detail)
        if done < 0:
            self._refuse(int(done), closed)
        return closed

    def flush(self) -> bytes | None:
        """End the open segment, also to recalibrate at once -> its bytes; None where no frame was open."""
        if self._writer.state & lib.SPK_SEGMENT_CLOSED:
            return None
        count = int(lib.spk_segment_close(self._writer))
        return self._buffer[:count].tobytes() if count else None

    def _values(self, frame: ArrayLike) -> tuple[NDArray[Any], int]:
        if self.kind == "sets":
            return _bitmap(np.asarray(frame), self.tensor_len), _BITMAP
        array = np.asarray(frame)
        if array.dtype not in _TYPES:
            array = _narrow(array, self.kind)
        if self.kind == "integers" and array.dtype == np.float32:
            raise EspikeError("floats cannot be kept as integers", do="round them, or use quantized")
        if self.kind == "quantized" and array.dtype == np.int32:
            array = array.astype(np.float32)
        if array.shape != (self.tensor_len,):
            raise EspikeError(f"a frame is {array.shape}, expected ({self.tensor_len},)")
        return np.ascontiguousarray(array), _TYPES[array.dtype]

    def _refuse(self, error: int, closed: bytes | None) -> None:
        detail = int(self._detail[0])
        if error == lib.SPK_ERROR_SCALE:
            raise ScaleError(detail, closed)
        raise EspikeError(f"the frame is not taken: {error_name(error)} ({detail})")


class ScaleError(EspikeError):
    """Version 1 cannot hold a group's scale in binary16. `closed`: the segment that ended before, if any."""

    def __init__(self, group: int, closed: bytes | None) -> None:
        super().__init__(f"binary16 cannot hold the scale of group {group}", do="use segment version 2")
        self.group, self.closed = group, closed


def _narrow(array: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Other numbers as float32, or as int32 where integers are to be kept."""
    if kind == "quantized" and array.dtype.kind in "fiub":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    if kind == "integers" and array.dtype.kind in "iub":
        wide = array.astype(np.int64)
        if array.size and (
            wide.min() < -(1 << 31) or wide.max() >= 1 << 31 or (array.dtype == np.uint64 and wide.min() < 0)
        ):
            raise EspikeError("an integer does not fit 32 bits")
        return wide.astype(np.int32)
    raise EspikeError(f"values of type {array.dtype} cannot be coded as {kind}")


def _bitmap(ids: NDArray[Any], tensor_len: int) -> U32:
    """Ascending ids below tensor_len -> uint32 words, id i in bit i % 32 of word i / 32."""
    flat = ids.reshape(-1).astype(np.int64) if ids.size == 0 or ids.dtype.kind in "iu" else np.array([-1])
    if len(flat) and (flat[0] < 0 or flat[-1] >= tensor_len or np.any(np.diff(flat) <= 0)):
        raise EspikeError(f"a set is ids that ascend, below {tensor_len}")
    bits = np.zeros((tensor_len + 31) // 32 * 32, np.uint8)
    bits[flat] = 1
    return np.packbits(bits, bitorder="little").view(np.uint32)


class Segment:
    """A checked segment. `data` may go on behind it; `byte_count` tells where it ends.

    version: 1 or 2. kind: quantized, integers or sets. bits: width of a code, 0 for the other kinds. group_len: values
    that share a scale. tensor_len: values of a frame, or limit of ids. frames: held. block_frames, bounded (nothing was
    clamped), float_scales: of version 2. Raises: EspikeError saying what is wrong and at which byte.
    """

    def __init__(self, data: bytes | bytearray | memoryview, where: str = "segment", offset: int = 0) -> None:
        self._data = np.frombuffer(data, np.uint8)[offset:]
        self._view = ffi.new("spk_segment_t *")
        at = ffi.new("uint32_t *")
        pointer = ffi.cast("uint8_t *", self._data.ctypes.data)
        error = lib.spk_segment_open(self._view, pointer, len(self._data), at)
        if error == lib.SPK_ERROR_VERSION:
            raise EspikeError(
                f"segment version {self._data[4]} is not known to this espike", where=where, do="update it"
            )
        if error == lib.SPK_ERROR_MAGIC:
            raise EspikeError(f"no segment begins at byte {offset}", where=where)
        if error < 0:
            raise EspikeError(f"segment is damaged at byte {offset + int(at[0])}: {error_name(error)}", where=where)
        self.where = where
        view = self._view
        self.version, self.bits, self.kind = int(view.version), int(view.bits), KINDS[view.kind]
        self.group_len, self.tensor_len, self.frames = int(view.group_len), int(view.tensor_len), int(view.frame_count)
        self.byte_count, self.block_frames = int(view.byte_count), int(view.block_frames)
        self.bounded, self.float_scales = bool(view.bounded), bool(view.float_scales)

    @property
    def data(self) -> bytes:
        """The segment's own bytes."""
        return self._data[: self.byte_count].tobytes()

    @property
    def ratio(self) -> float:
        """Bytes of the frames as float32 (quantized) or int32 over the segment's; sets: as 4 bytes an index."""
        return self.raw_bytes / self.byte_count

    @property
    def raw_bytes(self) -> int:
        """Bytes that the frames would take unpacked, 4 a value or index."""
        if self.kind == "sets":
            return 4 * sum(len(ids) for ids in self.sets())
        return 4 * self.frames * self.tensor_len

    @property
    def scales(self) -> F32:
        """float32 (groups,)."""
        return np.array([lib.spk_segment_scale(self._view, g) for g in range(self._view.scale_count)], np.float32)

    @property
    def bounds(self) -> F32:
        """float32 (groups,): |value - decoded value| that the scale of each group states."""
        return np.array([lib.spk_segment_bound(self._view, g) for g in range(self._view.scale_count)], np.float32)

    def decode(self, start: int = 0, stop: int | None = None) -> F32:
        """float32 (frames, tensor_len): values of frames start .. stop - 1. Raises: EspikeError (sets, bad codes)."""
        return self._read(start, stop, np.float32, lib.spk_segment_read, "float *")

    def integers(self, start: int = 0, stop: int | None = None) -> I32:
        """int32 (frames, tensor_len): integers as kept, or the codes of quantized frames."""
        return self._read(start, stop, np.int32, lib.spk_segment_read_integers, "int32_t *")

    def sets(self, start: int = 0, stop: int | None = None) -> list[U32]:
        """Ids of each frame, uint32 ascending."""
        reader = self._reader()
        words = np.zeros((self.tensor_len + 31) // 32, np.uint32)
        out = []
        for frame in self._range(start, stop):
            self._check(lib.spk_segment_read_set(reader, frame, ffi.cast("uint32_t *", words.ctypes.data)), frame)
            out.append(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).astype(np.uint32))
        return out

    def _range(self, start: int, stop: int | None) -> range:
        stop = self.frames if stop is None else stop
        if not 0 <= start <= stop <= self.frames:
            raise EspikeError(f"frames {start}..{stop} are not in a segment of {self.frames}", where=self.where)
        return range(start, stop)

    def _reader(self) -> Any:
        coding = lib.spk_segment_version_2()
        work = np.zeros((int(lib.spk_segment_reader_bytes(self._view, coding)) + 7) // 8, np.uint64)
        reader = ffi.new("spk_segment_reader_t *")
        pointer = ffi.cast("void *", work.ctypes.data)
        lib.spk_segment_reader_init(reader, self._view, coding, pointer, work.nbytes)
        self._work = work
        return reader

    def _read(self, start: int, stop: int | None, dtype: Any, read: Any, pointer: str) -> NDArray[Any]:
        frames = self._range(start, stop)
        reader = self._reader()
        try:
            out = np.empty((len(frames), self.tensor_len), dtype)
        except (MemoryError, ValueError):
            raise EspikeError(
                f"{len(frames)} frames of {self.tensor_len} values do not fit memory", where=self.where,
                do="decode fewer frames at a time",
            ) from None  # fmt: skip
        base = int(out.ctypes.data)
        for i, frame in enumerate(frames):
            self._check(read(reader, frame, ffi.cast(pointer, base + i * 4 * self.tensor_len)), frame)
        return out

    def _check(self, error: int, frame: int) -> None:
        if error == lib.SPK_ERROR_PARAMETER:
            raise EspikeError(f"a segment of {self.kind} cannot be read that way", where=self.where)
        if error < 0:
            raise EspikeError(f"frame {frame} is damaged: {error_name(error)}", where=self.where)


def split(data: bytes | bytearray | memoryview, where: str = "segments") -> Iterator[Segment]:
    """The segments that lie back to back in `data`. Raises: EspikeError at the first that is damaged."""
    offset = 0
    while offset < len(data):
        segment = Segment(data, where, offset)
        yield segment
        offset += segment.byte_count


def encode(frames: ArrayLike, policy: Policy | None = None, *, kind: Kind = "quantized", bits: int | None = None,
           capacity: int | None = None) -> list[bytes]:  # fmt: skip
    """Compress frames (frames, tensor_len) -> segments, in order; `bits` fixes the width (else the cold tier's).

    Raises: EspikeError where the values cannot be coded.
    """
    array = np.asarray(frames)
    if array.ndim != 2 or 0 in array.shape:
        raise EspikeError(f"frames are {array.shape}, expected (frames, tensor_len), neither 0")
    made = policy or Policy()
    made = made.fixed(bits) if bits is not None else made
    if capacity is None:
        most = len(array) * (4 * array.shape[1] + 16) + 8 * array.shape[1] + 1024
        capacity = max(_DEFAULT_BUFFER, min(most, 1 << 26))
    writer = Writer(array.shape[1], made, kind=kind, capacity=capacity)
    if array.dtype not in _TYPES:
        array = _narrow(array, kind)
    return _collect(writer, array)


def encode_sets(sets: Sequence[ArrayLike], tensor_len: int, policy: Policy | None = None) -> list[bytes]:
    """Compress sets of ascending ids below tensor_len, exactly -> segments of version 2."""
    writer = Writer(tensor_len, policy or Policy(version=2), kind="sets")
    return _collect(writer, sets)


def _collect(writer: Writer, frames: Any) -> list[bytes]:
    out = [closed for frame in frames if (closed := writer.push(frame)) is not None]
    last = writer.flush()
    return [*out, last] if last is not None else out


def decode(data: bytes | Sequence[bytes], where: str = "segments") -> F32:
    """float32 (frames, tensor_len): every frame of segments of one tensor. Raises: EspikeError."""
    whole = data if isinstance(data, bytes) else b"".join(data)
    parts = [segment.decode() for segment in split(whole, where)]
    if len({part.shape[1] for part in parts}) != 1:
        raise EspikeError("segments of frames of different length, or none", where=where)
    return np.concatenate(parts)
