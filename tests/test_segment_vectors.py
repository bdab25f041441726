"""Vectors of the reference segment codec (data only, not part of this repository): same bytes, same values."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import segment_programs
import slow_segment
from numpy.typing import NDArray

try:
    from espike_sim.core import lib
    from espike_sim.errors import EspikeError
    from espike_sim.segment import Policy, ScaleError, Segment, Writer
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "tqtc"
Table = dict[str, NDArray[np.generic]]


def load(name: str) -> Table:
    """The arrays of a file; skips where it is absent."""
    if not FOLDER.exists():
        pytest.skip(f"{FOLDER} not found: vectors of the reference codec")
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def segment_of(table: Table, i: int, offsets: str = "seg_off") -> bytes:
    begin, end = table[offsets][i : i + 2]
    return bytes(table["seg"][int(begin) : int(end)].tobytes())


def float_of(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def test_segments_are_those_of_the_reference_codec() -> None:
    crate, fixed = load("direct_rust"), load("direct_fix")
    assert len(fixed["meta"]) == 216
    for i, (length, count, bits, group_len, _) in enumerate(fixed["meta"].tolist()):
        wanted = segment_of(crate if fixed["same_as_rust"][i] else fixed, i)
        policy = Policy.plain(group_len=group_len, drift_q8=(65535,) * 3, hysteresis_frames=255).fixed(bits)
        writer = Writer(length, policy, capacity=len(wanted) + 26)
        assert all(writer.push(frame) is None for frame in crate[f"in_mixed_{length}"][:count])
        made = writer.flush()
        assert made == wanted, (length, count, bits, group_len)
        values = Segment(made).decode()
        assert zlib.crc32(values.tobytes()) == fixed["dec_crc32"][i]
        if count * length <= 10_000:
            assert slow_segment.read(made).values().tobytes() == values.tobytes()


def test_binary16() -> None:
    table = load("f16")
    pairs = zip(table["f32_bits"].tolist(), table["f16_bits"].tolist(), strict=True)
    assert [(bits, half) for bits, half in pairs if lib.spk_half_from_float_bits(bits) != half] == []
    assert [lib.spk_half_to_float_bits(half) for half in range(1 << 16)] == table["f16_all_to_f32_bits_fix"].tolist()


def test_tiers() -> None:
    """The reference divides by zero where now = last - 1: an age of 0 counts as 1 here, so the score is full."""
    table = load("tier")
    rows = zip(table["rows"].tolist(), table["score"].tolist(), table["bits"].tolist(), strict=True)
    for (hot, warm, warm_bits, accesses, last, now), score, bits in rows:
        policy = Policy(bits=(8, warm_bits, 3), hot_min_score=hot, warm_min_score=warm)
        assert policy.score(accesses, last, now) == score
        wanted = 8 if score >= hot else warm_bits if score >= warm else 3
        assert policy.bits[policy.tier(score)] == wanted
        assert bits in (wanted, 255)


def test_growth_within_the_drift() -> None:
    """hysteresis_frames shows the code of a frame that does not fit, too. Infinite scales are refused here."""
    table = load("drift_fix")
    rows = zip(table["rows"].tolist(), *(table[k].tolist() for k in ("scale_f16", "fits", "code")), strict=True)
    for (bits, drift, base, probe), scale, fits, code in rows:
        policy = Policy.plain(group_len=1, drift_q8=(drift,) * 3).fixed(bits)
        frames = [np.array([float_of(word)]) for word in (base, probe)]
        writer = Writer(1, policy, capacity=64)
        if scale == 0x7C00:
            with pytest.raises(ScaleError):
                writer.push(frames[0])
            continue
        assert writer.push(frames[0]) is None
        assert (writer.push(frames[1]) is None) == bool(fits), (bits, drift, base, probe)
        patient = Writer(1, Policy.plain(**{**vars(policy), "hysteresis_frames": 2}), capacity=64)
        assert [patient.push(frame) for frame in frames] == [None, None]
        made = patient.flush()
        assert made is not None
        assert made[22:24] == struct.pack("<H", scale)
        assert made[-1] == code


@pytest.mark.parametrize("path", segment_programs.PATHS)
def test_rounding(path: str, tmp_path: Path) -> None:
    table = load("quant_round")
    rows = np.column_stack([table["rows"], table["code"]]).astype("<u4")
    assert len(rows) == 7272
    program = segment_programs.build(
        "segment_codes.c", tmp_path / path, *segment_programs.PATHS[path], *segment_programs.SANITIZED
    )
    done = subprocess.run([program], input=rows.tobytes(), capture_output=True, check=False)
    assert (done.stdout.decode(), done.stderr.decode(), done.returncode) == ("7272\n", "", 0)


def described(text: str) -> tuple[int, list[float]]:
    """`len=128 [1.0, ...` -> how many values, and the first of them."""
    count, values = re.fullmatch(r"len=(\d+) \[(.*?)\]?", text).groups()  # type: ignore[union-attr]
    return int(count), [float(value) for value in values.split(", ") if value]


def test_malformed_segments() -> None:
    """What made the reference hang, panic or abort is refused; what it read right is read to the same values."""
    table = load("malformed")
    accepted = []
    for i, (name, verdict, out) in enumerate(zip(*(table[k].tolist() for k in ("name", "rust", "out")), strict=True)):
        data = segment_of(table, i, "off")
        try:
            values = Segment(data).decode().reshape(-1)
        except EspikeError:
            with pytest.raises(slow_segment.RefusedError):
                slow_segment.read(data)
            assert not name.startswith(("valid", "group1_", "group12_")), name
            continue
        accepted.append(name)
        assert verdict == "ok" or name.startswith(("group1_", "group12_")), name
        assert slow_segment.read(data).values().tobytes() == values.tobytes()
        if out:
            count, first = described(out)
            assert len(values) == count
            assert values[: len(first)].tolist() == first, name
    assert len(table["name"]) == 67
    assert len(accepted) == 21


@pytest.mark.parametrize("path", segment_programs.PATHS)
def test_malformed_segments_under_sanitizers(path: str, tmp_path: Path) -> None:
    table = load("malformed")
    cases = [segment_of(table, i, "off") for i in range(len(table["name"]))]
    verdicts = segment_programs.verdicts(cases, path, tmp_path)
    assert verdicts == [segment_programs.verdict_of_host(case) for case in cases]
