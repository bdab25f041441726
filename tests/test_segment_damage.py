"""Damaged and forged segments: refused with the byte that is wrong, or read to something; never outside their bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c_programs
import numpy as np
import pytest
import segment_programs
import slow_segment

try:
    from espike_sim.core import ffi, lib
    from espike_sim.errors import EspikeError
    from espike_sim.segment import Policy, Segment, decode, encode, encode_sets, split
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

CORPUS = Path(__file__).parent / "corpus"
TARGETS = {"segment": "segment_fuzz.c", "segment_write": "segment_write_fuzz.c"}
VERSION, BITS, GROUP_LEN, TENSOR_LEN, FRAMES, SCALES, KIND, FLAGS, BLOCK, DATA_LEN = 4, 5, 6, 10, 14, 18, 22, 23, 24, 26


def small(version: int) -> list[bytes]:
    """Segments of every kind and width, short enough to be damaged bit by bit."""
    rng = np.random.default_rng(version)
    made = []
    for bits in (3, 5, 7, 8):
        frames = rng.uniform(-1, 1, (7, 11)).astype(np.float32)
        frames[0] = 1
        made.append(encode(frames, Policy(version=version, group_len=5, block_frames=3, low_q8=0), bits=bits)[0])
    if version == 2:
        policy = Policy(version=2, block_frames=3)
        walk = np.cumsum(rng.integers(-9, 10, (7, 11)), axis=0)
        made.append(encode(frames * np.float32(1e-30), policy, bits=8)[0])
        made.append(encode(walk, policy, kind="integers")[0])
        made.append(encode_sets([np.flatnonzero(row > 4) for row in walk], 11, policy)[0])
    return made


def flipped(data: bytes) -> Iterator[bytes]:
    """The segment with each of its bits turned."""
    for bit in range(8 * len(data)):
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        yield bytes(copy)


def sealed(data: bytes) -> bytes:
    """A version-2 segment with the CRC that belongs to it."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def put(data: bytes, at: int, layout: str, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into(layout, copy, at, value)
    return bytes(copy)


def test_unknown_versions_are_refused_by_their_number() -> None:
    (data,) = encode(np.ones((2, 3)), bits=8)
    for version in (0, 3, 4, 127, 255):
        forged = put(data, VERSION, "B", version)
        with pytest.raises(EspikeError, match=rf"version {version} is not known"):
            Segment(forged)
        with pytest.raises(slow_segment.RefusedError, match=f"version {version}"):
            slow_segment.read(forged)
    with pytest.raises(EspikeError, match="no segment begins at byte 0"):
        Segment(b"TQTD" + data[4:])


@pytest.mark.parametrize("version", [1, 2])
def test_every_truncation_is_refused(version: int) -> None:
    for data in small(version):
        for size in range(len(data)):
            with pytest.raises(EspikeError):
                Segment(data[:size])
            with pytest.raises(slow_segment.RefusedError):
                slow_segment.read(data[:size])
        assert Segment(data + b"more").data == data


def test_every_flipped_bit_of_version_2_is_refused() -> None:
    for data in small(2):
        for forged in flipped(data):
            with pytest.raises(EspikeError):
                Segment(forged)


@pytest.mark.parametrize("path", segment_programs.PATHS)
def test_damage_under_sanitizers(path: str, tmp_path: Path) -> None:
    """A third of all flipped bits, also behind a right CRC: harmless, the same verdict as in this process."""
    cases = [case for version in (1, 2) for data in small(version) for case in flipped(data)]
    cases += [sealed(case) for data in small(2) for case in flipped(data)]
    cases += [data[:size] for data in small(1) for size in range(len(data))]
    cases = cases[list(segment_programs.PATHS).index(path) :: 3]
    verdicts = segment_programs.verdicts(cases, path, tmp_path)
    assert len(verdicts) == len(cases)
    for case, verdict in zip(cases, verdicts, strict=True):
        assert verdict == "large" or verdict == segment_programs.verdict_of_host(case)
    damaged = sum(not verdict.startswith("-") and " -1 " not in verdict for verdict in verdicts)
    refused = sum(verdict.startswith("-") for verdict in verdicts)
    assert damaged > 150, "frames that cannot be decoded"
    assert len(cases) / 5 < refused < len(cases) * 4 / 5


