"""`espike segment`: every verb on every kind of file, and that bad input costs one line and leaves nothing behind."""

from __future__ import annotations

import os
import sqlite3
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
from numpy.typing import NDArray

from espike import frames_file, segment_io
from espike.recording import IMAGE
from espike.segment_rows import Tensor
from espike.segment_store import SegmentStore
from espike_sim.errors import EspikeError
from espike_sim.segment import Policy, Segment, encode, encode_sets, split

RNG = np.random.default_rng(31)
WALK = np.cumsum(RNG.normal(0, 0.05, (300, 70)), axis=0).astype(np.float32)
WHOLE = RNG.integers(-(2**31), 2**31, (40, 9)).astype(np.int32)
SETS = [np.flatnonzero(RNG.random(100) < rate).astype(np.uint32) for rate in RNG.choice([0, 0.01, 0.2], 50)]
TIMES = np.cumsum(RNG.integers(1, 4, 50)) - 20
"""Of the store's frames, with holes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every kind, made by the library."""
    path = tmp_path_factory.mktemp("segments")
    np.save(path / "walk.npy", WALK)
    np.save(path / "turned.npy", np.asfortranarray(WALK))
    np.save(path / "doubles.npy", WALK.astype(np.float64))
    np.save(path / "cube.npy", WALK.reshape(300, 7, 10))
    np.save(path / "line.npy", WALK[:, 0])
    np.save(path / "whole.npy", WHOLE)
    np.savez(path / "walk.npz", meta=np.zeros(3), values=WALK, times=np.arange(300))
    np.savez_compressed(path / "one.npz", whatever=WALK)
    np.savez(path / "two.npz", a=WALK, b=WHOLE)
    np.savetxt(path / "walk.csv", WALK, "%.9g", ",")
    np.savetxt(path / "whole.csv", WHOLE, "%d", ",")
    (path / "walk.tqtc").write_bytes(b"".join(encode(WALK, Policy(version=2), bits=8)))
    (path / "v1.tqtc").write_bytes(b"".join(encode(WALK, Policy(version=1), bits=5)))
    (path / "sets.tqtc").write_bytes(b"".join(encode_sets(SETS, 100)))
    (path / "mixed.tqtc").write_bytes((path / "walk.tqtc").read_bytes() + (path / "sets.tqtc").read_bytes())
    with SegmentStore(path / "store", "new") as store:
        fill(store)
    with SegmentStore(path / "single", "new") as store:
        store.add(Tensor("only", "integers", 9))
        store.append("only", 5, encode(WHOLE, Policy(version=2), kind="integers")[0])
    with SegmentStore(path / "bare", "new"):
        pass
    return path


def fill(store: SegmentStore) -> None:
    """A quantized tensor in several segments with their sources, and sets at times with holes."""
    store.add(Tensor("walk", "quantized", 70, policy=Policy(version=2)))
    store.add(Tensor("sets", "sets", 100))
    at = 0
    for data in encode(WALK, Policy(version=2), bits=8):
        frames = Segment(data).frames
        store.append("walk", 1000 + at, data, source=WALK[at : at + frames])
        at += frames
    store.append("sets", int(TIMES[0]), encode_sets(SETS, 100)[0], TIMES)


def bounds(segments: list[Any], tensor_len: int) -> NDArray[Any]:
    """float64 (frames, tensor_len): what `inspect --json` states for each value."""
    rows = [np.tile(np.repeat(s["bounds"], s["group_len"])[:tensor_len], (s["frames"], 1)) for s in segments]
    return np.concatenate(rows)


@pytest.mark.parametrize(
    "source", ["walk.npy", "turned.npy", "doubles.npy", "cube.npy", "walk.npz", "one.npz", "walk.csv"]
)
@pytest.mark.parametrize("version", ["1", "2"])
def test_every_file_of_numbers_encodes_alike(source: str, version: str, folder: Path, tmp_path: Path) -> None:
    line = ("segment", "encode", folder / source, "-o", "out.tqtc", "--version", version, "--bits", "7")
    told = command.run(*line, "--json", cwd=tmp_path).json
    wanted = b"".join(encode(WALK, Policy(version=int(version)), bits=7))
    assert (tmp_path / "out.tqtc").read_bytes() == wanted
    assert (told["file"], told["frames"], told["bytes"]) == ("out.tqtc", 300, len(wanted))
    assert told["ratio"] == pytest.approx(WALK.nbytes / len(wanted))
    done = command.run(*line, cwd=tmp_path)
    assert done.err == ""
    assert done.out.startswith("out.tqtc: 300 frames in ")
    assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize("bits", ["3", "5", "7", "8"])
