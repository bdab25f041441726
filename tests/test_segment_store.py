"""Segment stores: what is acknowledged stays, what is asked for comes, what is damaged is found and mended."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from espike import segment_file, segment_repair, sqlite_pages
from espike.segment_repair import salvage
from espike.segment_rows import pack_times, unpack_times
from espike.segment_store import SegmentStore, Tensor
from espike_sim.errors import EspikeError
from espike_sim.segment import TIERS, Policy, decode, encode, encode_sets

POLICY = Policy(version=2)
V1 = Policy()
LENGTH = 6


def frames(count: int, seed: int = 0) -> NDArray[Any]:
    """float32 (count, LENGTH) that stay in one segment."""
    rng = np.random.default_rng(seed)
    values: NDArray[Any] = rng.uniform(-0.5, 0.5, (count, LENGTH)).astype(np.float32)
    values[:, 0] = 1.0
    return values


def one(values: NDArray[Any], bits: int = 8, policy: Policy = POLICY, kind: Any = "quantized") -> bytes:
    (data,) = encode(values, policy, bits=bits, kind=kind)
    return data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.rec"


@pytest.fixture
def store(path: Path) -> Iterator[SegmentStore]:
    with SegmentStore(path, "new") as made:
        made.add(Tensor("v", "quantized", LENGTH, {"unit": "mV"}, POLICY, "host", "abc"))
        yield made


def raw(path: Path, sql: str, *values: Any) -> list[Any]:
    """Around the store, as damage comes."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def problems(path: Path) -> list[str]:
    with SegmentStore(path) as opened:
        return [str(problem) for problem in opened.check()]


# round trips


@pytest.mark.parametrize("policy", [V1, POLICY])
def test_quantized(path: Path, policy: Policy) -> None:
    values = frames(10)
    data = one(values, 7, policy)
    with SegmentStore(path, "new") as made:
        made.add(Tensor("area:a", "quantized", LENGTH, policy=policy))
        assert made.append("area:a", 100, data) == "area:a:100:109"
    with SegmentStore(path) as opened:
        times, got = opened.frames("area:a")
        np.testing.assert_array_equal(got, decode(data))
        assert times.tolist() == list(range(100, 110))
        assert got.dtype == np.float32
        (stored,) = opened.query("area:a")
        assert (stored.key, stored.tier, stored.bits, stored.frames) == ("area:a:100:109", "warm", 7, 10)
        assert (stored.data, stored.version, stored.parent, stored.requantized) == (data, policy.version, None, False)
        assert opened.segment("area:a:100:109") == stored
        assert opened.check() == []


def test_integers_and_sets(store: SegmentStore) -> None:
    store.add(Tensor("i", "integers", 3))
    store.add(Tensor("s", "sets", 50))
    integers = np.array([[1, -2, 3], [4, 5, -(1 << 31)]], np.int32)
    sets = [[1, 2, 49], [], [7]]
    store.append("i", -5, one(integers, 8, POLICY, "integers"), [-5, 9])
    store.append("s", 0, encode_sets(sets, 50)[0], np.array([0, 1, 1000], np.uint32))
    times, got = store.frames("i")
    assert times.tolist() == [-5, 9]
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, integers)
    times, ids = store.frames("s")
    assert times.tolist() == [0, 1, 1000]
    assert [i.tolist() for i in ids] == sets
    assert {stored.tier for name in "is" for stored in store.query(name)} == {None}
    assert store.retier(now=10**6) == []
    with pytest.raises(EspikeError, match="exact and need no source"):
        store.append("i", 100, one(integers, 8, POLICY, "integers"), source=integers)
    assert store.check() == []


@given(st.integers(-(1 << 62), 1 << 40), st.lists(st.integers(1, 1 << 40) | st.just(1), max_size=40))
@settings(max_examples=60, deadline=None)
def test_times_pack(start: int, steps: list[int]) -> None:
    times = np.cumsum([start, *steps], dtype=np.int64)
    gaps = pack_times(times)
    assert (gaps is None) == all(step == 1 for step in steps)
    np.testing.assert_array_equal(unpack_times(start, int(times[-1]), len(times), gaps, ""), times)
    with pytest.raises(EspikeError, match="times"):
        unpack_times(start, int(times[-1]) + 1, len(times), gaps, "")


def test_dropped_frames_cost_few_bytes() -> None:
    times = np.delete(np.arange(1000), [17, 400, 401])
    packed = pack_times(times)
    assert packed is not None
    assert len(packed) < 32


# ranges


def test_ranges_at_every_boundary(store: SegmentStore) -> None:
    spans = [np.arange(10, 15), np.array([15, 16, 20, 21]), np.array([30]), np.arange(31, 34)]
    held = {}
    for seed, times in enumerate(spans):
        data = one(frames(len(times), seed))
        store.append("v", int(times[0]), data, times)
        held |= dict(zip(times.tolist(), decode(data), strict=True))
    for start in [None, *range(8, 36)]:
        for stop in [None, *range(8, 36)]:
            low, high = -99 if start is None else start, 99 if stop is None else stop
            expected = [t for t in sorted(held) if low <= t < high]
            times, got = store.frames("v", start, stop, touch=False)
            assert times.tolist() == expected
            np.testing.assert_array_equal(got, np.array([held[t] for t in expected]).reshape(-1, LENGTH))
            keys = [s.key for s in store.query("v", start, stop, touch=False)]
            there = [f"v:{s[0]}:{s[-1]}" for s in spans if any(low <= t < high for t in s)]
            assert keys == there, (start, stop)