def test_the_slow_reader_refuses_what_the_core_does() -> None:
    """Behind a right CRC too, and in frames that cannot be decoded."""
    cases = [case for data in small(1) for case in flipped(data)]
    cases += [sealed(case) for data in small(2) for case in flipped(data)]
    rng = np.random.default_rng(3)
    agreed = 0
    for i in rng.permutation(len(cases))[:1500]:
        case = cases[i]
        tensor_len, frames = struct.unpack_from("<II", case, TENSOR_LEN)
        if tensor_len * frames > 1000 or tensor_len > 1000:
            continue
        try:
            segment = Segment(case)
            fast = segment.integers().tolist() if segment.kind != "sets" else [s.tolist() for s in segment.sets()]
        except EspikeError:
            fast = None
        try:
            slow = slow_segment.read(case).rows()
        except slow_segment.RefusedError:
            slow = None
        assert fast == slow, case.hex()
        agreed += slow is not None
    assert agreed > 300


def forged() -> Iterator[tuple[str, bytes, int, int]]:
    """(what about it, segment, error, byte) of lies behind a right CRC."""
    layout, parameter, truncated = lib.SPK_ERROR_LAYOUT, lib.SPK_ERROR_PARAMETER, lib.SPK_ERROR_TRUNCATED
    one, two, floats = small(1)[3], small(2)[3], small(2)[4]
    integers, sets = small(2)[5:]
    for name, data in (("v1", one), ("v2", two)):
        scales = 22 if name == "v1" else 30
        for bits in (0, 1, 9, 255):
            yield f"{name} {bits} bits", put(data, BITS, "B", bits), layout, BITS
        yield f"{name} no group", put(data, GROUP_LEN, "<I", 0), layout, GROUP_LEN
        yield f"{name} no values", put(data, TENSOR_LEN, "<I", 0), layout, TENSOR_LEN
        for count in (0, 2, 4, 0xFFFFFFFF):
            yield f"{name} {count} scales", put(data, SCALES, "<I", count), layout, SCALES
        for half in (0x7C00, 0x7E00, 0x7C01, 0x8000, 0x8001, 0xFC00, 0xFFFF):
            yield f"{name} scale {half:x}", put(data, scales + 2, "<H", half), parameter, scales + 2
    for word in (0x7F800000, 0x7FC00000, 0x80000000, 0xBF800000):
        yield f"float scale {word:x}", put(floats, 30, "<I", word), parameter, 30
    data_at = 22 + 2 * 3
    for frames in (0, 6, 8, 0xFFFFFFFF):
        yield f"v1 {frames} frames", put(one, FRAMES, "<I", frames), layout, data_at
    for count in (0, 76, 78, 0xFFFFFFFF):
        yield f"v1 data of {count}", put(one, data_at, "<I", count), layout, data_at
    yield "v1 longer", put(put(one, FRAMES, "<I", 8), data_at, "<I", 88), truncated, data_at
    for name, data in (("integers", integers), ("sets", sets)):
        yield f"{name} with bits", put(data, BITS, "B", 8), layout, BITS
        yield f"{name} with groups", put(data, GROUP_LEN, "<I", 1), layout, GROUP_LEN
        yield f"{name} with scales", put(data, SCALES, "<I", 1), layout, SCALES
        yield f"{name} with float scales", put(data, FLAGS, "B", 1), layout, FLAGS
    yield "a fourth kind", put(integers, KIND, "B", 3), layout, KIND
    for flag in (4, 8, 128):
        yield f"flag {flag}", put(two, FLAGS, "B", flag), layout, FLAGS
    yield "no block", put(two, BLOCK, "<H", 0), layout, BLOCK
    yield "long frames", put(sets, TENSOR_LEN, "<I", (1 << 28) + 1), layout, TENSOR_LEN
    for frames in (1 << 22, 0xFFFFFFFF):
        yield f"{frames} frames", put(put(two, BLOCK, "<H", 65535), FRAMES, "<I", frames), layout, FRAMES
    yield "another block", put(two, FRAMES, "<I", 10), truncated, DATA_LEN
    (data_len,) = struct.unpack_from("<I", two, DATA_LEN)
    index = 30 + 6 + data_len
    yield "index falls", put(two, index + 4, "<I", 0), layout, index + 4
    yield "index past the data", put(two, index, "<I", data_len + 1), layout, index
    yield "index ends early", put(two, index + 8, "<I", data_len - 1), layout, DATA_LEN


