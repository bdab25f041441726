"""frames -> segment -> frames: the C core against a slow writer and a slow reader made from docs/segment.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import slow_segment
from numpy.typing import NDArray
from segment_streams import TEMPERS, bounds, frames, policy, streams, write
from slow_segment_writer import Refused, SlowWriter

try:
    from espike_sim.core import ffi, lib
    from espike_sim.segment import WIDTHS, Kind, Policy, Segment, Writer, decode, encode, encode_sets, split
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

RELATIVE = {8: 0.008, 7: 0.016, 5: 0.065, 3: 0.30}
"""Largest error of a frame over its largest magnitude."""
INT32 = np.iinfo(np.int32)


def any_frames(rng: np.random.Generator, count: int) -> list[int]:
    """Some frames of a segment, in no order."""
    return [int(frame) for frame in rng.integers(0, count, min(count, 6))]


# What is written is what the page says


def test_segments_are_those_of_the_slow_writer() -> None:
    """Scales, codes and where each segment begins, under any policy: carried scales, hysteresis, refusals."""
    begun = refused = floats = 0
    for stream in (*streams(1, 240), *streams(2, 360, odd=True)):
        slow = SlowWriter(stream.frames.shape[1], stream.policy)
        for frame in stream.frames:
            try:
                slow.push(frame)
            except Refused:
                refused += 1
        slow.flush()
        made = [data for data, _ in write(stream.frames, stream.policy)]
        assert len(made) == len(slow.closed), stream
        for data, wanted in zip(made, slow.closed, strict=True):
            begun += 1
            floats += wanted.float_scales
            if stream.policy.version == 1:
                assert data == wanted.version_1(stream.policy.group_len), stream
            else:
                segment = Segment(data)
                assert (segment.bits, segment.float_scales) == (wanted.bits, wanted.float_scales), stream
                assert segment.bounded == stream.policy.headroom
                assert segment.scales.tolist() == wanted.scales, stream
                assert (segment.integers() + (1 << segment.bits - 1) - 1).tolist() == wanted.rows, stream
    assert min(begun - 600, refused, floats) > 100, "streams that drift, some that binary16 cannot hold"


def test_segments_decode_as_the_slow_reader_does() -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for stream in (*streams(4, 80, length=40), *streams(5, 80, length=40, odd=True)):
        for data, held in write(stream.frames, stream.policy):
            segment, slow = Segment(data), slow_segment.read(data)
            seen.add((segment.version, segment.bits, segment.float_scales))
            values = segment.decode()
            assert (segment.byte_count, segment.frames) == (slow.size, len(held)) == (len(data), slow.frame_count)
            assert values.tobytes() == slow.values().tobytes(), stream
            assert segment.integers().tolist() == slow.rows()
            for frame in any_frames(rng, segment.frames):
                assert segment.decode(frame, frame + 1).tobytes() == values[frame].tobytes()
                assert slow.values(frame, frame + 1).tobytes() == values[frame].tobytes()
    assert len(seen) == 12


@pytest.mark.parametrize("block_frames", [1, 2, 7, 99, 100, 101, 65535])
def test_one_reader_goes_back_and_forth(block_frames: int) -> None:
    """Frames in any order by one reader, in and out of blocks, are those read in order."""
    rng = np.random.default_rng(6)
    walk = np.cumsum(rng.integers(-3, 4, size=(100, 50)), axis=0)
    how = Policy(version=2, low_q8=0, drift_q8=(65535,) * 3, block_frames=block_frames)
    segments = [Segment(encode(walk.astype(np.float32), how, bits=8)[0])]
    segments.append(Segment(encode(walk, how, kind="integers")[0]))
    segments.append(Segment(encode_sets([np.flatnonzero(row > 0) for row in walk], 50, how)[0]))
    segments.append(Segment(encode(walk.astype(np.float32), Policy(low_q8=0, drift_q8=(65535,) * 3), bits=7)[0]))
    for segment in segments:
        assert segment.frames == 100
        reader, out = segment._reader(), np.zeros(50, np.uint32)
        pointer = ffi.cast("void *", out.ctypes.data)
        read = lib.spk_segment_read_set if segment.kind == "sets" else lib.spk_segment_read
        wanted = []
        for frame in range(100):
            assert read(reader, frame, pointer) >= 0
            wanted.append(out.tobytes())
        order = [3, 5, 6, 8, 0, 99, 98, 99, 1, 2, 4, 4, *rng.integers(0, 100, 60).tolist(), *range(0, 100, 3)]
        for frame in order:
            assert read(reader, frame, pointer) >= 0
            assert out.tobytes() == wanted[frame], frame
        if segment.kind != "sets":
            for start, stop in np.sort(rng.integers(0, 101, (6, 2)), axis=1).tolist():
                assert segment.decode(start, stop).tobytes() == b"".join(wanted[start:stop])


# Kinds that lose nothing


def integer_streams(rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Random, near extremes so that residuals wrap, walking, constant, alternating between the ends."""
    made = []
    for i in range(40):
        shape = int(rng.integers(1, 20)), int(rng.choice([1, 2, 31, 33, 70]))
        any_bits = rng.integers(INT32.min, INT32.max, shape, endpoint=True) >> int(rng.integers(0, 33))
        walk = np.cumsum(rng.integers(-(1 << i % 31), 1 << i % 31, shape), axis=0)
        ends = rng.choice([INT32.min, INT32.max, INT32.min + 1, 0, -1, 1], shape)
        made += [(any_bits, walk, ends, np.full(shape, INT32.min))[i % 4].astype(np.int64).astype(np.int32)]
    return made


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_integers_lose_nothing(dtype: type) -> None:
    rng = np.random.default_rng(7)
    for array in integer_streams(rng):
        given: NDArray[np.integer] = array.astype(dtype)
        how = Policy(version=2, block_frames=int(rng.integers(1, 9)))
        made = encode(given, how, kind="integers")
        segments = [Segment(data) for data in made]
        assert np.concatenate([segment.integers() for segment in segments]).tolist() == given.tolist()
        assert decode(made).tobytes() == given.astype(np.float32).tobytes()
        if given.size < 200:
            assert [row for data in made for row in slow_segment.read(data).rows()] == given.tolist()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 1000])