def test_only_what_is_needed_is_decoded(store: SegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        store.append("v", 100 * i, one(frames(100, i)))
    asked: list[tuple[int, Any]] = []
    real = segment_repair.Segment.decode

    def spy(self: Any, start: int = 0, stop: int | None = None) -> Any:
        asked.append((start, stop))
        return real(self, start, stop)

    monkeypatch.setattr(segment_repair.Segment, "decode", spy)
    store.frames("v", 199, 201)
    assert asked == [(99, 100), (0, 1)]


def test_overlap_is_refused(store: SegmentStore) -> None:
    store.append("v", 10, one(frames(5)))
    store.append("v", 20, one(frames(2)), [20, 30])
    for start, count in [(6, 5), (10, 1), (14, 1), (14, 9), (12, 2), (0, 40), (21, 2), (30, 1), (16, 5)]:
        with pytest.raises(EspikeError, match=f"v:{start}:{start + count - 1} overlaps v:(10:14|20:30)"):
            store.append("v", start, one(frames(count)))
    assert [store.append("v", 5, one(frames(5))), store.append("v", 15, one(frames(5)))] == ["v:5:9", "v:15:19"]
    assert store.append("v", 31, one(frames(1))) == "v:31:31"
    assert store.check() == []


def test_append_refuses_what_does_not_fit(store: SegmentStore) -> None:
    good = one(frames(3))
    wide = np.ones((1, LENGTH + 1), np.float32)
    cases: list[tuple[str, Any]] = [
        ("tensor w is not there", lambda: store.append("w", 0, good)),
        ("no segment begins", lambda: store.append("v", 0, b"x" * 40)),
        ("damaged at byte", lambda: store.append("v", 0, good[:-1])),
        ("3 bytes follow", lambda: store.append("v", 0, good + b"abc")),
        ("length 7, expected quantized of 6", lambda: store.append("v", 0, one(wide))),
        ("segment of integers", lambda: store.append("v", 0, one(np.ones((1, 6), np.int32), 8, POLICY, "integers"))),
        ("timestamps are", lambda: store.append("v", 0, good, [0, 1])),
        ("timestamps are", lambda: store.append("v", 0, good, [0, 1, 2.5])),
        ("ascend from 0", lambda: store.append("v", 0, good, [1, 2, 3])),
        ("ascend from 0", lambda: store.append("v", 0, good, [0, 2, 2])),
        ("out of range", lambda: store.append("v", 1 << 62, good)),
        ("tier lukewarm", lambda: store.append("v", 0, good, tier="lukewarm")),
        ("the source is float64", lambda: store.append("v", 0, good, source=np.ones((3, 6)))),
        ("the source is float32", lambda: store.append("v", 0, good, source=frames(2))),
        ("with other properties", lambda: store.add(Tensor("v", "quantized", 7))),
        ("no kind", lambda: store.add(Tensor("w", "floats", 7))),  # type: ignore[arg-type]
        ("printable", lambda: store.add(Tensor("a\nb", "sets", 7))),
        ("no JSON", lambda: store.add(Tensor("w", "sets", 7, {"x": object()}))),
        ("out of range", lambda: store.add(Tensor("w", "sets", 7, policy=Policy(bits=(9, 9, 9))))),
        ("no key", lambda: store.segment("v")),
        ("is not there", lambda: store.segment("v:0:2")),
        ("tensor w is not there", lambda: store.query("w")),
    ]
    for text, action in cases:
        with pytest.raises(EspikeError, match=text) as caught:
            action()
        assert "\n" not in str(caught.value)
    assert list(store.query("v")) == []
    store.add(Tensor("v", "quantized", LENGTH, {"unit": "mV"}, POLICY, "host", "abc"))


def test_batches(store: SegmentStore, path: Path) -> None:
    with store.batch():
        store.append("v", 0, one(frames(1)))
        with pytest.raises(EspikeError, match="overlaps"):
            store.append("v", 0, one(frames(1)))
        with suppress(KeyError), store.batch():
            store.append("v", 5, one(frames(1)))
            raise KeyError
        with SegmentStore(path) as other:
            assert list(other.query("v")) == []
        store.append("v", 1, one(frames(1)))
    with suppress(KeyError), store.batch():
        store.append("v", 2, one(frames(1)))
        raise KeyError
    assert [stored.key for stored in store.query("v")] == ["v:0:0", "v:1:1"]


def test_a_tensor_of_an_undone_batch_is_gone(store: SegmentStore) -> None:
    with suppress(KeyError), store.batch():
        store.add(Tensor("w", "quantized", LENGTH))
        store.append("w", 0, one(frames(1)))
        raise KeyError
    with pytest.raises(EspikeError, match="tensor w is not there"):
        store.append("w", 0, one(frames(1)))


# tiers


def test_accesses_drive_the_tier_over_time(store: SegmentStore) -> None:
    values = frames(20)
    key = store.append("v", 0, one(values, 8), source=values)
    for i in range(50):
        store.frames("v", 0, 1, now=1000 + i)
    list(store.query("v", now=1050))
    tensor = store.tensor("v")
    assert (tensor.access_count, tensor.last_access) == (51, 1050)
    assert tensor.policy.score(51, 1050, 1060) == 51 * 1024 // 11
    seen = []
    for now in (1060, 1050 + 400, 1050 + 5000, 1050 + 400, 1051):
        store.retier(now=now)
        stored = store.segment(key)
        assert stored.tier == TIERS[tensor.tier(now)]
        assert stored.data == one(values, stored.bits)
        seen.append((stored.tier, stored.bits))
    assert seen == [("hot", 8), ("warm", 7), ("cold", 3), ("warm", 7), ("hot", 8)]
    assert store.retier(now=1051) == []
    assert store.check() == []
    store.frames("v", touch=False)
    assert store.tensor("v").access_count == 51


def test_clock_wraps(store: SegmentStore) -> None:
    store.touch("v", (1 << 32) - 2)
    assert store.tensor("v").tier(5 + (1 << 32)) == 1  # age 8, score 128
    store._file.run("UPDATE tensors SET access_count = 4294967295")
    store.touch("v")
    assert store.tensor("v").access_count == (1 << 32) - 1
    assert abs(store.tensor("v").last_access - (int(time.time()) & 0xFFFFFFFF)) < 60


def test_retier_without_source(store: SegmentStore) -> None:
    values = frames(30)
    key = store.append("v", 7, one(values, 8), [*range(7, 36), 40])
    (done,) = store.retier("v", now=1)
    assert (done.tier, done.bits_before, done.bits, done.requantized, done.kept) == ("cold", 8, 3, True, "")
    stored = store.segment(key)
    assert stored.data == one(decode(one(values, 8)), 3)
    assert stored.requantized
    for _ in range(100):
        store.touch("v", 2)
    (done,) = store.retier("v", now=2)
    assert done.kept == "8 bits need the source, which is not kept"
    assert (done.bits, store.segment(key)) == (3, stored)
    chain = store.lineage(key)
    assert [(a.bits, a.tier, a.requantized, a.replaced_at) for a in chain] == [
        (3, "cold", True, None), (8, "hot", False, 1)
    ]  # fmt: skip
    assert [(a.id, a.parent, a.frames, a.byte_count) for a in chain] == [
        (2, 1, 30, len(stored.data)), (1, None, 30, len(one(values, 8)))
    ]  # fmt: skip
    assert store.frames("v")[0].tolist() == [*range(7, 36), 40]
    assert store.check() == []


@pytest.mark.parametrize("dtype", ["float32", "int32", "int16", "int8"])
def test_retier_from_source_is_exact(store: SegmentStore, dtype: str) -> None:
    values = (frames(40) * (1 if dtype == "float32" else 100)).astype(dtype)
    key = store.append("v", 0, one(values, 8), source=values)
    for bits in (3, 5, 7, 8):
        (done,) = store.retier(now=9, policy=POLICY.fixed(bits)) if bits != 8 else store.retier(policy=POLICY.fixed(8))
        assert not done.requantized
        assert store.segment(key).data == one(values, bits)
        np.testing.assert_array_equal(store.frames("v")[1], decode(one(values, bits)))
    assert store.tensor("v").policy == POLICY.fixed(8)
    assert [a.bits for a in store.lineage(key)] == [8, 7, 5, 3, 8]
    assert store.drop_source("v", 0, 39) == 0
    assert store.drop_source("v", 0, 40) > 0
    assert store.source(store.segment(key)) is None
    assert store.check() == []


def test_retier_may_cut_a_segment(store: SegmentStore) -> None:
    # 8-bit codes of frames at half of full scale stay together with low_q8 0 and are cut with the default.
    values = frames(9)
    values[4:] *= 0.3
    wide = Policy(version=2, low_q8=0)
    times = [0, 1, 2, 3, 10, 11, 12, 13, 14]
    store.append("v", 0, one(values, 8, wide), times, source=values)
    (done,) = store.retier("v", now=0)
    assert done.keys == ("v:0:3", "v:10:14")
    assert [s.data for s in store.query("v")] == encode(values, POLICY, bits=3)
    assert store.frames("v")[0].tolist() == times
    assert [a.id for a in store.lineage("v:10:14")] == [3, 1]
    (first, second) = store.retier("v", policy=POLICY.fixed(8))
    assert (first.requantized, second.requantized) == (False, False)
    assert [s.data for s in store.query("v")] == [one(values[:4], 8), one(values[4:], 8)]
    assert store.check() == []


def test_retier_same_width_moves_the_tag_alone(store: SegmentStore) -> None:
    key = store.append("v", 0, one(frames(3), 7))
    before = store.segment(key)
    (done,) = store.retier(now=5, policy=Policy(version=2, bits=(8, 7, 7)))
    after = store.segment(key)
    assert (done.bits, before.tier, after.tier, after.id, after.data) == (7, "warm", "cold", before.id, before.data)
    assert len(store.lineage(key)) == 1


def test_retier_leaves_what_cannot_be_coded(store: SegmentStore) -> None:
    store.add(Tensor("t", "quantized", LENGTH, policy=V1))
    tiny = np.full((1, LENGTH), 1e-9, np.float32)
    data = one(tiny, 8, Policy.plain())
    key = store.append("t", 0, data, source=tiny)
    (done,) = store.retier("t", now=0)
    assert "binary16 cannot hold" in done.kept
    assert store.segment(key).data == data


def test_version_2_is_not_made_version_1(store: SegmentStore) -> None:
    tiny = np.full((2, LENGTH), 1e-9, np.float32)
    key = store.append("v", 0, one(tiny, 8), source=tiny)
    (done,) = store.retier("v", now=0, policy=V1)
    assert (done.kept, store.segment(key).version) == ("", 2)


def test_retier_in_a_batch_is_undone_with_it(store: SegmentStore) -> None:
    key = store.append("v", 0, one(frames(3), 8))
    with suppress(KeyError), store.batch():
        assert store.retier(now=0)[0].bits == 3
        raise KeyError
    assert store.segment(key).bits == 8
    assert store.check() == []


def test_retier_gives_bytes_back(path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(-0.5, 0.5, (64, 256)).astype(np.float32)
    values[:, ::64] = 1
    with SegmentStore(path, "new") as made:
        made.add(Tensor("v", "quantized", 256, policy=POLICY))
        with made.batch():
            for i in range(40):
                made.append("v", 64 * i, one(values, 8), source=values)
    before = path.stat().st_size
    with SegmentStore(path, "write") as made:
        made.drop_source()
        made.retier(now=0)
    assert path.stat().st_size < before / 4
    assert problems(path) == []


# the rest of the interface


def test_attachments(store: SegmentStore, path: Path) -> None:
    store.attach("image", b"\0" * 9000, {"board": "esp32"})
    store.attach("image", b"\1" * 9000, {"board": "esp32s3"})
    store.attach("a", b"")
    assert store.attachments() == ["a", "image"]
    with SegmentStore(path) as other:
        got = other.attachment("image")
        assert (got.data, got.meta) == (b"\1" * 9000, {"board": "esp32s3"})
    with pytest.raises(EspikeError, match="attachment b: is not there"):
        store.attachment("b")


def test_sizes(store: SegmentStore, path: Path) -> None:
    store.add(Tensor("s", "sets", 50))
    data, sets = one(frames(20)), encode_sets([[1, 2], [3]], 50)[0]
    store.append("v", 0, data, source=frames(20))
    store.append("s", 0, sets)
    store.attach("x", b"12345")
    sizes = store.sizes()
    s, v = sizes.tensors
    assert (v.segment_bytes, v.frames, v.raw_bytes, v.ratio) == (len(data), 20, 480, 480 / len(data))
    assert (s.segment_bytes, s.raw_bytes, s.source_bytes) == (len(sets), 12, 0)
    assert sizes.attachment_bytes == 5
    assert sizes.segment_bytes == len(data) + len(sets)
    assert sizes.ratio == 492 / sizes.segment_bytes
    assert v.source_bytes > 0
    store.close()
    with SegmentStore(path) as opened:
        assert opened.sizes().file_bytes == path.stat().st_size


def test_export(store: SegmentStore, tmp_path: Path) -> None:
    store.add(Tensor("s", "sets", 50, {"meaning": "who fired"}))
    values = frames(5)
    store.append("v", 3, one(values), [3, 4, 5, 8, 9])
    store.append("v", 10, one(values))
    store.append("s", 0, encode_sets([[1, 2], [], [3]], 50)[0])
    out = tmp_path / "x.npz"
    store.export_npz(out, None, 1, 10)
    with np.load(out) as file:
        assert json.loads(bytes(file["meta"]))["format"] == "tensors"
        assert set(file.files) == {"meta", "v.timestamps", "v.values", "s.timestamps", "s.start", "s.ids"}
        assert file["v.timestamps"].tolist() == [3, 4, 5, 8, 9]
        np.testing.assert_array_equal(file["v.values"], decode(one(values)))
        assert (file["s.start"].tolist(), file["s.ids"].tolist()) == ([0, 0, 1], [3])
    table = tmp_path / "x.csv"
    store.export_csv(table, "v", 9, 12)
    with table.open() as file_:
        head, *rows = csv.reader(file_)
    assert head == ["timestamp", *map(str, range(LENGTH))]
    assert [int(row[0]) for row in rows] == [9, 10, 11]
    expected = decode(one(values))[[4, 0, 1]]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), expected)
    store.export_csv(table, "s")
    assert table.read_text() == "timestamp,id\n0,1\n0,2\n2,3\n"
    store._file.run("UPDATE segments SET bytes = zeroblob(length(bytes)) WHERE tensor_id = 's'")
    for export in (lambda: store.export_csv(table, "s"), lambda: store.export_npz(out, ["s"])):
        with pytest.raises(EspikeError, match="damaged"):
            export()
    assert table.read_text() == "timestamp,id\n0,1\n0,2\n2,3\n"
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix in (".csv", ".npz", ".tmp")) == ["x.csv", "x.npz"]
    assert store.tensor("v").access_count == 0