def test_forged_fields_are_refused_where_they_lie() -> None:
    for about, data, error, at in forged():
        whole = sealed(data) if data[VERSION] == 2 else data
        assert segment_programs.verdict_of_host(whole) == f"{error} {at}", about
        with pytest.raises(slow_segment.RefusedError):
            slow_segment.read(whole)


def test_what_only_looks_odd_is_taken() -> None:
    """No frames; a code that no writer uses; widths that none writes; groups past the frame; empty blocks."""
    none = b"TQTC\1\x05" + struct.pack("<4I", 4, 3, 0, 1) + b"\0\x3c" + bytes(4)
    assert Segment(none).decode().shape == slow_segment.read(none).values().shape == (0, 3)
    none = sealed(b"TQTC\2\0" + struct.pack("<4I", 0, 3, 0, 0) + struct.pack("<BBHI", 2, 2, 1, 0) + bytes(4))
    assert Segment(none).sets() == slow_segment.read(none).rows() == []
    for bits in range(2, 9):
        top = (1 << bits) - 1
        data = b"TQTC\1" + bytes([bits]) + struct.pack("<4I", 0xFFFFFFFF, 2, 1, 1) + b"\0\x3c"
        data += struct.pack("<I", (2 * bits + 7) // 8) + (top | 1 << bits).to_bytes((2 * bits + 7) // 8, "little")
        qmax = top // 2
        assert Segment(data).decode().tolist() == slow_segment.read(data).values().tolist() == [[top - qmax, 1 - qmax]]


def opened(data: bytes) -> Any:
    view = ffi.new("spk_segment_t *")
    assert lib.spk_segment_open(view, ffi.from_buffer(data), len(data), ffi.new("uint32_t *")) == 0
    return view


def begun(view: Any, coding: Any, work: Any, room: int) -> tuple[int, Any]:
    """(what spk_segment_reader_init says, the reader)."""
    reader = ffi.new("spk_segment_reader_t *")
    return int(lib.spk_segment_reader_init(reader, view, coding, work, room)), reader


def test_readers_need_the_coding_and_its_memory() -> None:
    work, coding = ffi.new("uint64_t[]", 1 << 12), lib.spk_segment_version_2()
    for data in small(1):
        view = opened(data)
        assert lib.spk_segment_reader_bytes(view, coding) == 0
        assert begun(view, ffi.NULL, ffi.NULL, 0)[0] == 0
    for data in small(2):
        view = opened(data)
        needed = int(lib.spk_segment_reader_bytes(view, coding))
        assert lib.spk_segment_reader_bytes(view, ffi.NULL) == 0
        assert begun(view, ffi.NULL, work, 8 << 12)[0] == lib.SPK_ERROR_VERSION
        assert begun(view, coding, work, needed)[0] == 0
        assert begun(view, coding, work, needed - 1)[0] == lib.SPK_ERROR_RAM
        assert begun(view, coding, ffi.cast("char *", work) + 4, needed)[0] == lib.SPK_ERROR_RAM


def test_frames_of_another_kind_or_past_the_last_are_not_read() -> None:
    work, coding = ffi.new("uint64_t[]", 1 << 12), lib.spk_segment_version_2()
    calls = (
        (lib.spk_segment_read, ffi.new("float[]", 64)),
        (lib.spk_segment_read_integers, ffi.new("int32_t[]", 64)),
        (lib.spk_segment_read_set, ffi.new("uint32_t[]", 64)),
    )
    for data in (*small(1), *small(2)):
        view = opened(data)
        error, reader = begun(view, coding, work, 8 << 12)
        assert error == 0
        for number, (read, out) in enumerate(calls):
            suits = (view.kind == 2) == (number == 2)
            found = [int(read(reader, frame, out)) for frame in (0, view.frame_count - 1, view.frame_count, 0xFFFFFFFF)]
            assert found[2:] == [lib.SPK_ERROR_PARAMETER] * 2
            assert all((value >= 0) == suits for value in found[:2])


def test_a_file_ends_at_its_damage() -> None:
    good = small(1) + small(2)[:4]
    whole = b"".join(good)
    assert [part.data for part in split(whole)] == good
    assert decode(whole).shape == (56, 11)
    parts = split(whole + b"x" * 40)
    assert [next(parts).data for _ in good] == good
    with pytest.raises(EspikeError, match=f"no segment begins at byte {len(whole)}"):
        next(parts)
    parts = split(good[0] + good[4][:-1] + b"?", "day.tqtc")
    assert next(parts).data == good[0]
    with pytest.raises(EspikeError, match=rf"day\.tqtc.* byte {len(good[0] + good[4]) - 4}"):
        next(parts)
    with pytest.raises(EspikeError, match="different length"):
        decode([good[0], encode(np.ones((1, 5)), bits=8)[0]])


def kept(target: str) -> list[Path]:
    """Inputs that a fuzzer made, the least of them that reach everything it reached."""
    return sorted((CORPUS / target).iterdir())


def test_the_slow_reader_says_the_same_of_kept_inputs() -> None:
    """What a fuzzer found reaches deep: frames that end inside a set, levels and members that there are not."""
    agreed = refused = 0
    for path in kept("segment"):
        data = path.read_bytes()[1:]
        try:
            segment = Segment(data)
        except EspikeError:
            with pytest.raises(slow_segment.RefusedError):
                slow_segment.read(data)
            refused += 1
            continue
        if segment.tensor_len * max(segment.frames, 1) > 20_000:
            continue
        slow = slow_segment.read(data)
        try:
            fast = segment.integers().tolist() if segment.kind != "sets" else [s.tolist() for s in segment.sets()]
        except EspikeError:
            with pytest.raises(slow_segment.RefusedError):
                slow.rows()
            refused += 1
            continue
        assert fast == slow.rows(), path.name
        agreed += 1
    assert min(agreed, refused) > 5


@pytest.mark.parametrize("path", segment_programs.PATHS)
@pytest.mark.parametrize("target", TARGETS)
def test_kept_inputs_under_sanitizers(target: str, path: str, tmp_path: Path) -> None:
    flags = (*segment_programs.PATHS[path], *segment_programs.SANITIZED)
    program = segment_programs.build(TARGETS[target], tmp_path / target, *flags, link=["-lm"])
    assert 20 <= len(kept(target)) <= 100
    segment_programs.replay(program, kept(target))


def fuzz(target: str, folder: Path, seconds: int) -> None:
    seeds = [path.read_bytes() for path in kept(target)]
    if target == "segment":
        seeds += [bytes([how]) + data for how in (0, 1) for version in (1, 2) for data in small(version)]
    c_programs.fuzz(segment_programs.fuzzer(TARGETS[target], folder / target), seeds, folder, seconds)


@pytest.mark.parametrize("target", TARGETS)
def test_fuzzer_finds_nothing(target: str, tmp_path: Path) -> None:
    fuzz(target, tmp_path, 2)


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzer_finds_nothing_for_long(target: str, tmp_path: Path) -> None:
    fuzz(target, tmp_path, 600)
