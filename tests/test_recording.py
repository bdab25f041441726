"""Runs that were recorded: replayed on every engine, broken off at any moment, and tampered with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import command
import engines
import numpy as np
import pytest
from small_networks import network, stimulus

from espike import recording as recordings
from espike.board import RUN_SEGMENTS, BoardEngine
from espike.image import pack
from espike.recording import END, Recorder, Recording, replay
from espike.segment_rows import Tensor
from espike.segment_store import SegmentStore
from espike.telemetry import Stream, StreamSegment, parse
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.segment import Policy, Segment, encode, encode_sets

ALL = pytest.mark.parametrize("name", engines.BOARDS)
STIMULUS = ("-s", "poisson:input:rate=0.1:amount=1")
STREAMS = (
    "--stream",
    "fired",
    "--stream",
    "potentials:*",
    "--stream",
    "stimulus:input",
    "--stream",
    "potentials:input:0",
)


@pytest.fixture(scope="module", autouse=True)
def own_boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Boards of this file alone: those of the session may be running."""
    before = os.environ["ESPIKE_HOME"]
    os.environ["ESPIKE_HOME"] = str(tmp_path_factory.mktemp("recording-home"))
    yield
    engines.close_boards()
    os.environ["ESPIKE_HOME"] = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of a network in both precisions, and a recording of 300 bursts on the native board."""
    path = tmp_path_factory.mktemp("recording")
    assert command.run("genome", "new", "reservoir", "-o", "net.json", cwd=path).code == 0
    for precision in ("int8", "fp32"):
        line = ("pack", "net.json", "--precision", precision, "-o", f"{precision}.spk")
        assert command.run(*line, cwd=path).code == 0
    record("native", path, "native.rec")
    return path


def record(name: str, folder: Path, to: str, image: str = "int8.spk", *, bursts: int = 300) -> command.Done:
    engines.board_file(name)
    assert command.run("flash", image, "-b", name, cwd=folder).code == 0
    streams = STREAMS if image == "int8.spk" else STREAMS[:4]
    done = command.run("monitor", "-b", name, "-n", str(bursts), *STIMULUS, "--record", to, *streams, cwd=folder)
    assert done.code == 0, done.err
    return done


def copy(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.rec"
    path.write_bytes((folder / "native.rec").read_bytes())
    return path


@ALL
def test_a_recording_replays_everywhere(name: str, folder: Path) -> None:
    engines.board_file(name)
    to = f"everywhere-{name}.rec"
    record(name, folder, to, bursts=120)
    host = command.run("run", "int8.spk", "-n", "120", *STIMULUS, "--json", cwd=folder).json
    for engine in ("host", *engines.RUNNING):
        told = command.run("replay", to, "-e", engine, "--flash", "--json", cwd=folder).json
        assert told["equal"]
        assert told["hash_equal"]
        assert (told["bursts"], told["compared"]) == (120, 120)
        assert (told["hash"], told["spikes"]) == (host["hash"], host["fired"])
        assert told["values"] == 120 * (173 + 32 + 32)
    done = command.run("replay", to, cwd=folder)
    assert done.out.startswith("equal: 120 of 120 bursts, ")
    assert done.err == ""


def test_boards_record_the_same(folder: Path) -> None:
    """Segments, image and stimulus of a recording do not tell which board made it."""
    found = []
    for name in engines.RUNNING:
        to = f"same-{name}.rec"
        record(name, folder, to, bursts=150)
        with closing(Recording(folder / to)) as recording:
            store = recording.store
            kept = [(s.key, s.data) for t in store.tensors() for s in store.query(t.tensor_id, touch=False)]
            files = [(n, store.attachment(n).data) for n in store.attachments() if n != END]
            found.append((kept, files, recording.end))
    assert all(one == found[0] for one in found)


def test_fp32_and_no_stimulus(folder: Path) -> None:
    record("native", folder, "fp32.rec", "fp32.spk")
    told = command.run("replay", "fp32.rec", "--json", cwd=folder).json
    assert (told["equal"], told["compared"], told["values"]) == (True, 300, 300 * 173)
    line = ("monitor", "-b", "native", "-n", "700", "--record", "quiet.rec")
    done = command.run(*line, cwd=folder)
    assert (done.code, done.errors) == (0, ["quiet.rec: 6 segments, " + done.errors[0].split(", ")[1]])
    told = command.run("replay", "quiet.rec", "--json", cwd=folder).json
    assert (told["equal"], told["compared"], told["values"]) == (True, 700, 0)
    with closing(Recording(folder / "quiet.rec")) as recording:
        assert recording.stimulus() is None


@ALL
def test_realtime(name: str, folder: Path) -> None:
    engines.board_file(name)
    to = f"realtime-{name}.rec"
    assert command.run("flash", "int8.spk", "-b", name, cwd=folder).code == 0
    line = ("monitor", "-b", name, "-n", "60", "--realtime", "--interval", "0.2", *STIMULUS, "--record", to, "--json")
    begin = time.monotonic()
    done = command.run(*line, cwd=folder)
    assert done.code == 0
    assert time.monotonic() - begin > 0.58
    dropped = done.json["dropped"]
    told = command.run("replay", to, "--json", cwd=folder).json
    assert told["equal"]
    assert (told["bursts"], told["compared"]) == (60, 60 - dropped)
    with closing(Recording(folder / to)) as recording:
        segments = list(recording.store.query("fired", touch=False))
    assert max(s.frames for s in segments) <= 5  # a quarter of the interval


def test_the_ledger_and_stimulus_of_a_recording(folder: Path) -> None:
    line = ("run", "int8.spk", "-n", "300", *STIMULUS, "-o", "host.npz")
    assert command.run(*line, cwd=folder).code == 0
    from espike_sim import ledger

    wanted = ledger.load(folder / "host.npz")
    with closing(Recording(folder / "native.rec")) as recording:
        found, injected = recording.ledger(), recording.stimulus()
        assert recording.board == "native"
        assert recording.end is not None
        assert recording.end.hash == tuple(wanted.hashes[-1].tolist())
    assert ledger.compare(found, wanted) is None
    assert injected is not None
    assert len(injected.burst) > 500


def segments_in(path: Path) -> int:
    """Segments of a recording that may still be written to; 0 while there is none."""
    try:
        with SegmentStore(path) as store:
            return sum(1 for _ in store.query("fired", touch=False))
    except EspikeError:
        return 0


def monitoring(folder: Path, to: str, *more: str) -> Any:
    """A monitor that records in a process of its own, once it has kept some segments."""
    process = command.start("monitor", "-b", "native", "--interval", "0.1", "--record", to, *more, cwd=folder)
    end = time.monotonic() + 20
    while segments_in(folder / to) < 3:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def until_free(folder: Path) -> None:
    """The board of a monitor that was killed ends by itself."""
    end = time.monotonic() + 10
    while command.run("run", "-b", "native", "-n", "1", cwd=folder).code != 0:
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("more", [(), STIMULUS])
def test_killed_in_the_middle(more: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "killed.rec"
    assert command.run("flash", "int8.spk", "-b", "native", cwd=folder).code == 0
    process = monitoring(folder, str(path), *STREAMS[:6], *more)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    checked = command.run("segment", "check", path, "--json", cwd=folder)
    assert checked.json["problems"] == []
    done = command.run("replay", path, cwd=folder)
    assert done.code == 0
    assert done.err == "note: the recording broke off, so its last hash is not known\n"
    told = command.run("replay", path, "--json", cwd=folder).json
    assert told["equal"]
    assert told["hash_equal"] is None
    assert told["bursts"] >= told["compared"] > 100
    assert told["values"] > 100
    shown = command.run("segment", "inspect", path, cwd=folder)
    assert "it broke off" in shown.out
    assert command.run("segment", "inspect", path, "--json", cwd=folder).json["recording"]["ended"] is False
    until_free(folder)


@pytest.mark.parametrize(
    ("by", "more"), [(signal.SIGINT, STIMULUS), (signal.SIGTERM, ()), (signal.SIGINT, ("--realtime",))]
)
def test_interrupted_keeps_the_end(by: signal.Signals, more: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "stopped.rec"
    assert command.run("flash", "int8.spk", "-b", "native", cwd=folder).code == 0
    process = monitoring(folder, str(path), *more)
    process.send_signal(by)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    *_, stopped, kept = err.splitlines()
    assert stopped.startswith("stopped at burst ")
    assert kept.startswith(f"{path}: ")
    told = command.run("replay", path, "--json", cwd=folder).json
    assert (told["equal"], told["hash_equal"]) == (True, True)
    assert told["bursts"] == int(stopped.split()[-1])
    with SegmentStore(path) as store:
        dropped = store.attachment(END).meta["dropped"]
    assert told["compared"] == told["bursts"] - dropped
    assert dropped == 0 or "--realtime" in more
    assert f"burst {told['bursts']:8d}" in out.splitlines()[-1]


def test_nobody_reads_the_lines_any_more(folder: Path, tmp_path: Path) -> None:
    """As with `| head`: the recording is ended."""
    path = tmp_path / "head.rec"
    assert command.run("flash", "int8.spk", "-b", "native", cwd=folder).code == 0
    process = monitoring(folder, str(path), *STIMULUS)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert command.run("replay", path, "--json", cwd=folder).json["hash_equal"]


def test_an_existing_file_is_refused_before_the_board_is_looked_for(folder: Path) -> None:
    before = (folder / "native.rec").read_bytes()
    nobody = ("monitor", "-b", "socket://127.0.0.1:1")
    done = command.run(*nobody, "--record", "native.rec", cwd=folder)
    assert (done.code, done.err) == (1, "espike: native.rec: exists already; name another file\n")
    assert (folder / "native.rec").read_bytes() == before
    done = command.run(*nobody, "--record", "no/where.rec", cwd=folder)
    assert (done.code, done.err) == (1, "espike: no/where.rec: cannot write: No such file or directory\n")


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "streams without a record": (("--stream", "fired"), 2, "--stream goes with --record"),
    "an unknown area": (("--record", "x.rec", "--stream", "potentials:nope"), 1, "stream potentials:nope: there is no"),
    "no stream": (("--record", "x.rec", "--stream", "spikes"), 1, "stream spikes: is no stream"),
    "five streams": (("--record", "x.rec", *STREAMS, "--stream", "stimulus:*"), 1, "5 streams, a board takes 4"),
    "twice": (("--record", "x.rec", "--stream", "fired", "--stream", "fired"), 1, "named twice"),
    "a stimulus that is none": (("--record", "x.rec", "-s", "poisson:input:rate=x"), 1, "is no number"),
    "a stimulus of no area": (("--record", "x.rec", "-s", "poisson:nope:rate=1:amount=1"), 1, "no area 'nope'"),
    "no such file": (("--record", "x.rec", "-s", "none.csv"), 1, "none.csv"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_no_file(what: str, folder: Path, tmp_path: Path) -> None:
    arguments, code, text = BAD[what]
    assert command.run("flash", folder / "int8.spk", "-b", "native", cwd=tmp_path).code == 0
    done = command.run("monitor", "-b", "native", "-n", "5", *arguments, cwd=tmp_path)
    assert done.code == code
    assert text in done.err
    assert len(done.errors) == 1 or code == 2
    assert list(tmp_path.iterdir()) == []


def test_boards_that_cannot_record_leave_no_file(folder: Path, tmp_path: Path) -> None:
    done = command.run("monitor", "-b", "nosuch", "--record", "x.rec", cwd=tmp_path)
    assert (done.code, len(done.errors)) == (1, 1)
    with engines.board_apart("native"), closing(engines.board("native")) as running:
        engines.put(running, network("int8", [4]))
    engines.close_boards()
    done = command.run("monitor", "-b", "native", "--record", "x.rec", "--realtime", cwd=tmp_path)
    assert (done.code, done.errors) == (1, ["espike: the network has no simulation_timestep; run without --realtime"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording(folder: Path, tmp_path: Path) -> None:
    with SegmentStore(tmp_path / "store", "new") as store:
        store.add(Tensor("fired", "sets", 4))
    (tmp_path / "text").write_text("hello, this is a text of some length\n" * 40)
    (tmp_path / "empty").write_bytes(b"")
    whole = (folder / "native.rec").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    for name, text in (
        ("store", "is a segment store, not a recording"),
        ("text", "is no recording of espike"),
        ("empty", "is empty"),
        ("half", "is damaged; salvage it into a new file: espike segment repair --output"),
        ("missing", "does not exist"),
        (".", "is a folder"),
        (str(folder / "int8.spk"), "is no recording of espike"),
    ):
        done = command.run("replay", name, cwd=tmp_path)
        assert done.code == 1
        assert text in done.err
        assert len(done.errors) == 1


def test_engines_that_cannot_replay(folder: Path) -> None:
    assert command.run("flash", "fp32.spk", "-b", "native", cwd=folder).code == 0
    for engine, text in (
        ("reference", "use host"),
        ("nosuch", "no board is called nosuch"),
        ("native", "board native: the board holds another network; add --flash"),
    ):
        done = command.run("replay", "native.rec", "-e", engine, cwd=folder)
        assert (done.code, len(done.errors)) == (1, 1)
        assert text in done.err


def change(path: Path, tensor_id: str, burst: int, edit: Callable[[Any], Any]) -> None:
    """Put another segment in the place of the one that holds a burst: its frames edited, everything else sound."""
    with SegmentStore(path, "write") as store:
        old = next(store.query(tensor_id, burst, burst + 1, touch=False))
        segment = old.segment()
        policy = replace(store.tensor(tensor_id).policy, low_q8=0, drift_q8=(20000,) * 3)
        if segment.kind == "sets":
            made = encode_sets(edit(segment.sets()), segment.tensor_len, policy)
        else:
            frames = segment.integers() if segment.kind == "integers" else segment.decode()
            made = encode(edit(frames), policy, kind=segment.kind)
        store.replace(old, [Segment(data) for data in made], old.tier or "hot", 0, requantized=False)


def told_difference(path: Path, text: str) -> None:
    """The replay fails with one line that says so, in JSON too."""
    done = command.run("replay", path, cwd=path.parent)
    assert done.code == 1
    assert done.err == f"espike: {path}: does not replay: {text}\n"
    told = command.run("replay", path, "--json", cwd=path.parent)
    assert told.code == 1
    assert f'"difference": "{text}"' in told.out
    assert '"equal": false' in told.out


def test_a_spike_too_many_or_too_few(folder: Path, tmp_path: Path) -> None:
    with closing(Recording(folder / "native.rec")) as recording:
        queues = dict(recording.fired())
    burst = next(b for b in range(200, 300) if len(queues[b]))
    neuron = int(queues[burst][0])
    first = next(recording_start(folder / "native.rec", burst))

    def without(sets: list[Any]) -> list[Any]:
        sets[burst - first] = sets[burst - first][1:]
        return sets

    def with_one(sets: list[Any]) -> list[Any]:
        sets[burst - first] = np.union1d(sets[burst - first], [extra])
        return sets

    extra = next(i for i in range(173) if i not in queues[burst])
    path = copy(folder, tmp_path)
    change(path, "fired", burst, without)
    told_difference(path, f"burst {burst}: neuron {neuron} fired in the replay alone")
    path = copy(folder, tmp_path)
    change(path, "fired", burst, with_one)
    told_difference(path, f"burst {burst}: neuron {extra} fired in the recording alone")


def recording_start(path: Path, burst: int) -> Iterator[int]:
    with SegmentStore(path) as store:
        yield next(store.query("fired", burst, burst + 1, touch=False)).start


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        ("potentials.all", "the potential of"),
        ("potentials.input", "the potential of"),
        ("stimulus.input", "what was injected into"),
    ],
)
def test_a_value_beyond_its_bound(tensor: str, what: str, folder: Path, tmp_path: Path) -> None:
    path = copy(folder, tmp_path)
    with SegmentStore(path) as store:
        first = int(store.tensor(tensor).meta["first"])
        begin = next(store.query(tensor, 100, 101, touch=False)).start

    def edit(frames: Any) -> Any:
        frames[100 - begin, 5] += 3000
        return frames

    change(path, tensor, 100, edit)
    done = command.run("replay", path, cwd=tmp_path)
    assert done.code == 1
    assert f"does not replay: burst 100: {what} neuron {first + 5} is off by " in done.err


def test_requantized_values_are_left_out(folder: Path, tmp_path: Path) -> None:
    """Their bound is about what was decoded, not about the potentials."""
    path = copy(folder, tmp_path)
    with SegmentStore(path, "write") as store:
        coarse = replace(store.tensor("potentials.all").policy, bits=(3, 3, 3))
        done = store.retier("potentials.all", policy=coarse)
        assert all((item.bits, item.requantized) == (3, True) for item in done)
    told = command.run("replay", path, "--json", cwd=tmp_path).json
    assert (told["equal"], told["compared"], told["values"]) == (True, 300, 300 * (32 + 32))


def test_another_hash_at_the_end(folder: Path, tmp_path: Path) -> None:
    for field, value in (("hash", [1, 2]), ("potential_hash", [1, 2])):
        path = copy(folder, tmp_path)
        with SegmentStore(path, "write") as store:
            store.attach(END, b"", {**store.attachment(END).meta, field: value})
        told_difference(path, "the hash of burst 300 differs")


def test_another_stimulus(folder: Path, tmp_path: Path) -> None:
    path = copy(folder, tmp_path)
    with SegmentStore(path, "write") as store:
        for name in store.attachments():
            if name.startswith("stimulus/"):
                store._file.run("DELETE FROM attachments WHERE name = ?", name)
    done = command.run("replay", path, cwd=tmp_path)
    assert done.code == 1
    assert "does not replay: burst " in done.err


def test_parts_of_a_recording_that_are_none(folder: Path, tmp_path: Path) -> None:
    edits: dict[str, Callable[[SegmentStore], None]] = {
        "the end is none of a recording": lambda store: store.attach(END, b"", {"burst": 3}),
        "the stimulus is damaged": lambda store: store.attach("stimulus/000000000001", b"PK\3\4nothing", {}),
        "image refused at byte": lambda store: store.attach("image", bytes(200), {}),
        "tensor other is no stream of its network": lambda store: store.add(
            Tensor("other", "quantized", 9, {"source": "potentials", "first": 170})
        ),
        "tensor strange is no stream": lambda store: store.add(Tensor("strange", "sets", 9)),
    }
    for text, edit in edits.items():
        path = copy(folder, tmp_path)
        with SegmentStore(path, "write") as store:
            edit(store)
        done = command.run("replay", path, cwd=tmp_path)
        assert done.code == 1
        assert text in done.err
        assert len(done.errors) == 1


def recorded(engine: BoardEngine, path: Path, image: bytes, streams: list[Stream], bursts: int, **how: Any) -> Recorder:
    """Record a run; `keep` says which segments are kept, `entries` what is injected."""
    keep, entries = how.get("keep", lambda _: True), how.get("entries")
    recorder = Recorder(path)
    recorder.begin(engine.hello, image, streams)
    engine.telemetry(streams, flush_bursts=how.get("flush_bursts", 5))
    if entries is not None:
        recorder.stimulus(engine.burst + 1, entries)
    for item in engine.stream(bursts, entries, flags=RUN_SEGMENTS):
        assert isinstance(item, StreamSegment)
        if keep(item):
            recorder.segment(item)
    return recorder


def test_dropped_bursts_are_not_compared(tmp_path: Path) -> None:
    q = network("int8", [30], power_neuron=np.arange(30, dtype=np.uint32), power_value=np.arange(30, dtype=np.int32))
    engine = engines.put(engines.board("native"), q)
    entries = stimulus(q, [(7, 3, 100), (18, 4, 100)])
    streams = parse(["fired", "potentials:*", "stimulus:*"], q)
    kept: dict[str, int] = {}

    def keep(item: StreamSegment) -> bool:
        if not item.first_burst <= 18 < item.first_burst + item.segment.frames:
            kept[item.stream.source] = kept.get(item.stream.source, 0) + item.segment.frames
            return True
        return False

    recorder = recorded(engine, tmp_path / "gaps.rec", pack(q).data, streams, 40, entries=entries, keep=keep)
    recorder.end(engine.state)
    recorder.close()
    assert all(20 < frames < 40 for frames in kept.values())
    with closing(Recording(tmp_path / "gaps.rec")) as recording:
        told = replay(recording, Host(recording.view))
        assert (told.difference, told.hash_equal) == (None, True)
        assert (told.bursts, told.compared) == (40, kept["fired"])
        assert told.values == 30 * (kept["potentials"] + kept["stimulus"])
        assert len(recording.ledger().fired(18)) == 0


def test_a_recording_of_nothing(tmp_path: Path) -> None:
    """Ended, or broken off, before the first burst."""
    q = network("int8", [4])
    engine = engines.put(engines.board("native"), q)
    for name, ends in (("ended", True), ("broken", False)):
        recorder = recorded(engine, tmp_path / name, pack(q).data, parse(["fired"], q), 0)
        if ends:
            recorder.end(engine.state)
        recorder.close()
        done = command.run("replay", name, cwd=tmp_path)
        assert (done.code, done.out) == (0, "equal: 0 of 0 bursts, 0 spikes, 0 values, hash none\n")
        assert bool(done.err) != ends
        with closing(Recording(tmp_path / name)) as recording, pytest.raises(EspikeError, match="holds no burst"):
            recording.ledger()
    begun = Recorder(tmp_path / "never")
    with pytest.raises(EspikeError, match="exists already"):
        Recorder(tmp_path / "never")
    begun.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "ended"]


def test_potentials_alone(tmp_path: Path) -> None:
    q = network("int8", [30], power_neuron=np.arange(30, dtype=np.uint32), power_value=np.arange(30, dtype=np.int32))
    engine = engines.put(engines.board("native"), q)
    recorder = recorded(engine, tmp_path / "p.rec", pack(q).data, parse(["potentials:*:3"], q), 40)
    recorder.close()
    assert recorder.segments > 5
    with closing(Recording(tmp_path / "p.rec")) as recording:
        told = replay(recording, Host(ImageView(pack(q).data)))
        assert (told.difference, told.hash_equal, told.compared, told.values) == (None, None, 0, 40 * 30)
        with pytest.raises(EspikeError, match="holds no fired ids; record them: --stream fired"):
            recording.ledger()
        assert recordings.is_recording(recording.store)
        assert recording.store.tensor("potentials.all").policy == Policy(version=2).fixed(3)