# what cannot be opened


def test_a_closed_recording_is_one_file(store: SegmentStore, path: Path) -> None:
    store.append("v", 0, one(frames(3)))
    store.close()
    assert [p.name for p in path.parent.iterdir()] == ["x.rec"]
    assert path.read_bytes()[18:20] == b"\1\1"  # no WAL
    with pytest.raises(EspikeError, match="is closed"):
        store.append("v", 10, one(frames(3)))
    store.close()


def test_reading_changes_nothing(store: SegmentStore, path: Path) -> None:
    store.append("v", 0, one(frames(3)))
    store.close()
    before = path.read_bytes()
    with SegmentStore(path) as opened:
        opened.frames("v")
        assert opened.tensor("v").access_count == 0
        for action in (lambda: opened.append("v", 9, one(frames(1))), lambda: opened.retier(), opened.repair):
            with pytest.raises(EspikeError, match="open for reading only"):
                action()
    assert path.read_bytes() == before


def refused(path: Path, text: str, mode: Any = "read", **more: Any) -> None:
    with pytest.raises(EspikeError, match=text) as caught:
        SegmentStore(path, mode, **more)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_versions_and_foreign_files(store: SegmentStore, path: Path, tmp_path: Path) -> None:
    store.close()
    for version, text in [(2, "version 2 is later than 1; update espike"), (0, "version 0 is not known")]:
        raw(path, f"PRAGMA user_version = {version}")
        before = path.read_bytes()
        refused(path, text)
        refused(path, text, "write")
        assert path.read_bytes() == before
    foreign = tmp_path / "foreign.db"
    raw(foreign, "CREATE TABLE segments (id)")
    before = foreign.read_bytes()
    for mode in ("read", "write"):
        refused(foreign, "database of another program", mode)
    assert foreign.read_bytes() == before
    text = tmp_path / "text"
    text.write_text("hello, I am no database\n" * 100)
    for mode in ("read", "write"):
        refused(text, "is no recording of espike", mode)
    refused(tmp_path / "missing", "does not exist")
    refused(tmp_path, "is a folder")
    refused(tmp_path, "exists already|is a folder", "new")
    refused(path, "exists already", "new")
    refused(tmp_path / "no" / "folder", "No such file", "new")
    refused(tmp_path / "no" / "folder", "cannot be opened", "write")
    empty = tmp_path / "empty"
    empty.touch()
    refused(empty, "is empty")
    SegmentStore(empty, "write").close()
    assert problems(empty) == []