def test_sets_lose_nothing(length: int) -> None:
    rng = np.random.default_rng(length)
    shares = [0, 1, 0, 0.5, 0.5, 0.02, 0.02, 0.97, 1, 1 / 16, 0, *rng.random(6) ** 3]
    given = [np.flatnonzero(rng.random(length) < share) for share in shares]
    given += [given[-1], np.array([0]), np.array([length - 1]), np.arange(0, length, 2)]
    for block_frames in (1, 5, 128):
        (data,) = encode_sets(given, length, Policy(version=2, block_frames=block_frames))
        segment = Segment(data)
        wanted = [ids.tolist() for ids in given]
        assert [ids.tolist() for ids in segment.sets()] == wanted
        assert slow_segment.read(data).rows() == wanted
        for frame in any_frames(rng, len(given)):
            assert segment.sets(frame, frame + 1)[0].tolist() == wanted[frame]


def test_noise_costs_hardly_more_than_plain_bits() -> None:
    """What cannot be compressed is stored plainly, and read back so."""
    rng = np.random.default_rng(8)
    words = rng.integers(INT32.min, INT32.max, (50, 64), endpoint=True).astype(np.int32)
    sets = [np.flatnonzero(rng.random(512) < 0.5) for _ in range(50)]
    (data,) = encode(words, Policy(version=2), kind="integers")
    (set_data,) = encode_sets(sets, 512)
    assert len(data) < 4 * words.size * 1.01 + 60
    assert len(set_data) < 50 * 64 * 1.05 + 60
    assert slow_segment.read(data).rows() == words.tolist()
    assert slow_segment.read(set_data).rows() == [ids.tolist() for ids in sets]


