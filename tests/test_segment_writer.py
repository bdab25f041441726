"""When a segment begins, grows and ends: each trigger, at exactly its frame; buffers, tiers, policies, refusals."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segment_programs
from numpy.typing import NDArray
from slow_segment_writer import SlowWriter

try:
    from espike_sim.core import ffi, lib
    from espike_sim.errors import EspikeError
    from espike_sim.segment import KINDS, WIDTHS, Kind, Policy, ScaleError, Segment, Writer, encode, encode_sets
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

F32 = NDArray[np.float32]
FULL = np.float32(1)


def row(*values: float | np.float32) -> F32:
    return np.array(values, np.float32)


def begins(writer: Writer, *frames: F32) -> list[bool]:
    """Which frames begin a segment, the first one of all aside."""
    return [writer.push(frame) is not None for frame in frames]


def both(**fields: Any) -> list[Policy]:
    """A policy in both versions."""
    return [Policy(version=version, **fields).fixed(8) for version in (1, 2)]


def above(value: np.float32) -> np.float32:
    return np.float32(np.nextafter(value, np.float32(np.inf)))


def below(value: np.float32) -> np.float32:
    return np.float32(np.nextafter(value, np.float32(0)))


# Triggers


def test_the_first_frame_opens_and_a_flush_ends() -> None:
    for policy in both():
        writer = Writer(2, policy)
        assert writer.flush() is None
        assert writer.frames == 0
        assert begins(writer, row(1, 2), row(1, 2), row(0, 0)) == [False] * 3
        assert writer.frames == 3
        data = writer.flush()
        assert data is not None
        assert Segment(data).frames == 3
        assert (writer.flush(), writer.frames) == (None, 0)
        assert begins(writer, row(9, 9)) == [False], "a flush ends what is open; nothing is left to close"
        assert writer.frames == 1


@pytest.mark.parametrize("headroom", [True, False])
def test_growth_begins_a_segment_just_above_the_limit(headroom: bool) -> None:
    for policy in both(headroom=headroom, low_q8=0):
        slow = SlowWriter(1, policy)
        slow.push(row(0.7))
        assert slow.open is not None
        (limit,) = slow.open.limits
        assert limit / FULL == pytest.approx(0.7 * 282 / 256, rel=2e-3)
        assert begins(Writer(1, policy), row(0.7), row(limit), row(-limit), row(above(limit))) == [False] * 3 + [True]
        assert begins(Writer(1, policy), row(0.7), row(-above(limit))) == [False, True]


def test_a_low_frame_begins_a_segment_just_below_the_limit() -> None:
    for policy in both(group_len=1):
        slow = SlowWriter(2, policy)
        slow.push(row(0.7, 0.1))
        assert slow.open is not None
        lowest = slow.open.lowest
        assert lowest == pytest.approx(0.7 * 282 / 256 * 143 / 256, rel=2e-3)
        assert begins(Writer(2, policy), row(0.7, 0.1), row(lowest, 0)) == [False, False]
        assert begins(Writer(2, policy), row(0.7, 0.1), row(below(lowest), 0)) == [False, True]
        assert begins(Writer(2, policy), row(0.7, 0.1), row(0, 0), row(0, -0.0)) == [False] * 3
        assert begins(Writer(2, policy), row(0.7, 0.1), row(0, np.nan)) == [False] * 2, "empty frames are exact"


def test_hysteresis_waits_for_frames_in_a_row() -> None:
    for n in (2, 3, 255):
        for policy in both(hysteresis_frames=n):
            low = [row(0.1)] * (n - 1)
            writer = Writer(1, policy)
            assert begins(writer, row(1), *low, row(1), *low) == [False] * 2 * n, "one good frame and it counts anew"
            assert begins(writer, row(0.1)) == [True]
            assert begins(writer, row(5)) == [True], "with headroom what is too high never waits"
        for policy in both(hysteresis_frames=n, headroom=False, low_q8=0):
            writer = Writer(1, policy)
            high = [row(5)] * (n - 1)
            assert begins(writer, row(1), *high, row(1), *high, row(5)) == [False] * 2 * n + [True]


def test_a_segment_after_growth_remembers_and_after_a_flush_does_not() -> None:
    """docs/segment.md, Quantizing: most is at least 63/64 of what the group was calibrated for."""
    policy = Policy(group_len=1).fixed(8)
    writer = Writer(2, policy)
    assert begins(writer, row(1, 1), row(2, 0.9)) == [False, True]
    carried = Segment(writer.flush() or b"").scales
    assert begins(writer, row(2, 0.9)) == [False]
    fresh = Segment(writer.flush() or b"").scales
    assert carried[0] == fresh[0]
    assert carried[1] / fresh[1] == pytest.approx(1 / 0.9 * 63 / 64, rel=2e-3)


@pytest.mark.parametrize("version", [1, 2])
def test_a_change_of_width_begins_a_segment_with_it(version: int) -> None:
    policy = Policy(version=version, bits=(8, 8, 3))
    writer = Writer(3, policy, now=100)
    frame = row(1, 2, 3)
    seen = []
    for accesses, closed in ((0, False), (5, False), (64, True), (512, False), (511, False), (63, True), (0, False)):
        writer.set_access(accesses, 100 - 1023)
        assert (writer.push(frame, 100) is not None) == closed, accesses
        seen.append(writer.bits)
    assert seen == [3, 3, 8, 8, 8, 3, 3]


def test_touching_makes_a_stream_hot_and_time_makes_it_cold() -> None:
    writer = Writer(1, Policy(), now=7)
    widths = []
    for _ in range(3):
        writer.touch(2**32 + 7)  # clocks are taken modulo 2^32
        writer.push(row(1), 7)
    widths.append(writer.bits)
    for now in (7 + 5, 7 + 6, 7 + 47, 7 + 48, 6):  # 3072 / age: 512, 438, 64, 62; a clock a step behind is age 1
        writer.push(row(1), now)
        widths.append(writer.bits)
    assert widths == [8, 8, 7, 7, 3, 8]
    assert Policy().score(0xFFFFFFFF, 0, 0) == 0xFFFFFFFF
    assert Policy().score(4 << 20, 0, 0) == 0xFFFFFFFF
    assert Policy().score((4 << 20) - 1, 0, 0) == 0xFFFFFC00
    assert Policy().score(5, 10, 9) == 5 * 1024


def test_a_segment_by_hand() -> None:
    """-3, 2, 1, 0 at 3 bits: scale = 3 / 3 * 1.1015625, which binary16 holds; codes 0, 5, 4, 3."""
    data = encode(np.array([[-3, 2, 1, 0]], np.int16), Policy(group_len=4), bits=3)[0]
    codes = (0 | 5 << 3 | 4 << 6 | 3 << 9).to_bytes(2, "little")
    assert data == b"TQTC\1\3" + struct.pack("<4I", 4, 4, 1, 1) + struct.pack("<eI", 1.1015625, 2) + codes


# Buffers


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_full_buffer_begins_a_segment(bits: int) -> None:
    """Version 1: exactly so many frames, and one fewer where a byte is lacking."""
    frame = row(*np.linspace(-1, 1, 77))
    size = (77 * bits + 7) // 8
    for frames in (1, 2, 9):
        need = 26 + 2 * 2 + frames * size
        for capacity, most in ((need, frames), (need + size - 1, frames), (need - 1, frames - 1)):
            policy = Policy().fixed(bits)
            if most == 0:
                with pytest.raises(EspikeError, match="does not hold a frame"):
                    Writer(77, policy, capacity=capacity)
                continue
            made = [Segment(data) for data in encode(np.tile(frame, (40, 1)), policy, capacity=capacity)]
            assert [segment.frames for segment in made[:-1]] == [most] * (len(made) - 1)
            assert sum(segment.frames for segment in made) == 40


@pytest.mark.parametrize("kind", KINDS)
def test_version_2_fills_any_buffer_that_holds_a_frame(kind: Kind) -> None:
    """Noise, which takes as much as can be, in buffers of the least size and little more; nothing is lost."""
    rng = np.random.default_rng(1)
    for length in (1, 3, 40, 333):
        for block_frames in (1, 2, 128):
            policy = Policy(version=2, block_frames=block_frames).fixed(8)
            least = int(lib.spk_segment_buffer_bytes(policy._struct(), KINDS.index(kind), length, 1))
            with pytest.raises(EspikeError, match="does not hold a frame"):
                Writer(length, policy, kind=kind, capacity=least - 1)
            for extra in (0, 1, 7, 60, 3 * length):
                words = rng.integers(-(1 << 31), 1 << 31, (20, length)).astype(np.int32)
                frames = list(words) if kind != "sets" else [np.flatnonzero(word > 0) for word in words]
                writer = Writer(length, policy, kind=kind, capacity=least + extra)
                made = [writer.push(frame) for frame in frames]
                parts = [Segment(data) for data in (*made, writer.flush()) if data is not None]
                assert sum(part.frames for part in parts) == 20
                assert all(part.byte_count <= least + extra for part in parts)
                if kind == "integers":
                    assert np.concatenate([part.integers() for part in parts]).tolist() == words.tolist()
                if kind == "sets":
                    ids = [ids.tolist() for part in parts for ids in part.sets()]
                    assert ids == [frame.tolist() for frame in frames]


def test_writers_do_not_disturb_each_other_and_closing_twice_is_once() -> None:
    rng = np.random.default_rng(2)
    frames = (rng.normal(size=(2, 60, 30)) * np.exp(rng.normal(size=(2, 60, 1)))).astype(np.float32)
    for policy in both(group_len=7):
        alone = [encode(part, policy) for part in frames]
        writers = [Writer(30, policy) for _ in frames]
        made: list[list[bytes]] = [[], []]
        for pair in zip(*frames, strict=True):
            for i, frame in enumerate(pair):
                closed = writers[i].push(frame)
                made[i] += [closed] if closed is not None else []
        for i, writer in enumerate(writers):
            struct_of = writer._writer
            counts = [lib.spk_segment_close(struct_of) for _ in range(3)]
            assert counts == [counts[0]] * 3
            made[i].append(bytes(ffi.buffer(struct_of.buffer, counts[0])))
        assert made == alone
        assert len(alone[0]) > 5


# What is not taken


def refuse(writer: Writer, values: NDArray[Any], values_type: str) -> int:
    """The error of pushing values of a type that the writer does not take."""
    pointer = ffi.cast("void *", values.ctypes.data)
    return int(lib.spk_segment_push(writer._writer, pointer, getattr(lib, values_type), 0, ffi.new("uint32_t *")))


def test_values_of_another_type_leave_everything_as_it_was() -> None:
    words = np.zeros(40, np.uint32)
    stray = words.copy()
    stray[0] = 1 << 5
    wrong: dict[Kind, list[tuple[NDArray[Any], str]]] = {
        "quantized": [(words, "SPK_VALUES_INT32"), (words, "SPK_VALUES_BITMAP")],
        "integers": [(words, "SPK_VALUES_FLOAT32"), (words, "SPK_VALUES_BITMAP")],
        "sets": [(words, "SPK_VALUES_INT32"), (words, "SPK_VALUES_INT8"), (stray, "SPK_VALUES_BITMAP")],
    }
    for kind, cases in wrong.items():
        given: Any = [[1, 2, 3], [4]] * 3 if kind == "sets" else [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]] * 3
        made = []
        for disturbed in (False, True):
            writer = Writer(5, Policy(version=2).fixed(8), kind=kind)
            for frame in given:
                before = bytes(ffi.buffer(writer._writer))
                for values, values_type in cases if disturbed else ():
                    assert refuse(writer, values, values_type) == lib.SPK_ERROR_PARAMETER
                assert bytes(ffi.buffer(writer._writer)) == before
                assert writer.push(np.array(frame, np.int32)) is None
            made.append(writer.flush())
        assert made[0] == made[1]


def test_scales_that_binary16_cannot_hold() -> None:
    """Version 1 takes nothing of such a frame; version 2 carries binary32 scales for it."""
    frames = [row(1, 2, 3), row(1, 2, 3.1)]
    for awkward in (row(1e8, 0, 0), row(1e-6, 0, 0), row(1e-45, 0, 0), row(65504 * 127, 1, 1)):
        one, two = both(group_len=1)
        writer = Writer(3, one)
        with pytest.raises(ScaleError) as first:
            writer.push(awkward)
        assert (first.value.group, first.value.closed, writer.frames, writer.flush()) == (0, None, 0, None)
        assert begins(writer, *frames) == [False, False]
        (wanted,) = encode(np.array(frames), one)
        with pytest.raises(ScaleError) as second:
            writer.push(awkward)
        assert second.value.closed == wanted, "it did not fit, so the segment before has ended"
        assert (writer.frames, writer.flush()) == (0, None)
        assert begins(writer, *frames) == [False, False]
        assert writer.flush() == wanted, "as if it had not come"

        (data,) = encode(awkward[None], two)
        segment = Segment(data)
        assert segment.float_scales
        assert abs(float(segment.decode()[0, 0]) - float(awkward[0])) <= segment.bounds[0]


# Policies and arguments


@pytest.mark.parametrize(
    "fields",
    [
        {"bits": (8, 7, 4)}, {"bits": (8, 7, 2)}, {"bits": (0, 7, 3)}, {"bits": (9, 7, 3)}, {"bits": (256, 7, 3)},
        {"bits": (8, 8)}, {"drift_q8": (26, 26)}, {"drift_q8": (26, 26, 26, 26)}, {"drift_q8": (-1, 26, 26)},
        {"drift_q8": (65536, 0, 0)}, {"group_len": 0}, {"group_len": 1 << 32}, {"block_frames": 0},
        {"block_frames": 65536}, {"hysteresis_frames": 0}, {"hysteresis_frames": 256}, {"measure_frames": 256},
        {"version": 0}, {"version": 3}, {"low_q8": 257}, {"low_q8": 231}, {"drift_q8": (26, 199, 26)},
        {"headroom": False, "low_q8": 257}, {"hot_min_score": 1 << 32}, {"warm_min_score": -1},
    ],
)  # fmt: skip
def test_policies_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(EspikeError):
        Writer(4, Policy(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"low_q8": 230}, {"drift_q8": (26, 198, 26)}, {"low_q8": 0, "drift_q8": (65535,) * 3},
        {"low_q8": 253, "drift_q8": (0, 0, 0)}, {"headroom": False, "low_q8": 250, "drift_q8": (65535,) * 3},
        {"group_len": (1 << 32) - 1, "block_frames": 65535, "hysteresis_frames": 255, "measure_frames": 255},
    ],
)  # fmt: skip
def test_policies_at_their_ends_are_taken(fields: dict[str, Any]) -> None:
    """Whatever is taken, a frame fits the scales that were made for it."""
    rng = np.random.default_rng(3)
    for policy in both(**fields):
        writer = Writer(9, policy)
        for frame in np.exp(rng.normal(size=(40, 9)) * 2).astype(np.float32):
            writer.push(frame)
            assert writer.frames >= 1
            assert begins(writer, frame) == [False], "the same frame again"


def test_arguments_that_do_not_go_together_are_refused() -> None:
    for length, policy, kind in (
        (0, Policy(), "quantized"), (1 << 32, Policy(), "quantized"), (-1, Policy(), "quantized"),
        (4, Policy(), "integers"), (4, Policy(), "sets"), (4, Policy(version=2), "floats"),
        ((1 << 28) + 1, Policy(version=2), "sets"),
    ):  # fmt: skip
        with pytest.raises(EspikeError):
            Writer(length, policy, kind=kind)  # type: ignore[arg-type]


def initialized(
    policy: Any, kind: int, length: int, *, work: int = 1 << 14, at: int = 0, capacity: int = 1 << 14
) -> int:
    """What spk_segment_writer_init says."""
    room, buffer = ffi.new("uint64_t[]", 1 << 12), ffi.new("uint8_t[]", 1 << 14)
    writer = ffi.new("spk_segment_writer_t *")
    place = ffi.cast("char *", room) + at
    return int(lib.spk_segment_writer_init(writer, policy, kind, length, place, work, buffer, capacity, 0))


def test_the_core_refuses_arguments_and_memory_that_do_not_do() -> None:
    one, two = (Policy(version=version)._struct() for version in (1, 2))
    for policy, kind, length, fine in (
        (one, 0, 1, True), (two, 0, 1, True), (two, 1, 1, True), (two, 2, 1, True),
        (one, 0, 0, False), (one, 1, 4, False), (one, 2, 4, False), (two, 0, 0, False), (two, 3, 4, False),
        (two, 2, (1 << 28) + 1, False), (two, 0, (1 << 28) + 1, False),
    ):  # fmt: skip
        assert initialized(policy, kind, length) == (0 if fine else lib.SPK_ERROR_PARAMETER)
        assert (lib.spk_segment_work_bytes(policy, kind, length) != 0) == fine
        assert (lib.spk_segment_buffer_bytes(policy, kind, length, 1) != 0) == fine
    for field, value in (
        ("headroom", 2),
        ("group_len", 0),
        ("hysteresis_frames", 0),
        ("block_frames", 0),
        ("low_q8", 257),
    ):
        odd = Policy(version=2)._struct()
        setattr(odd, field, value)
        assert lib.spk_segment_policy_check(odd) == initialized(odd, 0, 4) == lib.SPK_ERROR_PARAMETER
    for policy in (one, two):
        work = int(lib.spk_segment_work_bytes(policy, 0, 100))
        buffer = int(lib.spk_segment_buffer_bytes(policy, 0, 100, 1))
        assert initialized(policy, 0, 100, work=work, capacity=buffer) == 0
        assert initialized(policy, 0, 100, work=work - 1) == initialized(policy, 0, 100, at=4) == lib.SPK_ERROR_RAM
        assert initialized(policy, 0, 100, capacity=buffer - 1) == lib.SPK_ERROR_BUFFER


@pytest.mark.parametrize("version", [1, 2])
def test_a_full_segment_stays_full_until_it_is_closed(version: int) -> None:
    """Pushed again before that, a frame is refused again, and the segment is as it was."""
    policy, rng = Policy(version=version, low_q8=0).fixed(8), np.random.default_rng(5)
    frames = rng.uniform(-1, 1, (60, 40)).astype(np.float32)
    frames[:, 0] = 1
    writer, detail = Writer(40, policy, capacity=400), ffi.new("uint32_t *")

    def push(frame: F32) -> int:
        pointer = ffi.cast("void *", frame.ctypes.data)
        return int(lib.spk_segment_push(writer._writer, pointer, lib.SPK_VALUES_FLOAT32, 0, detail))

    taken = 0
    while push(frames[taken]) == 1:
        taken += 1
    assert [push(frames[taken]) for _ in range(3)] == [0, 0, 0]
    count = lib.spk_segment_close(writer._writer)
    segment = Segment(bytes(ffi.buffer(writer._writer.buffer, count)))
    assert segment.frames == taken > 3
    assert np.abs(segment.decode() - frames[:taken]).max() < 0.01
    assert push(frames[taken]) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_a_segment_ends_before_its_frames_pass_32_bits(version: int) -> None:
    writer = Writer(2, Policy(version=version).fixed(8), capacity=4096)
    assert begins(writer, row(1, 2), row(1, 2)) == [False, False]
    writer._writer.frame_count = (1 << 32) - 1
    values, detail = row(1, 2), ffi.new("uint32_t *")
    pointer = ffi.cast("void *", values.ctypes.data)
    assert lib.spk_segment_push(writer._writer, pointer, lib.SPK_VALUES_FLOAT32, 0, detail) == 0
    assert writer._writer.frame_count == (1 << 32) - 1


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("quantized", [1, 2]), ("quantized", [[1, 2, 3]]), ("quantized", ["a", "b", "c"]), ("quantized", [1j, 0, 0]),
        ("integers", [1.0, 2.0, 3.0]), ("integers", [1 << 31, 0, 0]), ("integers", [-(1 << 31) - 1, 0, 0]),
        ("sets", [3]), ("sets", [-1]), ("sets", [1, 1]), ("sets", [2, 1]), ("sets", [0.5]), ("sets", [False, True]),
        ("sets", ["0"]),
    ],
)  # fmt: skip
def test_frames_of_another_kind_are_refused(kind: Kind, frame: list[Any]) -> None:
    writer = Writer(3, Policy(version=2), kind=kind)
    with pytest.raises(EspikeError):
        writer.push(frame)
    assert writer.flush() is None


def test_empty_sets_and_streams() -> None:
    (data,) = encode_sets([[], [], [2], []], 3)
    assert [ids.tolist() for ids in Segment(data).sets()] == [[], [], [2], []]
    for shape in ((0, 3), (3, 0), (3,)):
        with pytest.raises(EspikeError):
            encode(np.zeros(shape, np.float32))


# On chips


def test_state_of_a_stream_is_small_and_sizes_hold_where_size_t_ends(tmp_path: Path) -> None:
    """sizeof(spk_segment_writer_t) <= 64 is checked where tests/c/segment_sizes.c is compiled."""
    program = segment_programs.build("segment_sizes.c", tmp_path / "sizes", *segment_programs.SANITIZED)
    assert subprocess.run([program], check=False).returncode == 0


def test_state_of_a_stream_on_rv32(tmp_path: Path) -> None:
    done = segment_programs.run_riscv("segment_sizes.c", tmp_path)
    assert done.returncode == 0, f"tests/c/segment_sizes.c:{done.returncode}"


def test_sets_in_constant_memory_and_segments_of_4_gib(tmp_path: Path) -> None:
    program = segment_programs.build("segment_limits.c", tmp_path / "limits", *segment_programs.SANITIZED)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


@pytest.mark.parametrize("flags", [("-O2",), segment_programs.SANITIZED], ids=["optimized", "sanitized"])
def test_integers_without_floats_yield_the_codes_of_floats(flags: tuple[str, ...], tmp_path: Path) -> None:
    """What chips compile, over 10^6 pairs of value and scale; then whole segments."""
    program = segment_programs.build("segment_integers.c", tmp_path / "integers", *flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pairs, segments = map(int, done.stdout.split())
    assert pairs >= 1_000_000
    assert segments > 5000