@pytest.mark.parametrize("more", [(), ("--version", "1"), ("--group-len", "9", "--drift", "100")], ids=str)
def test_round_trips_keep_the_bound(bits: str, more: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    line = ("segment", "encode", folder / "walk.npy", "-o", "out.tqtc", "--bits", bits, *more)
    assert command.run(*line, cwd=tmp_path).code == 0
    segments = command.run("segment", "inspect", "out.tqtc", "--json", cwd=tmp_path).json["segments"]
    assert {s["bits"] for s in segments} == {int(bits)}
    assert sum(s["frames"] for s in segments) == 300
    stated = bounds(segments, 70)
    for to in ("out.npy", "out.npz", "out.csv"):
        told = command.run("segment", "decode", "out.tqtc", "-o", to, "--json", cwd=tmp_path).json
        assert told == {"file": to, "frames": 300}
        found = frames_file.load_frames(tmp_path / to)
        assert np.all(np.abs(found.astype(np.float64) - WALK) <= stated)


def test_decoded_files_agree(folder: Path, tmp_path: Path) -> None:
    """To the bit, also as text; and what was decoded encodes again without being told what is what."""
    wanted = np.concatenate([s.decode() for s in split((folder / "walk.tqtc").read_bytes())])
    for to in ("out.npy", "out.npz", "out.csv"):
        done = command.run("segment", "decode", folder / "walk.tqtc", "-o", to, cwd=tmp_path)
        assert (done.code, done.out, done.err) == (0, f"{to}: 300 frames\n", "")
        found = frames_file.load_frames(tmp_path / to)
        assert found.dtype == np.float32
        assert found.tobytes() == wanted.tobytes()
        made = command.run("segment", "encode", to, "-o", f"{to}.tqtc", cwd=tmp_path)
        assert made.code == 0
    assert len({(tmp_path / f"out.{suffix}.tqtc").read_bytes() for suffix in ("npy", "npz", "csv")}) == 1
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "timestamp," + ",".join(map(str, range(70)))
    assert [line.split(",")[0] for line in lines[1:]] == list(map(str, range(300)))
    assert np.array_equal(np.load(tmp_path / "out.npz")["times"], np.arange(300))
    again = (tmp_path / "out.npz").read_bytes()
    command.run("segment", "decode", folder / "walk.tqtc", "-o", "out.npz", cwd=tmp_path)
    assert (tmp_path / "out.npz").read_bytes() == again


def test_awkward_floats_survive_text(tmp_path: Path) -> None:
    """Scales are any float: so are values, down to the smallest and up to the largest."""
    bits = np.random.default_rng(1).integers(0, 2**32, 3000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = np.concatenate(
        [values[np.isfinite(values)][:2000], np.float32([0, -0.0, 1e-45, 3.4028235e38, 0.1, 1 / 3])]
    )
    frames = values.reshape(-1, 2)
    (tmp_path / "a.csv").write_bytes(b"timestamp,0,1\n" + b"".join(segment_rows_lines(frames)))
    found = frames_file.load_frames(tmp_path / "a.csv")
    assert found.dtype == np.float32
    assert found.tobytes() == frames.tobytes()


def segment_rows_lines(frames: NDArray[np.float32]) -> list[bytes]:
    from espike.segment_rows import csv_lines

    return list(csv_lines(np.arange(len(frames)), frames))


@pytest.mark.parametrize("source", ["whole.npy", "whole.csv", "two.npz"])
def test_integers_come_back_exactly(source: str, folder: Path, tmp_path: Path) -> None:
    more = ("--array", "b") if source == "two.npz" else ()
    line = ("segment", "encode", folder / source, "-o", "out.tqtc", "--kind", "integers", *more)
    assert command.run(*line, cwd=tmp_path).code == 0
    for to in ("out.npy", "out.npz", "out.csv"):
        assert command.run("segment", "decode", "out.tqtc", "-o", to, cwd=tmp_path).code == 0
        assert np.array_equal(frames_file.load_frames(tmp_path / to), WHOLE)
    assert np.load(tmp_path / "out.npy").dtype == np.int32
    shown = command.run("segment", "inspect", "out.tqtc", cwd=tmp_path).out
    assert "integers" in shown
    assert "exact" in shown


def test_a_line_of_numbers_is_frames_of_one(folder: Path, tmp_path: Path) -> None:
    assert command.run("segment", "encode", folder / "line.npy", "-o", "o.tqtc", cwd=tmp_path).code == 0
    assert command.run("segment", "inspect", "o.tqtc", "--json", cwd=tmp_path).json["segments"][0]["tensor_len"] == 1


@pytest.mark.parametrize("piece_bytes", [1, 1 << 16, 1 << 24])
@pytest.mark.parametrize(("start", "stop"), [(None, None), (0, 300), (7, 8), (100, None), (-5, 130), (250, 9999)])
def test_ranges(
    start: int | None, stop: int | None, piece_bytes: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_io, "PIECE_BYTES", piece_bytes)
    more = [f"--start={start}"] if start is not None else []
    more += [f"--stop={stop}"] if stop is not None else []
    for name in ("walk.tqtc", "v1.tqtc"):
        every = np.concatenate([s.decode() for s in split((folder / name).read_bytes())])
        line = ("segment", "decode", folder / name, "-o", "out.npz", *more)
        assert command.run(*line, cwd=tmp_path).code == 0
        made = np.load(tmp_path / "out.npz")
        chosen = slice(max(start or 0, 0), stop)
        assert made["values"].tobytes() == every[chosen].tobytes()
        assert np.array_equal(made["times"], np.arange(300)[chosen])


@pytest.mark.parametrize(("start", "stop"), [(None, None), (1000, 1300), (1040, 1200), (-5, 13), (0, 40), (30, 31)])
def test_stores_decode_by_time(start: int | None, stop: int | None, folder: Path, tmp_path: Path) -> None:
    more = [f"--start={start}"] if start is not None else []
    more += [f"--stop={stop}"] if stop is not None else []
    with SegmentStore(folder / "store") as store:
        for tensor in ("walk", "sets"):
            times, values = store.frames(tensor, start, stop)
            line = ("segment", "decode", folder / "store", "--tensor", tensor, *more)
            if not len(times):
                done = command.run(*line, "-o", "out.npz", cwd=tmp_path)
                assert (done.code, len(done.errors)) == (1, 1)
                assert "holds no frame of these times" in done.err
                continue
            assert command.run(*line, "-o", "out.npz", cwd=tmp_path).code == 0
            made = np.load(tmp_path / "out.npz")
            assert np.array_equal(made["times"], times)
            if tensor == "walk":
                assert made["values"].tobytes() == np.asarray(values).tobytes()
            else:
                assert np.array_equal(made["start"], np.cumsum([0, *map(len, values)]))
                assert np.array_equal(made["ids"], np.concatenate(list(values)))
            assert command.run(*line, "-o", "out.csv", cwd=tmp_path).code == 0
            store.export_csv(tmp_path / "wanted.csv", tensor, start, stop)
            assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "wanted.csv").read_bytes()


def test_a_store_of_one_tensor_needs_no_name(folder: Path, tmp_path: Path) -> None:
    told = command.run("segment", "decode", folder / "single", "-o", "o.npy", "--json", cwd=tmp_path).json
    assert told["frames"] == 40
    assert np.array_equal(np.load(tmp_path / "o.npy"), WHOLE)


def test_sets_of_a_file(folder: Path, tmp_path: Path) -> None:
    assert command.run("segment", "decode", folder / "sets.tqtc", "-o", "o.csv", cwd=tmp_path).code == 0
    rows = [f"{i},{j}" for i, ids in enumerate(SETS) for j in ids.tolist()]
    assert (tmp_path / "o.csv").read_text().splitlines() == ["timestamp,id", *rows]


def test_what_inspect_says(folder: Path) -> None:
    told = command.run("segment", "inspect", "walk.tqtc", "--json", cwd=folder).json
    first = told["segments"][0]
    opened = next(split((folder / "walk.tqtc").read_bytes()))
    assert first == {
        "tensor": "", "start": 0, "frames": opened.frames, "version": 2, "kind": "quantized", "bits": 8,
        "tensor_len": 70, "group_len": 64, "bytes": opened.byte_count, "ratio": round(opened.ratio, 3), "tier": None,
        "requantized": False, "bounded": True, "bounds": opened.bounds.tolist(),
    }  # fmt: skip
    assert told["bytes"] == (folder / "walk.tqtc").stat().st_size == sum(s["bytes"] for s in told["segments"])
    assert told["recording"] is None
    old = command.run("segment", "inspect", "v1.tqtc", cwd=folder)
    assert (
        old.err == "note: version 1 cannot say whether its writer clamped; the bounds hold for writers with headroom\n"
    )
    assert command.run("segment", "inspect", "v1.tqtc", "--json", cwd=folder).json["segments"][0]["bounded"] is None
    store = command.run("segment", "inspect", "store", "--json", cwd=folder).json["segments"]
    assert [s["tensor"] for s in store] == sorted(s["tensor"] for s in store)
    assert {s["tier"] for s in store if s["tensor"] == "walk"} == {"hot"}
    assert [s["start"] for s in store if s["tensor"] == "sets"] == [TIMES[0]]
    alone = command.run("segment", "inspect", "store", "--tensor", "sets", "--json", cwd=folder).json["segments"]
    assert alone == store[:1]
    bare = command.run("segment", "inspect", "bare", cwd=folder)
    assert bare.out.splitlines()[-1] == "0 segments, 0 bytes, 0.000 times smaller than 4-byte values"


def test_every_group_where_asked(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.random.default_rng(2).normal(size=(3, 100)).astype(np.float32))
    line = ("segment", "encode", "wide.npy", "-o", "o.tqtc", "--group-len", "5")
    assert command.run(*line, cwd=tmp_path).code == 0
    assert "... 20 groups" in command.run("segment", "inspect", "o.tqtc", cwd=tmp_path).out
    assert "..." not in command.run("segment", "inspect", "o.tqtc", "--groups", cwd=tmp_path).out


def test_plain_is_the_specification(folder: Path, tmp_path: Path) -> None:
    line = ("segment", "encode", folder / "walk.npy", "-o", "o.tqtc", "--plain", "--version", "1", "--drift", "26")
    assert command.run(*line, cwd=tmp_path).code == 0
    assert (tmp_path / "o.tqtc").read_bytes() == b"".join(encode(WALK, Policy.plain(), bits=8))


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    """Some count as 0, and that is said; none at all is an error."""
    some = WALK[:50, :4].copy()
    some[3, 1], some[7, 2] = np.nan, np.inf
    np.save(tmp_path / "some.npy", some)
    np.save(tmp_path / "large.npy", np.array([[1e300, 1.0], [2.0, -1e300]]))
    done = command.run("segment", "encode", "some.npy", "-o", "o.tqtc", cwd=tmp_path)
    assert (done.code, done.err) == (0, "note: 2 of 200 values are not finite, and count as 0\n")
    assert command.run("segment", "decode", "o.tqtc", "-o", "o.npy", cwd=tmp_path).code == 0
    found = np.load(tmp_path / "o.npy")
    assert found[3, 1] == found[7, 2] == 0
    assert command.run("segment", "encode", "large.npy", "-o", "o.tqtc", cwd=tmp_path).err.startswith("note: 2 of 4")
    bench = command.run("segment", "bench", "some.npy", "--json", cwd=tmp_path)
    assert bench.err.startswith("note: 2 of 200 ")
    assert all(np.isfinite([row["ratio"], row["error"]]).all() for row in bench.json)


def test_bench(folder: Path, tmp_path: Path) -> None:
    rows = command.run("segment", "bench", "walk.npz", "--json", cwd=folder).json
    assert {row["bits"] for row in rows} == {3, 5, 8}
    assert {"segment 1", "segment 2", "q + zlib-6"} <= {row["codec"] for row in rows}
    two = next(row for row in rows if (row["codec"], row["bits"]) == ("segment 2", 8))
    assert two["bytes"] == (folder / "walk.tqtc").stat().st_size
    shown = command.run("segment", "bench", "walk.csv", "--group-len", "9", cwd=folder)
    assert (shown.code, shown.err) == (0, "")
    assert "segment 2" in shown.out
    # what version 1 cannot hold is measured by the others
    np.save(tmp_path / "loud.npy", WALK * np.float32(1e9))
    rows = command.run("segment", "bench", "loud.npy", "--json", cwd=tmp_path).json
    assert "segment 1" not in {row["codec"] for row in rows}
    assert {"segment 2", "q + zlib-6"} <= {row["codec"] for row in rows}


def test_traces_are_the_same_bytes_everywhere(tmp_path: Path) -> None:
    line = ("segment", "trace", "telemetry", "--seconds", "20")
    told = command.run(*line, "-o", "a.npz", "--json", cwd=tmp_path).json
    assert told["frames"][0] == 500
    shown = command.run(*line, "-o", "b.npz", cwd=tmp_path)
    assert shown.out.startswith("b.npz: 500 frames of 173; ")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    # and what was made is taken as it is
    assert command.run("segment", "encode", "a.npz", "-o", "a.tqtc", "--json", cwd=tmp_path).json["frames"] == 500


def test_retier_check_and_repair(tmp_path: Path) -> None:
    with SegmentStore(tmp_path / "store", "new") as store:
        fill(store)
    clean = command.run("segment", "check", "store", cwd=tmp_path)
    assert (clean.code, clean.out) == (0, f"store: 0 problems, {(tmp_path / 'store').stat().st_size:,} bytes\n")
    assert command.run("segment", "check", "store", "--json", cwd=tmp_path).json["problems"] == []
    done = command.run("segment", "retier", "store", "--now", "9", cwd=tmp_path)
    assert done.code == 0
    *lines, last = done.out.splitlines()
    assert last == f"{len(lines)} segments were due"
    assert all(line.startswith("walk:") and line.endswith("8 -> 3 bits, cold") for line in lines)
    assert command.run("segment", "retier", "store", "--now", "9", "--json", cwd=tmp_path).json == []
    with SegmentStore(tmp_path / "store", "write") as store:
        store.touch("walk", 9)
    told = command.run("segment", "retier", "store", "--tensor", "walk", "--now", "9", "--json", cwd=tmp_path).json
    assert {(item["bits_before"], item["bits"], item["tier"]) for item in told} == {(3, 8, "hot")}
    with sqlite3.connect(tmp_path / "store") as file:
        file.execute("UPDATE segments SET bytes = zeroblob(length(bytes)) WHERE tensor_id = 'sets'")
        file.execute("UPDATE segments SET frames = frames + 1 WHERE id = (SELECT max(id) FROM segments)")
    file.close()
    broken = command.run("segment", "check", "store", cwd=tmp_path)
    assert broken.code == 1
    assert "segments sets:" in broken.out
    assert broken.out.splitlines()[-1].startswith("store: 2 problems, ")
    assert broken.err == ""
    assert '"problems": ["segments ' in command.run("segment", "check", "store", "--json", cwd=tmp_path).out
    done = command.run("segment", "repair", "store", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "store: 1 rebuilt, 1 set aside, 0 lost"
    assert command.run("segment", "check", "store", cwd=tmp_path).code == 0
    again = command.run("segment", "repair", "store", "-o", "new", "--json", cwd=tmp_path).json
    assert (again["path"], len(again["lost"])) == ("new", 1)  # what lies aside is no row of a store
    assert command.run("segment", "check", "new", cwd=tmp_path).code == 0


def test_a_store_with_a_damaged_attachment_is_inspected(tmp_path: Path) -> None:
    """What says that it is a recording, and is none."""
    with SegmentStore(tmp_path / "store", "new") as store:
        store.attach(IMAGE, b"no image")
    done = command.run("segment", "inspect", "store", cwd=tmp_path)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "image refused" in done.err


def npy(shape: str, data: bytes = bytes(64)) -> bytes:
    """A .npy whose head states any shape."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def v1_head(version: int, bits: int, group_len: int, tensor_len: int, frames: int, scales: int) -> bytes:
    return b"TQTC" + struct.pack("<BBIIII", version, bits, group_len, tensor_len, frames, scales) + bytes(64)


@pytest.fixture(scope="module")
def bad(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are none, or lie."""
    path = tmp_path_factory.mktemp("bad")
    whole, store = (folder / "walk.tqtc").read_bytes(), (folder / "store").read_bytes()
    files: dict[str, bytes] = {
        **{f"empty{suffix}": b"" for suffix in (".npy", ".npz", ".csv", ".tqtc", ".store")},
        **{f"text{suffix}": b"hello,\nthis is a text\n" for suffix in (".npy", ".npz", ".csv", ".tqtc", ".store")},
        "terabytes.npy": npy("(1000000, 1000000)"),
        "wide.npy": npy("(99999999999999999999,)"),
        "wraps.npy": npy("(4294967296, 4294967296)"),
        "negative.npy": npy("(-4, 4)"),
        "head.npy": npy("(2, 2"),
        "cut.npy": npy("(4, 8)"),
        "short.npy": npy("(4, 4)")[:40],
        "ragged.csv": b"1,2,3\n4,5\n",
        "strings.csv": b"1,2\n3,x\n",
        "string.csv": b"1,x\n3,4\n",
        "hole.csv": b"1,,3\n4,5,6\n",
        "semicolons.csv": b"1;2\n3;4\n",
        "binary.csv": bytes(range(256)) * 20,
        "head.csv": b"a,b,c\n",
        "cut.npz": (folder / "walk.npz").read_bytes()[:-40],
        "cut.tqtc": whole[:-7],
        "short.tqtc": whole[:20],
        "version3.tqtc": whole[:4] + b"\3" + whole[5:],
        "flipped.tqtc": whole[:500] + bytes([whole[500] ^ 4]) + whole[501:],
        "followed.tqtc": whole + b"and more",
        "terabytes1.tqtc": v1_head(1, 8, 64, 2**31, 2**31, 2**25),
        "terabytes2.tqtc": v1_head(2, 8, 64, 2**28, 2**31, 2**22),
        "cut.store": store[: len(store) // 2],
        "first.store": bytes([store[0] ^ 1]) + store[1:],
    }
    for name, data in files.items():
        (path / name).write_bytes(data)
    with zipfile.ZipFile(path / "terabytes.npz", "w") as archive:
        archive.writestr("values.npy", npy("(1000000, 1000000)"))
    with zipfile.ZipFile(path / "text.in.npz", "w") as archive:
        archive.writestr("hello.txt", "hello")
    data = bytearray((folder / "one.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (path / "flipped.npz").write_bytes(bytes(data))
    np.save(path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    np.savez(path / "objects.npz", values=np.array([{}, 1], object), allow_pickle=True)
    np.save(path / "strings.npy", np.array(["a", "b"]))
    np.save(path / "complex.npy", np.ones((3, 3), complex))
    np.save(path / "scalar.npy", np.float64(3))
    np.save(path / "nothing.npy", np.zeros((0, 5)))
    np.save(path / "nan.npy", np.full((4, 4), np.nan))
    np.savez(path / "meta.npz", meta=np.ones(3))
    with sqlite3.connect(path / "foreign.db") as file:
        file.execute("CREATE TABLE x (a)")
    file.close()
    for name in ("walk.npy", "two.npz", "walk.tqtc", "sets.tqtc", "mixed.tqtc", "store", "bare"):
        (path / name).write_bytes((folder / name).read_bytes())
    (path / "folder").mkdir()
    return path


NUMBERS = {  # what holds no frames: what is said of it
    "missing.npy": "missing.npy: cannot read: No such file",
    "folder": "cannot read: Is a directory",
    "empty.npy": "is no .npy, .npz or .csv file",
    "empty.npz": "is no .npy, .npz or .csv file",
    "empty.csv": "holds no frame",
    "text.npy": "is no .npy, .npz or .csv file",
    "text.npz": "is no .npy, .npz or .csv file",
    "text.csv": "is no table of numbers (",
    "walk.tqtc": "is no .npy, .npz or .csv file",
    "store": "is no .npy, .npz or .csv file",
    "terabytes.npy": "is no table of numbers (mmap length is greater than file size)",
    "terabytes.npz": "says that it holds more than fits memory",
    "wide.npy": "is no table of numbers (",
    "wraps.npy": "is no table of numbers (",
    "negative.npy": "is no table of numbers (",
    "head.npy": "is no table of numbers (",
    "cut.npy": "is no table of numbers (",
    "short.npy": "is no table of numbers (",
    "cut.npz": "is no table of numbers (",
    "flipped.npz": "is no table of numbers (",
    "text.in.npz": "not numbers",
    "objects.npy": "is no table of numbers (",
    "objects.npz": "is no table of numbers (Object arrays",
    "strings.npy": "holds <U1, not numbers",
    "complex.npy": "holds complex128, not numbers",
    "scalar.npy": "holds no frame",
    "nothing.npy": "holds no frame",
    "nan.npy": "holds no finite number",
    "meta.npz": "holds no arrays",
    "two.npz": "holds 2 arrays; --array: a, b",
    "ragged.csv": "the number of columns changed from 3 to 2 at row 2)",
    "strings.csv": "could not convert string 'x' to float64 at row 1, column 2",
    "string.csv": "could not convert string 'x' to float64 at row 0, column 2",
    "hole.csv": "could not convert string '' to float64 at row 0, column 2",
    "semicolons.csv": "is no table of numbers (could not convert string '3",
    "binary.csv": "is no table of numbers (",
    "head.csv": "holds no frame",
}

SEGMENTS = {  # what holds no segments
    "missing.tqtc": "missing.tqtc: cannot read: No such file",
    "folder": "cannot read: Is a directory",
    "empty.tqtc": "holds no segments; give a .tqtc file, a store or a recording",
    "text.tqtc": "holds no segments",
    "walk.npy": "holds no segments",
    "cut.tqtc": "truncated",
    "short.tqtc": "segment is damaged at byte 20: truncated",
    "version3.tqtc": "segment version 3 is not known to this espike; update it",
    "flipped.tqtc": "damaged (CRC)",
    "followed.tqtc": "segment is damaged at byte",
    "terabytes1.tqtc": "segment is damaged at byte",
    "terabytes2.tqtc": "segment is damaged at byte",
    "cut.store": "is damaged; salvage it into a new file: espike segment repair --output",
    "first.store": "holds no segments",
    "foreign.db": "is a database of another program",
}

STORES = {  # what is no store
    "missing.store": "does not exist",
    "folder": "is a folder",
    "empty.store": "is empty",
    "text.store": "is no recording of espike, or its first page is damaged; in that case salvage it",
    "walk.tqtc": "is a file of segments, not a store; look at it: espike segment inspect",
    "walk.npy": "is no recording of espike",
    "cut.store": "is damaged; salvage it",
    "first.store": "its first page is damaged; in that case salvage it into a new file",
    "foreign.db": "is a database of another program",
}

WRONG: dict[str, tuple[list[str], int, str]] = {
    "no output": (["encode", "walk.npy"], 2, "Missing option '-o'"),
    "no such width": (["encode", "walk.npy", "-o", "o.tqtc", "--bits", "4"], 2, "'--bits'"),
    "no such version": (["encode", "walk.npy", "-o", "o.tqtc", "--version", "3"], 2, "'--version'"),
    "no such kind": (["encode", "walk.npy", "-o", "o.tqtc", "--kind", "sets"], 2, "'--kind'"),
    "no group": (["encode", "walk.npy", "-o", "o.tqtc", "--group-len", "0"], 2, "'--group-len'"),
    "no such trace": (["trace", "nothing", "-o", "o.npz"], 2, "nothing"),
    "no time": (["trace", "telemetry", "-o", "o.npz", "--seconds", "0"], 2, "'--seconds'"),
    "no such verb": (["squeeze", "walk.npy"], 2, "squeeze"),
    "no number": (["decode", "walk.tqtc", "-o", "o.npz", "--start", "x"], 2, "'--start'"),
    "segments into another file": (["encode", "walk.npy", "-o", "o.npz"], 1, "o.npz: cannot write .npz; use .tqtc"),
    "segments over their source": (["encode", "walk.npy", "-o", "walk.npy"], 1, "cannot write .npy; use .tqtc"),
    "no such folder": (["encode", "walk.npy", "-o", "no/o.tqtc"], 1, "no/o.tqtc: cannot write: no such folder"),
    "decoded into no folder": (["decode", "walk.tqtc", "-o", "no/o.npz"], 1, "no/o.npz: cannot write: no such folder"),
    "decoded into a text": (["decode", "walk.tqtc", "-o", "o.txt"], 1, "o.txt: cannot write .txt; use .npz or"),
    "decoded into nothing": (["decode", "walk.tqtc", "-o", "o"], 1, "o: cannot write a file without suffix"),
    "a trace as text": (["trace", "telemetry", "-o", "o.csv"], 1, "o.csv: cannot write .csv; use .npz"),
    "a trace into no folder": (["trace", "telemetry", "-o", "no/o.npz"], 1, "no/o.npz: cannot write: no such folder"),
    "a trace without end": (["trace", "telemetry", "-o", "o.npz", "--seconds", "99999999999"], 1, "do not fit memory"),
    "sets as a table": (["decode", "sets.tqtc", "-o", "o.npy"], 1, "o.npy: sets of ids are no table; use .npz or .csv"),
    "different tensors": (["decode", "mixed.tqtc", "-o", "o.npz"], 1, "holds segments of different tensors"),
    "no such tensor": (["decode", "store", "--tensor", "x", "-o", "o.npz"], 1, "holds no tensor x; it has sets, walk"),
    "no such tensor, inspected": (["inspect", "store", "--tensor", "x"], 1, "holds no tensor x; it has sets, walk"),
    "no such tensor, re-tiered": (["retier", "store", "--tensor", "x"], 1, "tensor x is not there"),
    "which tensor": (["decode", "store", "-o", "o.npz"], 1, "store: holds 2 tensors; --tensor: sets, walk"),
    "no tensor": (["decode", "bare", "-o", "o.npz"], 1, "bare: holds no tensors"),
    "a tensor of a file": (["inspect", "walk.tqtc", "--tensor", "x"], 1, "names no tensors; leave --tensor out"),
    "behind the end": (["decode", "walk.tqtc", "--start", "300", "-o", "o.npz"], 1, "no frame of these times"),
    "backwards": (["decode", "walk.tqtc", "--start", "9", "--stop", "8", "-o", "o.npz"], 1, "no frame of these times"),
    "no such array": (["encode", "two.npz", "--array", "c", "-o", "o.tqtc"], 1, "holds no array c; it has a, b"),
    "floats as integers": (["encode", "walk.npy", "--kind", "integers", "-o", "o.tqtc"], 1, "use quantized"),
    "integers in version 1": (
        ["encode", "two.npz", "--array", "b", "--kind", "integers", "--version", "1", "-o", "o.tqtc"], 1,
        "version 1 has no integers; use version 2",
    ),
    "too much drift": (["encode", "walk.npy", "--drift", "60000", "-o", "o.tqtc"], 1, "policy out of range"),
    "repaired over another": (["repair", "store", "-o", "bare"], 1, "bare: exists already; name another file"),
    "nothing to repair": (["repair", "text.store", "-o", "o"], 1, "nothing of a recording is found in it"),
    **{f"encode {name}": (["encode", name, "-o", "o.tqtc"], 1, text) for name, text in NUMBERS.items()},
    **{f"bench {name}": (["bench", name], 1, text) for name, text in NUMBERS.items()},
    **{f"inspect {name}": (["inspect", name], 1, text) for name, text in SEGMENTS.items()},
    **{f"decode {name}": (["decode", name, "-o", "o.npz"], 1, text) for name, text in SEGMENTS.items()},
    **{f"check {name}": (["check", name], 1, text) for name, text in STORES.items()},
    **{f"retier {name}": (["retier", name], 1, text) for name, text in STORES.items()},
    **{f"repair {name}": (["repair", name], 1, text) for name, text in STORES.items()},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_one_line(what: str, bad: Path) -> None:
    arguments, code, text = WRONG[what]
    before = {path.name: path.stat().st_size for path in bad.iterdir()}
    for more in ([], ["--json"]):
        done = command.run("segment", *arguments, *more, cwd=bad)
        assert done.code == code
        assert text in done.err
        assert done.out == ""
        assert len(done.errors) == 1 or code == 2
        assert done.errors[0].startswith("espike: ") or code == 2
    assert {path.name: path.stat().st_size for path in bad.iterdir()} == before


def test_a_full_output_is_one_line(folder: Path) -> None:
    if not os.access("/dev/full", os.W_OK) or not Path("/proc/self/fd").exists():
        pytest.skip("no /dev/full here")
    done = command.run("segment", "decode", "walk.tqtc", "-o", "/proc/o.npz", cwd=folder)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "/proc/o.npz: cannot write" in done.err


DAMAGED = {
    "walk.npy": ("encode", "o.tqtc"), "one.npz": ("encode", "o.tqtc"), "walk.csv": ("encode", "o.tqtc"),
    "walk.tqtc": ("decode", "o.npz"), "v1.tqtc": ("decode", "o.csv"), "sets.tqtc": ("decode", "o.npz"),
    "store": ("inspect", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_line_or_whole(name: str, folder: Path, tmp_path: Path) -> None:
    """Cut anywhere, or some bytes changed: the command ends with one line, or with a file that is whole."""
    verb, output = DAMAGED[name]
    data = (folder / name).read_bytes()
    head = 160 if name == "one.npz" else 400 if name in ("walk.npy", "store") else len(data)
    rng = np.random.default_rng(len(data))
    for k in range(60):
        broken = bytearray(data)
        if k % 3 == 0:
            del broken[int(rng.integers(0, len(data))) :]
        else:
            for at in rng.integers(0, min(head, len(data)), int(rng.choice([1, 2, 5]))):
                broken[at] = int(rng.integers(0, 256))
        (tmp_path / name).write_bytes(bytes(broken))
        done = command.run("segment", verb, name, *(["-o", output] if output else []), cwd=tmp_path)
        made = tmp_path / output
        assert done.code in (0, 1)
        assert len(done.errors) == done.code
        if output:
            assert made.exists() == (done.code == 0)
            made.unlink(missing_ok=True)
        assert {path.name for path in tmp_path.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}


@pytest.mark.parametrize("to", ["o.npy", "o.npz", "o.csv"])
def test_decoding_takes_a_piece_at_a_time(to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of 4 MB, of a file of a few kB: a small part of them is in memory at once."""
    monkeypatch.setattr(segment_io, "PIECE_BYTES", 1 << 17)
    (tmp_path / "quiet.tqtc").write_bytes(
        b"".join(encode(np.zeros((8000, 128), np.float32), Policy(version=2), bits=8))
    )
    tracemalloc.start()
    try:
        assert command.run("segment", "decode", "quiet.tqtc", "-o", to, cwd=tmp_path).code == 0
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_stores_are_read_a_segment_at_a_time(tmp_path: Path) -> None:
    frames = np.random.default_rng(3).normal(size=(64, 2000)).astype(np.float32)
    data = encode(frames, Policy(version=2, low_q8=0, drift_q8=(9999,) * 3), bits=8)
    assert len(data) == 1
    with SegmentStore(tmp_path / "store", "new") as store:
        store.add(Tensor("a", "quantized", 2000))
        for i in range(100):
            store.append("a", 64 * i, data[0])
    assert (tmp_path / "store").stat().st_size > 3_500_000
    for line in (("inspect", "store"), ("decode", "store", "-o", "o.npy"), ("check", "store")):
        tracemalloc.start()
        try:
            assert command.run("segment", *line, cwd=tmp_path).code == 0
            assert tracemalloc.get_traced_memory()[1] < 2_000_000, line
        finally:
            tracemalloc.stop()


def test_a_file_that_changes_while_it_is_read(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "walk.tqtc"
    path.write_bytes((folder / "walk.tqtc").read_bytes())
    found = segment_io.open_frames(path)
    path.write_bytes((folder / "v1.tqtc").read_bytes() * 2)
    with pytest.raises(EspikeError, match="has changed while it was read; try again"):
        frames_file.save_frames(tmp_path / "o.npy", found)
    assert [p.name for p in tmp_path.iterdir()] == ["walk.tqtc"]


READERS: dict[str, Callable[[Path], Any]] = {"is_store": segment_io.is_store, "is_segments": segment_io.is_segments}


@pytest.mark.parametrize("name", READERS)
def test_files_are_known_by_their_first_bytes(name: str, folder: Path) -> None:
    found = {path.name for path in folder.iterdir() if READERS[name](path)}
    stores = {"store", "single", "bare"}
    assert found == (stores if name == "is_store" else {"walk.tqtc", "v1.tqtc", "sets.tqtc", "mixed.tqtc"})


@pytest.mark.parametrize("source", ["walk.npy", "walk.npz", "walk.csv", "walk.tqtc", "v1.tqtc", "sets.tqtc"])
def test_what_is_kept_lies_behind_what_was(source: str, folder: Path, tmp_path: Path) -> None:
    line = ("segment", "keep", folder / source, "kept.db", "--tensor", "t")
    first = command.run(*line, "--start", "7", "--json", cwd=tmp_path).json["keys"]
    second = command.run(*line, "--json", cwd=tmp_path).json["keys"]
    with SegmentStore(tmp_path / "kept.db") as store:
        times, values = store.frames("t", touch=False)
        assert store.check() == []
        assert [stored.key for stored in store.query("t", touch=False)] == first + second
    count = len(times) // 2
    assert times.tolist() == list(range(7, 7 + 2 * count))
    assert all(np.array_equal(a, b) for a, b in zip(values[:count], values[count:], strict=True))


def test_a_source_that_is_kept_is_what_retier_codes(folder: Path, tmp_path: Path) -> None:
    assert (
        command.run("segment", "keep", folder / "walk.npy", "kept.db", "--tensor", "t", "--source", cwd=tmp_path).code
        == 0
    )
    told = command.run("segment", "retier", "kept.db", "--json", cwd=tmp_path).json
    assert all((item["bits"], item["requantized"]) == (3, False) for item in told)
    with SegmentStore(tmp_path / "kept.db") as store:
        stored = next(iter(store.query("t", touch=False)))
        assert stored.data == encode(WALK[: stored.frames], Policy(version=2), bits=3)[0]


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        (("walk.tqtc", "kept.db", "--tensor", "t", "--source"), 2, "--source goes with numbers"),
        (("walk.npy", "walk.csv", "--tensor", "t"), 1, "walk.csv"),
        (("mixed.tqtc", "kept.db", "--tensor", "t"), 1, "kept.db"),
        (("walk.npy", "kept.db"), 2, "--tensor"),
    ],
)
def test_what_cannot_be_kept_is_told(line: tuple[str, ...], code: int, text: str, folder: Path, tmp_path: Path) -> None:
    arguments = [str(folder / part) if (folder / part).is_file() else part for part in line]
    done = command.run("segment", "keep", *arguments, cwd=tmp_path)
    assert done.code == code
    assert text in done.err
    assert "Traceback" not in done.err