def test_silence_costs_next_to_nothing_and_is_still_believed() -> None:
    """A reader refuses more than 8192 values a byte: no writer comes near."""
    for kind, version_2 in (("quantized", encode), ("integers", encode)):
        how = Policy(version=2, block_frames=65535)
        (data,) = version_2(np.ones((3000, 512), np.int16), how, kind=kind)  # type: ignore[arg-type]
        segment = Segment(data)
        assert segment.data == data
        assert segment.integers(2999).max() > 0
        assert segment.frames * 512 / len(data) > 4000
    (data,) = encode_sets([np.arange(4)] * 100_000, 50, Policy(version=2, block_frames=65535))
    assert len(Segment(data).sets(99_999)[0]) == 4


# The bound


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bits", WIDTHS)
def test_bound_holds_for_every_value(version: int, bits: int) -> None:
    """The default policy over frames of every temper; the error relative to a frame's maximum, too."""
    rng = np.random.default_rng(10 * bits + version)
    worst, judged = 0.0, 0
    for temper in TEMPERS:
        for count, length in ((1, 1), (40, 1), (60, 17), (40, 64), (25, 200), (8, 1031)):
            given = frames(rng, temper, count, length)
            for data, held in write(given, policy(rng, version, bits, length)):
                error, finite = errors(data, held)
                assert np.all(error[finite] <= np.broadcast_to(bounds(Segment(data)), error.shape)[finite]), temper
                assert not np.any(Segment(data).decode()[~finite]), "what is not finite counts as 0"
                most = np.max(np.abs(np.where(finite, held, 0)), axis=1).astype(np.float64)
                clear = most >= 2.0**-120
                if np.any(clear):
                    worst = max(worst, float(np.max(np.max(error, axis=1)[clear] / most[clear])))
                    judged += int(np.sum(clear))
    assert RELATIVE[bits] / 2 < worst < RELATIVE[bits]
    assert judged > 500


def errors(data: bytes, held: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """|value - decoded| in float64, 0 where the value is not finite; where it is."""
    finite = np.isfinite(held)
    error = np.abs(np.where(finite, held, 0).astype(np.float64) - Segment(data).decode())
    return np.where(finite, error, 0), finite


@pytest.mark.parametrize("version", [1, 2])
def test_bound_holds_under_any_policy(version: int) -> None:
    """Hysteresis, drift, no lower limit: with headroom the bound is the scale's; without, up to the clamp."""
    clamped = 0
    for stream in streams(30 + version, 400, odd=True):
        if stream.policy.version != version:
            continue
        for data, held in write(stream.frames, stream.policy):
            segment = Segment(data)
            error, finite = errors(data, held)
            limit = np.broadcast_to(bounds(segment), error.shape)
            if not stream.policy.headroom:
                full = bounds(segment) / 0.5001 * ((1 << segment.bits - 1) - 1)
                finite &= np.abs(held) <= full
                clamped += int(np.sum(~finite))
            assert np.all(error[finite] <= limit[finite]), stream
    assert clamped > 100


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("headroom", [True, False])
def test_measured_errors_are_the_true_ones(version: int, headroom: bool) -> None:
    rng = np.random.default_rng(9)
    for temper, length in (("noise", 300), ("jumps", 64), ("walk", 33), ("mixed", 70), ("steps", 5)):
        how = Policy(version=version, measure_frames=1, headroom=headroom, hysteresis_frames=1 if headroom else 3)
        given = frames(rng, temper, 40, length)
        given[rng.random(given.shape) < 0.02] = np.nan
        writer = Writer(length, how.fixed(5))
        closed = [writer.push(frame) for frame in given]
        parts = [data for data in (*closed, writer.flush()) if data is not None]
        values = np.where(np.isfinite(given), given, 0).astype(np.float64)
        error = values - decode(parts)
        assert writer.max_error == pytest.approx(np.max(np.abs(error)), rel=1e-4)
        assert writer.rms_error == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)