def test_missing_tables_are_said(store: SegmentStore, path: Path) -> None:
    store.close()
    raw(path, "DROP TABLE sources")
    with SegmentStore(path) as opened, pytest.raises(EspikeError, match="a table is missing or foreign"):
        opened.sizes()
    assert any("sources: cannot be read" in line for line in problems(path))


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder, and no rights but those of everybody."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        yield folder
    finally:
        if user == 0:
            os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_read_only_files(store: SegmentStore, path: Path) -> None:
    store.append("v", 0, one(frames(3)))
    with nobody() as folder:
        left = folder / "left.rec"
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{left}{end}")
            Path(f"{left}{end}").chmod(0o444)
        store.close()
        plain, wal = folder / "plain.rec", folder / "wal.rec"
        shutil.copy(path, plain)
        shutil.copy(path, wal)
        raw(wal, "PRAGMA journal_mode = WAL")
        for file in (plain, wal):
            file.chmod(0o444)
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        for file in (plain, wal):
            with SegmentStore(file) as opened:
                assert len(opened.frames("v")[0]) == 3
            refused(file, "cannot be written", "write")
        refused(left, "cannot be (written|opened); look at the rights")
        refused(folder / "x", "Permission denied|cannot be opened", "new")


def test_locked(store: SegmentStore, path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    with SegmentStore(path, "write", timeout_s=0.05) as other:
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(EspikeError, match="another program is writing to it; try again"):
            other.append("v", 0, one(frames(1)))
        refused(path, "another program is writing", "write", timeout_s=0.05)
        with SegmentStore(path) as reader:
            assert reader.check() == []
        blocker.execute("ROLLBACK")
        assert other.append("v", 0, one(frames(1))) == "v:0:0"
    blocker.close()


def test_threads(store: SegmentStore) -> None:
    caught: list[Any] = []

    def use() -> None:
        try:
            store.append("v", 0, one(frames(1)))
        except EspikeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "was opened by another thread; open it once per thread" in caught[0]


def test_full_disk(store: SegmentStore) -> None:
    store.append("v", 0, one(frames(3)))
    pages = store._file.rows("PRAGMA page_count")[0][0]
    store._file.rows(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(EspikeError, match="the disk is full; what was acknowledged is kept; make room"):
        store.attach("big", b"x" * 50_000)

    def fill() -> None:
        with store.batch():
            store.append("v", 10, one(frames(3)))
            with suppress(EspikeError):
                store.attach("big", b"x" * 50_000)
            store.append("v", 20, one(frames(3)))

    with pytest.raises(EspikeError, match=r"disk is full|undone this batch"):
        fill()
    assert [s.key for s in store.query("v")] == ["v:0:2"]
    store._file.rows("PRAGMA max_page_count = 100000")
    assert store.append("v", 10, one(frames(3))) == "v:10:12"
    assert store.check() == []


def test_every_commit_waits_for_the_disk(store: SegmentStore) -> None:
    store.touch("v")
    assert store._file.rows("PRAGMA journal_mode") == [("wal",)]
    assert store._file.rows("PRAGMA synchronous")[0][0] >= 2


# two processes


WRITER = """
import sys
from espike.segment_store import SegmentStore
from tests_data import one, frames
with SegmentStore(sys.argv[1], "write") as store:
    for i in range(300):
        store.append("v", 3 * i, one(frames(3, i)))
"""

KILLED = """
import sys
from espike.segment_store import SegmentStore
from espike_sim.segment import Policy
from tests_data import one, frames
store = SegmentStore(sys.argv[1], "write", timeout_s=30)
last = [s.end for s in store.query("v", touch=False)][-1:]
at, i = (last[0] + 1 if last else 0), 0
datas = [(one(f), f) for f in (frames(3, seed) for seed in range(8))]
while True:
    i += 1
    count = 7 if i % 5 == 0 else 1
    with store.batch():
        keys = []
        for _ in range(count):
            data, source = datas[at // 3 % 8]
            keys.append(store.append("v", at, data, source=source))
            at += 3
    print(*keys, sep="\\n", flush=True)
    if i % 11 == 0:
        store.retier("v", now=0, policy=Policy(version=2).fixed(3 if i % 2 else 8))
    if i % 50 == 0:
        store.close()
        store = SegmentStore(sys.argv[1], "write", timeout_s=30)
"""


def spawn(tmp_path: Path, script: str, path: Path) -> subprocess.Popen[str]:
    data = tmp_path / "tests_data.py"
    if not data.exists():
        source = Path(__file__).read_text()
        start, end = source.index("POLICY ="), source.index("@pytest.fixture\ndef path")
        head = "from __future__ import annotations\nimport numpy as np\nfrom typing import Any\n"
        head += "from espike_sim.segment import *\n"
        data.write_text(head + source[start:end])
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)


def test_a_reader_while_another_process_writes(store: SegmentStore, path: Path, tmp_path: Path) -> None:
    store.close()
    process = spawn(tmp_path, WRITER, path)
    seen = [0]
    try:
        while process.poll() is None:
            with SegmentStore(path) as reader:
                for _ in range(5):
                    times, values = reader.frames("v")
                    assert times.tolist() == list(range(len(times)))
                    assert len(times) >= seen[-1]
                    assert len(values) == len(times)
                    seen.append(len(times))
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert len(set(seen)) > 3, "it was read in between"
    with SegmentStore(path) as reader:
        assert len(reader.frames("v")[0]) == 900
        assert reader.check() == []


def test_kill_9(store: SegmentStore, path: Path, tmp_path: Path) -> None:
    store.close()
    rng = random.Random(9)
    acknowledged: list[str] = []
    for _ in range(24):
        process = spawn(tmp_path, KILLED, path)
        assert process.stdout is not None
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(rng.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        told = process.communicate()[0].split("\n")
        acknowledged += told[:-1]  # the last line may be cut
        with SegmentStore(path) as opened:
            there = {stored.key for stored in opened.query("v")}
            assert set(acknowledged) <= there
            assert opened.check() == []
    assert len(acknowledged) > 100
    with SegmentStore(path, "write") as opened:
        times, _ = opened.frames("v")
        assert times.tolist() == list(range(len(times)))
        opened.retier("v", policy=POLICY.fixed(8))
        expected = np.concatenate([decode(one(frames(3, i // 3 % 8))) for i in range(0, len(times), 3)])
        np.testing.assert_array_equal(opened.frames("v")[1], expected)


# damage


def filled(path: Path, *, policy: Policy = POLICY, count: int = 30, sources: bool = False) -> dict[str, bytes]:
    """A closed store of `count` segments and some of everything else."""
    held = {}
    with SegmentStore(path, "new") as made:
        made.add(Tensor("v", "quantized", LENGTH, {"unit": "mV"}, policy, "host", "abc"))
        made.add(Tensor("s", "sets", 50))
        with made.batch():
            for i in range(count):
                values = frames(8, i)
                data = one(values, 8, policy)
                times = np.arange(8) * (2 if i % 3 == 0 else 1) + 100 * i
                held[made.append("v", 100 * i, data, times, source=values if sources else None)] = data
            made.append("s", 0, encode_sets([[1, 2], [], [3]], 50)[0])
        made.attach("image", bytes(range(256)) * 40)
    return held


def test_flipped_bytes_in_blobs_are_found(path: Path) -> None:
    held = filled(path)
    before = path.read_bytes()
    rng = random.Random(3)
    for key, data in list(held.items())[:20]:
        at = before.index(data) + rng.randrange(len(data))
        path.write_bytes(before[:at] + bytes([before[at] ^ 1 << rng.randrange(8)]) + before[at + 1 :])
        assert problems(path) == [f"segments {key}: its checksum does not match"]
        with SegmentStore(path) as opened:
            with pytest.raises(EspikeError, match=f"{key}: segment is damaged: its checksum does not match; repair"):
                opened.frames("v")
            start = int(key.split(":")[1])
            assert len(opened.frames("v", start + 20)[0]) + len(opened.frames("v", None, start)[0]) == 8 * 29


@pytest.mark.parametrize("policy", [V1, POLICY])
def test_repair_moves_what_is_damaged(path: Path, policy: Policy) -> None:
    held = filled(path, policy=policy)
    key, data = list(held.items())[4]
    worse = data[:-1] + bytes([data[-1] ^ 1])
    raw(path, "UPDATE segments SET bytes = ? WHERE start = 400", worse)
    with SegmentStore(path, "write") as opened:
        done = opened.repair()
        assert done.moved == [f"segments {key}: its checksum does not match"]
        assert (done.rebuilt, done.lost) == ([], [])
        assert opened.check() == []
        assert [s.key for s in opened.query("v")] == [k for k in held if k != key]
        assert opened.append("v", 400, data) == "v:400:407"
    ((table, row, why, kept),) = raw(path, 'SELECT "table", "row", why, bytes FROM damaged')
    assert (table, why, kept) == ("segments", "its checksum does not match", worse)
    assert '"tensor_id": "v"' in row


def test_repair_from_source(path: Path) -> None:
    held = filled(path, sources=True)
    keys = list(held)
    raw(path, "UPDATE segments SET bytes = x'00' WHERE start = 300")
    raw(path, "UPDATE segments SET gaps = x'0102' WHERE start = 600")
    raw(path, "UPDATE segments SET bytes = 'text', tier = 5, bits = 99 WHERE start = 900")
    with SegmentStore(path, "write") as opened:
        done = opened.repair()
        assert len(done.rebuilt) == 3
        assert done.moved == done.lost == []
        assert opened.check() == []
        assert {s.key: s.data for s in opened.query("v")} == held
        assert [a.id for a in opened.lineage(keys[3])] == [32, 4]
        assert opened.frames("v", 300, 400)[0].tolist() == list(range(300, 316, 2))


def test_repair_of_tags_times_and_lineage(path: Path) -> None:
    held = filled(path)
    raw(path, "UPDATE segments SET bits = 3, tier = 'tepid' WHERE start = 100")
    raw(path, "UPDATE segments SET frames = 9, version = 1 WHERE start = 200")
    raw(path, "UPDATE segments SET crc32 = 5 WHERE start = 400")
    raw(path, 'UPDATE segments SET "end" = 508 WHERE start = 500')
    found = problems(path)
    assert found[0] == "segments v:100:107: its tags do not agree with its bytes: bits, tier"
    assert len(found) == 4
    with SegmentStore(path, "write") as opened:
        done = opened.repair()
        assert len(done.rebuilt) == 3
        assert done.moved == ["segments v:500:508: its checksum does not match"]
        assert opened.check() == []
        assert {s.key: s.data for s in opened.query("v")} == {k: d for k, d in held.items() if k != "v:500:507"}
        assert (opened.segment("v:100:107").bits, opened.segment("v:100:107").tier) == (8, "hot")
        opened.retier("v", now=0)
    raw(path, "DELETE FROM lineage WHERE start = 700")
    raw(path, "UPDATE lineage SET bits = 7 WHERE start = 800")
    assert len(problems(path)) == 2
    with SegmentStore(path, "write") as opened:
        done = opened.repair()
        assert done.moved[0].startswith("lineage")
        assert len(done.rebuilt) == 2
        assert opened.check() == []
        assert len(opened.lineage("v:700:707")) == 1


def test_overlap_is_found_and_the_younger_moves(path: Path) -> None:
    held = filled(path, count=4)
    row = raw(path, "SELECT * FROM segments WHERE start = 200")[0]
    made = segment_file.SEGMENTS.row(row) | {"id": 99, "start": 104, "end": 111}
    made["crc32"] = segment_file.SEGMENTS.seal(made)
    raw(path, f"INSERT INTO segments VALUES ({', '.join('?' * len(made))})", *made.values())
    assert problems(path) == ["segments v:104:111: overlaps v:100:107"]
    with SegmentStore(path, "write") as opened:
        assert opened.repair().moved == ["segments v:104:111: overlaps v:100:107"]
        assert opened.check() == []
        assert {s.key for s in opened.query("v")} == set(held)


def test_tensors_are_made_from_segments(path: Path) -> None:
    held = filled(path)
    raw(path, "UPDATE tensors SET tensor_len = 7 WHERE tensor_id = 'v'")
    raw(path, "DELETE FROM tensors WHERE tensor_id = 's'")
    raw(path, "UPDATE attachments SET meta = '{'")
    with SegmentStore(path) as opened:
        for action in (lambda: opened.frames("v"), lambda: opened.attachment("image")):
            with pytest.raises(EspikeError, match="is damaged: its checksum does not match"):
                action()
    with SegmentStore(path, "write") as opened:
        done = opened.repair()
        assert (len(done.rebuilt), len(done.moved)) == (2, 1)
        assert opened.check() == []
        v, s = opened.tensor("v"), opened.tensor("s")
        assert (v.kind, v.tensor_len, v.meta, v.policy, v.producer) == (
            "quantized", LENGTH, {"unit": "mV"}, POLICY, "host"
        )  # fmt: skip
        assert (s.kind, s.tensor_len) == ("sets", 50)
        assert {x.key: x.data for x in opened.query("v")} == held


def test_damaged_index_is_made_anew(path: Path) -> None:
    held = filled(path)
    root = raw(path, "SELECT rootpage FROM sqlite_master WHERE name = 'segments_start'")[0][0]
    data = bytearray(path.read_bytes())
    at = (root - 1) * 4096 + 8
    data[at : at + 2], data[at + 2 : at + 4] = data[at + 2 : at + 4], data[at : at + 2]
    path.write_bytes(data)
    assert any("index" in line for line in problems(path))
    with SegmentStore(path, "write") as opened:
        assert "indices" in opened.repair().rebuilt[0]
        assert opened.check() == []
        assert {x.key: x.data for x in opened.query("v")} == held


def test_salvage_of_a_sound_file_loses_nothing(path: Path, tmp_path: Path) -> None:
    held = filled(path, sources=True)
    with SegmentStore(path, "write") as opened:
        opened.retier("v", now=0)
        opened.retier("v", now=0, policy=POLICY.fixed(8))
        expected = list(opened.query("v", touch=False)), opened.tensors(), opened.lineage("v:100:107")
    done = salvage(path, tmp_path / "new.rec")
    assert (done.rebuilt, done.moved, done.lost) == ([], [], [])
    with SegmentStore(tmp_path / "new.rec") as opened:
        got = list(opened.query("v")), opened.tensors(), opened.lineage("v:100:107")
        assert [(s.id, s.key, s.data) for s in got[0]] == [(s.id, s.key, s.data) for s in expected[0]]
        assert got[1:] == expected[1:]
        assert {s.key: s.data for s in got[0]} == held
        assert opened.check() == []
        assert opened.attachment("image").data == bytes(range(256)) * 40


def judge(done: segment_repair.Repair, new: Path, held: dict[str, bytes]) -> int:
    """The salvaged store is sound, holds nothing but what was there, and names what is not -> segments in it."""
    with SegmentStore(new) as opened:
        assert opened.check() == []
        names = {tensor.tensor_id for tensor in opened.tensors()}
        got = {s.key: s.data for s in opened.query("v")} if "v" in names else {}
    assert got.items() <= held.items()
    if len(got) < len(held):
        assert done.lost + done.moved
    return len(got)


def test_truncated_files(path: Path, tmp_path: Path) -> None:
    held = filled(path, count=300)
    whole = path.read_bytes()
    best = 0
    for number, part in enumerate([0.99, 0.9, 0.7, 0.5, 0.3]):
        path.write_bytes(whole[: int(len(whole) * part) // 4096 * 4096])
        with pytest.raises(EspikeError, match="salvage") as caught, SegmentStore(path, "write") as opened:
            opened.repair()
        assert "\n" not in str(caught.value)
        done = salvage(path, tmp_path / f"{number}.rec")
        count = judge(done, tmp_path / f"{number}.rec", held)
        assert any("last" in line and "pages" in line for line in done.lost)
        assert best == 0 or count <= best
        best = count
        assert count >= 250 * (part - 0.5)  # the first pages are indices
    path.write_bytes(whole[:-2000])
    assert problems(path) == ["attachments image: its checksum does not match"]
    path.write_bytes(whole[:2000])
    with pytest.raises(EspikeError, match="nothing of a recording is found"):
        salvage(path, tmp_path / "none.rec")
    assert not (tmp_path / "none.rec").exists()
    path.write_bytes(b"")
    with pytest.raises(EspikeError, match="is empty"):
        salvage(path, tmp_path / "none.rec")


def test_garbled_pages(path: Path, tmp_path: Path) -> None:
    held = filled(path, count=300, sources=True)
    whole = path.read_bytes()
    rng = random.Random(5)
    pages = len(whole) // 4096
    for trial in range(25):
        data = bytearray(whole)
        hit = [1, *range(2, pages + 1)][trial : trial + 1] if trial < 12 else rng.sample(range(1, pages + 1), 4)
        for page in hit:
            start = (page - 1) * 4096 + (rng.randrange(4096) if trial % 2 else 0)
            end = page * 4096
            data[start:end] = rng.randbytes(end - start)
        path.write_bytes(data)
        told = ["cannot be opened"]
        with suppress(EspikeError):
            told = problems(path)
        new = tmp_path / f"{trial}.rec"
        done = salvage(path, new)
        count = judge(done, new, held)
        # A page holds some 20 segments, and the source of what it held may lie in another one.
        assert count >= 300 - 25 * len(hit), (trial, hit)
        if count < 300:
            assert told


def test_salvage_reads_a_log_that_was_left_over(store: SegmentStore, path: Path, tmp_path: Path) -> None:
    keys = [store.append("v", 10 * i, one(frames(5, i))) for i in range(20)]
    copy = tmp_path / "copy.rec"
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    assert salvage(copy, tmp_path / "new.rec").lost == []
    with SegmentStore(tmp_path / "new.rec") as opened:
        assert [s.key for s in opened.query("v")] == keys


def test_records_are_those_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "any.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("CREATE TABLE t (a, b, c, d)")
    rng = random.Random(1)
    rows = [
        (rng.choice([None, 0, 1, -1, 127, -129, 1 << 40, -(1 << 62), 0.5]), "é" * (i % 70), rng.randbytes(i * 13), i)
        for i in range(300)
    ]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    found = sqlite_pages.read_pages(path)
    assert found.page_bytes == 1024
    assert found.stated == found.count
    got = {record.rowid: record.values for record in found.records() if len(record.values) == 4 and record.is_whole}
    assert got == {i + 1: row for i, row in enumerate(rows)}