def test_huge_values_are_measured_too() -> None:
    """Errors whose squares pass binary32 are infinite, never NaN."""
    for scale in (1e19, 1e21, 1e25, 1e38):
        writer = Writer(3, Policy(version=2, measure_frames=1).fixed(8))
        writer.push(np.array([1, 0.3, 0], np.float32) * np.float32(scale))
        assert writer.rms_error > 0
        assert writer.max_error > 0


# Integers as input


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_integers_yield_the_bytes_of_floats(version: int, dtype: type) -> None:
    rng = np.random.default_rng(version)
    ends = np.iinfo(dtype)
    for bits in WIDTHS:
        for length in (1, 7, 64, 513):
            wide = rng.integers(ends.min, ends.max, (30, length), endpoint=True)
            given: NDArray[np.integer] = (wide >> rng.integers(0, 8, (30, 1))).astype(dtype)
            given[rng.integers(0, 30), 0] = ends.min
            how = policy(rng, version, bits, length)
            assert encode(given, how) == encode(given.astype(np.float32), how) == encode(given.astype(np.int64), how)


# Sizes


def test_version_1_takes_exactly_its_bytes() -> None:
    """BUDGETS.md: segment_ratio_b*_100 and _1."""
    rng = np.random.default_rng(0)
    steady = np.tile(rng.normal(size=512), (100, 1)).astype(np.float32)
    for bits, hundred, one in ((8, 3.99, 3.7), (7, 4.56, 4.2), (5, 6.38, 5.8), (3, 10.6, 9.0)):
        (data,) = encode(steady, bits=bits)
        assert len(data) == 26 + 2 * 8 + 100 * 64 * bits
        assert Segment(data).ratio == 100 * 512 * 4 / len(data) >= hundred
        (data,) = encode(steady[:1], Policy(group_len=256), bits=bits)
        assert len(data) == 26 + 2 * 2 + 64 * bits
        assert Segment(data).ratio == 512 * 4 / len(data) >= one


def test_segments_lie_back_to_back() -> None:
    rng = np.random.default_rng(11)
    kinds: list[tuple[Kind, bytes]] = []
    for i in range(12):
        given = rng.integers(-99, 99, (5, 20)).astype(np.int16)
        kinds.append(("quantized", encode(given, Policy(version=1 + i % 2), bits=8)[0]))
        kinds.append(("integers", encode(given, Policy(version=2), kind="integers")[0]))
        kinds.append(("sets", encode_sets([np.flatnonzero(row > 0) for row in given], 20)[0]))
    whole = b"".join(data for _, data in kinds)
    parts = list(split(whole))
    assert [(part.kind, part.data) for part in parts] == kinds
    slow, at = [], 0
    while at < len(whole):
        slow.append(slow_segment.read(whole[at:]))
        at += slow[-1].size
    assert [part.size for part in slow] == [part.byte_count for part in parts]
    assert list(split(b"")) == []


def test_example_of_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "segment.md").read_text()
    lines = re.findall(r"^    00[0-9a-f]0  ((?:[0-9a-f]{2} ?)+)", page, re.MULTILINE)
    data = bytes.fromhex(" ".join(lines))
    given = np.array([[0.5, -1, 0.25], [0.55, -0.9, 0]], np.float32)
    made = [encode(given, Policy(version=version, group_len=3), bits=8)[0] for version in (1, 2)]
    assert b"".join(made) == data
    for example in made:
        slow = slow_segment.read(example)
        assert slow.scales.astype(np.float16).view(np.uint16).tolist() == [0x2071]
        assert [[value + 127 for value in row] for row in slow.rows()] == [[185, 12, 156], [190, 23, 127]]
