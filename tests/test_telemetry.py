"""What a board streams: its segments are the host encoder's to the byte, and what goes wrong on the way is told."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import engines
import numpy as np
import pytest
from numpy.typing import NDArray
from small_networks import network, stimulus

from espike import board as board_module
from espike import boards, telemetry
from espike import entries as entries_module
from espike import link as wire
from espike.board import (
    RUN_FIRED,
    RUN_HASHES,
    RUN_LOSSY,
    RUN_REALTIME,
    RUN_SEGMENTS,
    UNTIL_STOPPED,
    BoardEngine,
    Record,
)
from espike.boards import Running
from espike.image import pack
from espike.link import BoardRefusedError, Frame, decode_frame, encode_frame
from espike.telemetry import Assembler, Stream, StreamSegment
from espike.transport import LinkError
from espike_sim.core import lib
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus
from espike_sim.segment import ScaleError, Segment, Writer, encode_sets

LENGTH, BUSY, EMPTY, SIZE, VALUE = 2, 3, 4, 7, 8
ALL = pytest.mark.parametrize("name", engines.BOARDS)
PRECISIONS = pytest.mark.parametrize("precision", ["int8", "fp32"])


@cache
def some_network(precision: str = "int8") -> QuantizedConnectome:
    """700 to 900 neurons with every feature."""
    return random_network(44, precision, True, areas=4)


def tiny() -> QuantizedConnectome:
    """Eight neurons that never fire by themselves."""
    return network("int8", [8], threshold=100)


def lively() -> QuantizedConnectome:
    """Sixty-four neurons that charge and fire by themselves, each at its own pace."""
    value = np.random.default_rng(3).integers(5, 60, 64).astype(np.int32)
    return network("int8", [64], threshold=200, power_neuron=np.arange(64, dtype=np.uint32), power_value=value)


def put(name: str, q: QuantizedConnectome) -> BoardEngine:
    """A board with a network, flashed where it holds another."""
    running = engines.board(name)
    if running.link.hello().network_hash == q.hash:
        return BoardEngine(running, owns=False)
    return engines.put(running, q)


@dataclass(frozen=True)
class Sent:
    """A segment, as it should come or came."""

    tensor_id: str
    first_burst: int
    data: bytes


@dataclass(frozen=True)
class Burst:
    """What a burst gives each source, of every neuron."""

    number: int
    fired: NDArray[np.uint32]
    potentials: NDArray[Any]
    stimulus: NDArray[Any]

    def of(self, stream: Stream) -> NDArray[Any]:
        """The frame of a stream."""
        if stream.source == "fired":
            return self.fired
        values: NDArray[Any] = getattr(self, stream.source)
        return values[stream.first : stream.first + stream.count]


class Coder:
    """The host's encoder for one stream, cut where a board cuts."""

    def __init__(self, stream: Stream, buffer_bytes: int, flush_bursts: int) -> None:
        kind = telemetry.SOURCES.index(stream.source) and (1 if stream.bits == 0 else 0)
        kind = 2 if stream.source == "fired" else kind
        one = int(lib.spk_segment_buffer_bytes(stream.policy._struct(), kind, stream.count, 1))
        self._writer = Writer(stream.count, stream.policy, kind=stream.kind, capacity=max(one, buffer_bytes))
        self._stream, self._flush_bursts = stream, flush_bursts
        self._first = 0
        self.sent: list[Sent] = []
        self.refused: list[int] = []

    def push(self, burst: Burst) -> None:
        """A burst's frame."""
        try:
            self._keep(self._writer.push(burst.of(self._stream)))
        except ScaleError as error:
            self._keep(error.closed)
            self.refused.append(burst.number)
            return
        self._first = burst.number if self._writer.frames == 1 else self._first
        if self._writer.frames == self._flush_bursts:
            self.flush()

    def flush(self) -> None:
        """The run is over."""
        self._keep(self._writer.flush())

    def _keep(self, data: bytes | None) -> None:
        if data is not None:
            self.sent.append(Sent(self._stream.tensor_id, self._first, data))


def run_host(q: QuantizedConnectome, bursts: int, entries: CodedStimulus | None) -> list[Burst]:
    """The network on the host engine, burst by burst."""
    host, told = engines.host(q), []
    for number in range(1, bursts + 1):
        part = entries.between(number, number) if entries is not None else None
        given = np.zeros(q.neurons, q.types.input)
        if part is not None:
            given[part.neuron] = part.value
        fired = host.run(1, part).fired(number)
        told.append(Burst(number, fired, host.potentials().copy(), given))
    return told


def expected(
    told: Sequence[Burst], streams: Sequence[Stream], ends: Sequence[int], *, flush_bursts: int = 0,
    buffer_bytes: int = 1 << 14,
) -> tuple[list[Sent], int]:  # fmt: skip
    """Segments of all streams by the host's encoder, and frames refused; `ends`: bursts that ended a run."""
    coders = [Coder(stream, buffer_bytes, flush_bursts) for stream in streams]
    for burst in told:
        for coder in coders:
            coder.push(burst)
        if burst.number in ends:
            for coder in coders:
                coder.flush()
    return [sent for coder in coders for sent in coder.sent], sum(len(coder.refused) for coder in coders)


def by_stream(segments: Sequence[StreamSegment], streams: Sequence[Stream]) -> list[Sent]:
    """What came, in the order of `expected`."""
    return [
        Sent(stream.tensor_id, s.first_burst, s.data)
        for stream in streams for s in segments if s.stream.tensor_id == stream.tensor_id
    ]  # fmt: skip


def run_ends(engine: BoardEngine, entries: CodedStimulus | None, begin: int, bursts: int) -> list[int]:
    """The last burst of each request that a run of `bursts` goes out with."""
    part = entries.between(begin + 1, begin + bursts) if entries is not None else None
    counts = [c for c, _, _ in entries_module.requests(part, begin, bursts, engine.hello.precision, engine._room)]
    return (begin + np.cumsum(counts)).tolist()


def stream(engine: BoardEngine, bursts: int, entries: CodedStimulus | None = None) -> list[StreamSegment]:
    """Run with segments alone."""
    told = list(engine.stream(bursts, entries, flags=RUN_SEGMENTS))
    assert all(isinstance(item, StreamSegment) for item in told)
    return [item for item in told if isinstance(item, StreamSegment)]


def streams_of(q: QuantizedConnectome, choice: int) -> list[Stream]:
    """Four streams; the choices together have every source, width, version and odd ranges."""
    n, lossless = q.neurons, 0 if q.precision == "int8" else 8
    return [
        [
            Stream("fired", "fired", 0, n),
            Stream("p", "potentials", 0, n, 8),
            Stream("s", "stimulus", 0, n, lossless),
            Stream("q", "potentials", 3, n - 40, lossless, group_len=1000),
        ],
        [
            Stream("a", "potentials", 1, 333, 3, version=1),
            Stream("b", "potentials", n - 70, 70, 5, version=1, group_len=7),
            Stream("c", "stimulus", 0, n, 8, version=1),
            Stream("d", "potentials", 0, 64, 7, version=1, group_len=1),
        ],
        [
            Stream("a", "potentials", 17, 100, 3),
            Stream("b", "stimulus", 5, 1, 5),
            Stream("c", "stimulus", 100, 400, 3, group_len=33),
            Stream("d", "potentials", n - 1, 1, 7),
        ],
    ][choice]


@ALL
@PRECISIONS
@pytest.mark.parametrize(
    ("choice", "flush_bursts", "buffer_bytes"),
    [(0, 0, 1 << 14), (0, 7, 300), (1, 0, 3000), (1, 1, 0), (2, 5, 200), (2, 0, 0)],
)
def test_segments_are_the_hosts(choice: int, flush_bursts: int, buffer_bytes: int, precision: str, name: str) -> None:
    """Byte for byte, over two runs whose stimulus goes out in several requests."""
    q = some_network(precision)
    engine = put(name, q)
    entries = random_stimulus(q, 7, 14)
    streams = streams_of(q, choice)
    engine.telemetry(streams, flush_bursts=flush_bursts, buffer_bytes=buffer_bytes)
    ends = run_ends(engine, entries, 0, 12)
    segments = stream(engine, 12, entries)
    ends += run_ends(engine, entries, 12, 6)
    segments += stream(engine, 6, entries)
    told = run_host(q, 18, entries)
    wanted, refused = expected(told, streams, ends, flush_bursts=flush_bursts, buffer_bytes=buffer_bytes)
    assert by_stream(segments, streams) == wanted
    assert engine.state.dropped == refused == 0
    sets = [ids for s in segments if s.stream.source == "fired" for ids in s.segment.sets()]
    assert all(np.array_equal(a, b.fired) for a, b in zip(sets, told, strict=bool(sets)))
    exact = [s for s in segments if s.segment.kind == "integers"]
    assert bool(exact) == (choice == 0 and precision == "int8")
    for s in exact:
        frames = [told[s.first_burst + i - 1].of(s.stream) for i in range(s.segment.frames)]
        assert np.array_equal(s.segment.integers(), np.array(frames))


@ALL
def test_a_long_run_fills_buffers(name: str) -> None:
    """Until they are full, with no flush between."""
    q = lively()
    engine = put(name, q)
    streams = [
        Stream("fired", "fired", 0, 64),
        Stream("p", "potentials", 0, 64, 5),
        Stream("q", "potentials", 0, 64, 0),
    ]
    engine.telemetry(streams, buffer_bytes=600)
    segments = stream(engine, 700)
    wanted, _ = expected(run_host(q, 700, None), streams, [700], buffer_bytes=600)
    assert by_stream(segments, streams) == wanted
    for each in (streams[0], streams[2]):
        sizes = [len(s.data) for s in segments if s.stream == each]
        assert len(sizes) > 3
        assert all(size > 500 for size in sizes[:-1])


@ALL
def test_one_frame_buffers(name: str) -> None:
    """Room for one frame at worst: segments are short, and nothing is lost."""
    q = some_network()
    engine = put(name, q)
    streams = [Stream("fired", "fired", 0, q.neurons), Stream("p", "potentials", 0, q.neurons, 8)]
    least = engine.telemetry(streams, buffer_bytes=0)
    assert engine.telemetry(streams, buffer_bytes=1) == least
    entries = random_stimulus(q, 3, 12)
    segments = stream(engine, 12, entries)
    assert sum(s.segment.frames for s in segments) == 24
    assert len(segments) > 6


def request(*streams: Stream, flush_bursts: int = 0, buffer_bytes: int = 64) -> bytes:
    return struct.pack("<I", flush_bursts) + b"".join(s.encode(buffer_bytes) for s in streams)


def answer(running: Running, payload: bytes) -> tuple[int, int]:
    """(0, RAM used), or (code, detail) of the refusal."""
    try:
        return 0, int(struct.unpack("<I", running.link.request(wire.TELEMETRY, payload))[0])
    except BoardRefusedError as error:
        refused = error
    assert "\n" not in str(refused)
    return refused.code, refused.detail


@ALL
def test_requests_at_fault(name: str) -> None:
    """Each is refused with the stream at fault; the board then has no streams, and goes on."""
    q = tiny()
    engine = put(name, q)
    running = engine._running
    good = Stream("p", "potentials", 0, 8, 8)
    raw = bytearray(good.encode(64))
    wrong = {
        "no such source": bytes([3]) + raw[1:],
        "4 bits": raw[:1] + b"\4" + raw[2:],
        "9 bits": raw[:1] + b"\11" + raw[2:],
        "version 0": raw[:2] + b"\0" + raw[3:],
        "version 3": raw[:2] + b"\3" + raw[3:],
        "reserved": raw[:3] + b"\1" + raw[4:],
        "first outside": replace(good, first=9, count=1).encode(64),
        "first at the end": replace(good, first=8, count=1).encode(64),
        "count outside": replace(good, first=1).encode(64),
        "count wraps": replace(good, first=5, count=0xFFFFFFFF).encode(64),
        "no neuron": replace(good, count=0).encode(64),
        "no group": replace(good, group_len=0).encode(64),
        "lossless in version 1": replace(good, bits=0, version=1).encode(64),
        "fired with bits": Stream("f", "fired", 0, 8, 8).encode(64),
        "fired in version 1": Stream("f", "fired", 0, 8, version=1).encode(64),
        "fired of some neurons": Stream("f", "fired", 1, 7).encode(64),
    }
    for what, data in wrong.items():
        for before in range(4):
            payload = request(*[good] * before) + bytes(data)
            assert answer(running, payload) == (VALUE, before), what
    assert answer(running, request(*[good] * 5)) == (LENGTH, 0)
    for length in (0, 3, 5, 23, 25):
        assert answer(running, request(*[good] * 4)[:length]) == (LENGTH, 0)
    for refused in (request(good)[:-1], request(good, replace(good, first=9))):
        assert answer(running, request(good))[0] == 0
        assert answer(running, refused)[0] in (LENGTH, VALUE)
        assert stream_raw(running, 3) == []
    assert answer(running, request()) == (0, 0)
    engines.assert_agree(BoardEngine(running, owns=False), engines.make("reference", q), 5, None)
    assert answer(running, request(*[good] * 4))[0] == 0


def stream_raw(running: Running, bursts: int) -> list[Frame]:
    """SEGMENT frames of a run, whatever streams there are."""
    running.link.request(wire.RUN, struct.pack("<IBI", bursts, RUN_SEGMENTS, 0))
    frames = []
    for frame in running.link.frames(5):
        assert frame is not None
        if frame.type == wire.DONE | wire.REPLY:
            return frames
        frames.append(frame)
    raise AssertionError


@ALL
def test_lossless_floats_are_refused(name: str) -> None:
    q = network("fp32", [8])
    engine = put(name, q)
    for source in ("potentials", "stimulus"):
        assert answer(engine._running, request(Stream("x", source, 0, 8, 0))) == (VALUE, 0)
        assert answer(engine._running, request(Stream("x", source, 0, 8, 3)))[0] == 0


@ALL
def test_an_empty_board_and_a_busy_one(name: str) -> None:
    with engines.board_apart(name) as board:
        (boards.home() / "boards" / name / "flash.bin").unlink(missing_ok=True)
        with closing(boards.start(board)) as empty:
            empty.link.hello()
            assert answer(empty, request()) == (EMPTY, 0)
    running = engines.board(name)
    engine = put(name, tiny())
    whole = Stream("p", "potentials", 0, 8, 8)
    engine.telemetry([whole])
    left = engine.stream(UNTIL_STOPPED, flags=RUN_REALTIME | RUN_FIRED, period_us=2000)
    next(left)
    assert answer(running, request(whole)) == (BUSY, 0)
    engine.stop()
    assert len(stream(engine, 3)) == 1  # the refusal left the streams alone


@ALL
def test_too_little_ram_is_told_to_the_byte(name: str) -> None:
    q = tiny()
    engine = put(name, q)
    running, hello = engine._running, engine.hello
    beside = hello.image_bytes if name in engines.CHIPS else 0  # chips have copied it to RAM
    room = hello.arena_bytes - (beside + 7) // 8 * 8 - (hello.ram_bytes + 7) // 8 * 8
    one = Stream("s", "stimulus", 0, 8, 8)
    small = answer(running, request(one, buffer_bytes=1 << 10))[1]
    rest = room - small + (1 << 10)
    assert answer(running, request(one, buffer_bytes=rest)) == (0, room)
    assert answer(running, request(one, buffer_bytes=rest + 1)) == (SIZE, room + 8)
    assert answer(running, request(one, buffer_bytes=rest + 80)) == (SIZE, room + 80)
    assert answer(running, request(one, one, buffer_bytes=rest)) == (SIZE, 2 * room)
    # sums that 32 bits do not hold
    for count, size in ((1, 2**32 - 1), (1, 2**32 - 8), (4, 2**30), (2, 2**31)):
        assert answer(running, request(*[one] * count, buffer_bytes=size)) == (SIZE, 2**32 - 1)
    assert answer(running, request(one, buffer_bytes=2**31))[1] == small - (1 << 10) + 2**31
    # and with every byte of it taken the board works
    engine.telemetry([one], buffer_bytes=rest)
    entries = stimulus(q, [(burst, burst % 8, 40) for burst in range(1, 11)])
    segments = stream(engine, 10, entries)
    wanted, _ = expected(run_host(q, 10, entries), [one], [10], buffer_bytes=rest)
    assert by_stream(segments, [one]) == wanted
    engines.assert_agree(BoardEngine(running, owns=False), engines.make("reference", q), 10, entries)


def test_buffers_shrink_to_what_a_board_has(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = put("native", tiny())
    sizes: list[int] = []
    whole = engine._running.link.request

    def small_board(kind: int, payload: bytes = b"", *, timeout: float = 5.0) -> bytes:
        size = struct.unpack_from("<I", payload, 16)[0] if kind == wire.TELEMETRY else 0
        sizes.append(size)
        if kind == wire.TELEMETRY and size > least:
            raise BoardRefusedError("board small", SIZE, 12345)
        return whole(kind, payload, timeout=timeout)

    monkeypatch.setattr(engine._running.link, "request", small_board)
    least = 700
    assert engine.telemetry([Stream("p", "potentials", 0, 8, 8)], buffer_bytes=1 << 12) < 2000
    assert sizes == [4096, 2048, 1024, 512]
    least = -1
    text = r"board native: telemetry needs 12345 bytes of RAM, the network leaves \d+; stream fewer neurons"
    with pytest.raises(EspikeError, match=text):
        engine.telemetry([Stream("p", "potentials", 0, 8, 8)])
    assert engine._streams == []


@ALL
def test_runs_without_segments_are_as_before(name: str) -> None:
    q = some_network()
    engine = put(name, q)
    engine.telemetry(streams_of(q, 0))
    entries = random_stimulus(q, 9, 15)
    engines.assert_agree(engine, engines.make("reference", q), 15, entries)
    assert list(engine.stream(5, None, flags=0)) == []


@ALL
def test_a_flush_at_the_end_is_one_segment(name: str) -> None:
    """A segment that was just sent is not sent again at the run's end, nor by a run of no burst."""
    engine = put(name, tiny())
    both = [Stream("p", "potentials", 0, 8, 8, version=1), Stream("fired", "fired", 0, 8)]
    engine.telemetry(both, flush_bursts=5)
    assert [(s.stream.tensor_id, s.first_burst, s.segment.frames) for s in stream(engine, 10)] == [
        ("p", 1, 5), ("fired", 1, 5), ("p", 6, 5), ("fired", 6, 5),
    ]  # fmt: skip
    assert stream_raw(engine._running, 0) == []


@ALL
def test_a_stimulus_is_told_in_its_burst_alone(name: str) -> None:
    """What was injected before a reset, into a run without segments, or ahead of a run."""
    q = tiny()
    engine = put(name, q)
    running = engine._running
    engine.telemetry([Stream("s", "stimulus", 0, 8), Stream("t", "stimulus", 4, 3, 8)])
    entry = wire.varint(0) + wire.varint(5) + wire.varint(2 * 40)

    def values(bursts: int, entries: CodedStimulus | None = None) -> list[list[int]]:
        found = stream(engine, bursts, entries)
        assert np.allclose(found[1].segment.decode(), found[0].segment.integers()[:, 4:7], rtol=0.005)
        return found[0].segment.integers().tolist()

    none = [0] * 8
    engine.run(3, stimulus(q, [(1, 0, 50), (3, 5, 60)]))
    assert values(2) == [none, none]
    running.link.request(wire.INJECT, entry)
    engine.reset()
    assert values(2) == [none, none]
    running.link.request(wire.INJECT, entry)
    assert values(2, stimulus(q, [(3, 6, -30)])) == [[0, 0, 0, 0, 0, 40, -30, 0], none]
    running.link.request(wire.INJECT, entry)
    assert engine.run(1).bursts == 1
    assert values(1) == [none]


@ALL
def test_reset_and_a_second_run_start_afresh(name: str) -> None:
    q = some_network()
    engine = put(name, q)
    entries = random_stimulus(q, 4, 12)
    streams = [Stream("fired", "fired", 0, q.neurons), Stream("p", "potentials", 0, q.neurons, 7)]
    engine.telemetry(streams)
    first = by_stream(stream(engine, 12, entries), streams)
    engine.reset()
    assert by_stream(stream(engine, 12, entries), streams) == first
    engine._running.link.request(wire.REBOOT)
    assert engine._running.link.hello(timeout=0.5).has_image
    assert stream_raw(engine._running, 3) == []  # a restart forgets the streams


@ALL
def test_records_and_segments_together(name: str) -> None:
    q = some_network()
    engine = put(name, q)
    entries = random_stimulus(q, 5, 40)
    streams = streams_of(q, 0)
    engine.telemetry(streams, flush_bursts=3, buffer_bytes=2000)
    told = list(engine.stream(40, entries, flags=RUN_FIRED | RUN_HASHES | RUN_SEGMENTS))
    records = [item for item in told if isinstance(item, Record)]
    segments = [item for item in told if isinstance(item, StreamSegment)]
    wanted = engines.host(q).run(40, entries)
    assert [record.ids for record in records] == [wanted.fired(b).tolist() for b in range(1, 41)]
    assert [record.hashes[0] for record in records] == wanted.hashes[:, 0].tolist()
    ends = run_ends(engine, entries, 0, 40)
    host, _ = expected(run_host(q, 40, entries), streams, ends, flush_bursts=3, buffer_bytes=2000)
    assert by_stream(segments, streams) == host


@ALL
@pytest.mark.parametrize("way", ["stop", "until"])
def test_an_endless_run_ends_whole(way: str, name: str) -> None:
    """Left and stopped, or told to end: every burst up to the last comes, as if the run had been that long."""
    q = lively()
    engine = put(name, q)
    streams = [Stream("fired", "fired", 0, 64), Stream("p", "potentials", 7, 40, 8)]
    engine.telemetry(streams, buffer_bytes=400)
    seen: list[StreamSegment] = []
    until = (lambda: len(seen) > 4) if way == "until" else None
    running = engine.stream(UNTIL_STOPPED, flags=RUN_SEGMENTS | RUN_REALTIME, period_us=300, until=until)
    for item in running:
        assert isinstance(item, StreamSegment)
        seen.append(item)
        if way == "stop" and len(seen) > 4:
            seen += engine.stop()
            break
    last = engine.burst
    assert last > 4
    wanted, _ = expected(run_host(q, last, None), streams, [last], buffer_bytes=400)
    assert by_stream(seen, streams) == wanted
    assert engine.stop() == []
    assert not engine._running.link.state().running
    engine.reset()
    engines.assert_agree(engine, engines.make("reference", q), 5, None)


def test_until_ends_a_run_between_two_requests() -> None:
    """A stimulus goes out in several requests; none follows once the run has been ended."""
    q = some_network()
    engine = put("native", q)
    entries = random_stimulus(q, 5, 60)
    assert len(run_ends(engine, entries, 0, 60)) > 3
    asked: list[int] = []

    def until() -> bool:
        asked.append(1)
        return len(asked) > 3

    records = list(engine.stream(60, entries, flags=RUN_FIRED, until=until))
    assert 0 < len(records) == engine.burst < 60


@ALL
def test_a_scale_that_version_1_cannot_hold(name: str) -> None:
    """Such a frame is left out and counted; the next one is whole, and holds nothing of it."""
    q = network("fp32", [6], stimulus_limit=1e9, threshold=1e30)
    engine = put(name, q)
    streams = [Stream("s", "stimulus", 0, 6, 8, version=1), Stream("t", "stimulus", 0, 6, 8)]
    engine.telemetry(streams)
    entries = stimulus(q, [(2, 1, 5.0), (3, 2, 1e8), (5, 3, 1e-8), (6, 4, 1.0), (6, 5, 1e9)])
    segments = stream(engine, 8, entries)
    told = run_host(q, 8, entries)
    wanted, refused = expected(told, streams, [8])
    assert by_stream(segments, streams) == wanted
    assert engine.state.dropped == refused == 3
    bursts = [s.first_burst + i for s in segments if s.stream.version == 1 for i in range(s.segment.frames)]
    assert bursts == [1, 2, 4, 7, 8]
    for s in segments:
        frames = np.array([told[s.first_burst + i - 1].stimulus for i in range(s.segment.frames)])
        assert np.all(np.abs(s.segment.decode() - frames) <= s.segment.bounds[0])


@ALL
def test_random_requests_leave_the_board_alive(name: str) -> None:
    """Bytes of any kind: refused, or streams that run."""
    q = tiny()
    engine = put(name, q)
    running = engine._running
    rng = np.random.default_rng(8)
    taken = 0
    for _ in range(300):
        count = int(rng.integers(0, 5))
        fields = [
            struct.pack(
                "<BBBBIIII", rng.integers(0, 4), rng.choice([0, 3, 4, 5, 7, 8, 255]), rng.integers(0, 4),
                rng.random() < 0.05, *(int(rng.choice([0, 1, 5, 8, 9, 2**31, 2**32 - 1])) for _ in range(2)),
                int(rng.choice([0, 1, 100, 5000, 2**22, 2**31, 2**32 - 8, 2**32 - 1])),
                int(rng.choice([0, 1, 8, 64, 2**31, 2**32 - 1])),
            )
            for _ in range(count)
        ]  # fmt: skip
        if rng.random() < 0.5:  # mostly good ones
            fields = [struct.pack("<BBBBIIII", 1, 8, 2, 0, 0, 8, 100, 64), *fields][:count]
        payload = struct.pack("<I", int(rng.choice([0, 1, 3, 2**32 - 1]))) + b"".join(fields)
        payload = payload[: int(rng.integers(0, len(payload) + 1))] if rng.random() < 0.1 else payload
        code, _ = answer(running, payload)
        assert code in (0, LENGTH, SIZE, VALUE)
        if code == 0 and len(payload) > 4:
            taken += 1
            frames = stream_raw(running, 4)
            assert {frame.payload[0] for frame in frames} == set(range(len(payload) // 20))
    assert taken > 10
    engines.assert_agree(BoardEngine(running, owns=False), engines.make("reference", q), 5, None)


class Tampered:
    """A transport whose incoming frames pass through a function: (frame, how many of its type came before)."""

    def __init__(self, transport: Any, change: Callable[[Frame, int], Frame | bytes | None]) -> None:
        self._transport, self._change = transport, change
        self._data = b""
        self._counts: dict[int, int] = {}
        self.where = transport.where

    def read(self, timeout: float) -> bytes:
        out = b""
        while not out and (data := self._transport.read(timeout)):
            *whole, self._data = (self._data + data).split(b"\0")
            out = b"".join(map(self._changed, filter(None, map(decode_frame, whole))))
        return out

    def _changed(self, frame: Frame) -> bytes:
        number = self._counts[frame.type] = self._counts.get(frame.type, -1) + 1
        made = self._change(frame, number)
        return b"" if made is None else made if isinstance(made, bytes) else encode_frame(made)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()


PIECE = wire.SEGMENT | wire.REPLY


def flipped(frame: Frame) -> bytes:
    data = bytearray(encode_frame(frame))
    data[len(data) // 2] ^= 0x55 if data[len(data) // 2] != 0x55 else 0x56
    return bytes(data)


FAULTS: dict[str, Callable[[Frame, int], Frame | bytes | None]] = {
    "a piece": lambda frame, n: None if (frame.type, n) == (PIECE, 1) else frame,
    "the first piece": lambda frame, n: None if (frame.type, n) == (PIECE, 0) else frame,
    "a bit of a piece": lambda frame, n: flipped(frame) if (frame.type, n) == (PIECE, 2) else frame,
    "half a piece": lambda frame, n: encode_frame(frame)[:200] if (frame.type, n) == (PIECE, 2) else frame,
    "every piece": lambda frame, _: None if frame.type == PIECE else frame,
    "the last pieces": lambda frame, n: None if frame.type == PIECE and n >= 3 else frame,
    "records": lambda frame, n: None if (frame.type, n) == (wire.DATA | wire.REPLY, 1) else frame,
    "the end": lambda frame, _: None if frame.type == wire.DONE | wire.REPLY else frame,
}


@ALL
@pytest.mark.parametrize("what", FAULTS)
def test_what_is_lost_on_the_wire_is_noticed(what: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "_SILENCE_S", 1.0 if what == "the end" else 10.0)
    q = some_network()
    engine = put(name, q)
    running = engine._running
    streams = [Stream("p", "potentials", 0, q.neurons, 8), Stream("fired", "fired", 0, q.neurons)]
    engine.telemetry(streams, buffer_bytes=4000)
    entries = random_stimulus(q, 5, 6)
    transport = running.link._transport
    monkeypatch.setattr(running.link, "_transport", Tampered(transport, FAULTS[what]))
    with pytest.raises(LinkError, match=r"records were lost on the wire; run it again"):
        list(engine.stream(6, entries, flags=RUN_SEGMENTS | RUN_FIRED))
    monkeypatch.setattr(running.link, "_transport", transport)
    again = BoardEngine(running, owns=False)
    engines.assert_agree(again, engines.make("reference", q), 6, entries)


def test_lost_pieces_in_stop_are_told_and_the_run_is_over() -> None:
    q = some_network()
    engine = put("native", q)
    running = engine._running
    engine.telemetry([Stream("p", "potentials", 0, q.neurons, 8)], flush_bursts=3)
    transport = running.link._transport
    running.link._transport = Tampered(
        transport, lambda frame, n: None if frame.type == PIECE and n % 5 == 4 else frame
    )  # type: ignore[assignment]
    left = engine.stream(UNTIL_STOPPED, flags=RUN_SEGMENTS)
    next(left)
    time.sleep(0.05)
    with pytest.raises(LinkError, match="lost on the wire"):
        engine.stop()
    running.link._transport = transport
    assert not running.link.state().running
    assert engine.stop() == []


def test_pieces_that_do_not_fit_together() -> None:
    segment = encode_sets([[1, 2]], 8)[0]
    head = struct.pack("<II", 7, len(segment))
    streams = [Stream("fired", "fired", 0, 8), Stream("p", "potentials", 0, 8, 8)]

    def feed(*payloads: bytes) -> StreamSegment | None:
        assembler = Assembler(streams)
        return [assembler.feed(payload, "port") for payload in payloads][-1]

    whole = feed(b"\0\3\0\0" + head + segment)
    assert whole is not None
    assert (whole.stream, whole.first_burst, whole.data) == (streams[0], 7, segment)
    assert feed(b"\0\1\0\0" + head + segment[:9], b"\0\0\0\0" + segment[9:]) is None
    parts = feed(b"\0\1\0\0" + head + segment[:9], b"\0\0\0\0" + segment[9:20], b"\0\2\0\0" + segment[20:])
    assert parts is not None
    assert parts.data == segment
    for payloads, text in (
        ([b""], "belongs to no stream"),
        ([b"\0\3\0"], "belongs to no stream"),
        ([b"\2\3\0\0" + head + segment], "belongs to no stream"),
        ([b"\0\3\0\0" + head[:7]], "too short"),
        ([b"\0\2\0\0" + segment], "begins in the middle"),
        ([b"\0\1\0\0" + head + segment[:9], b"\1\2\0\0" + segment[9:]], "begins in the middle"),
        ([b"\0\1\0\0" + head + segment[:9], b"\0\2\0\0" + segment[10:]], "pieces missing"),
        ([b"\0\1\0\0" + head + segment[:9], b"\0\3\0\0" + head + segment], "its end missing"),
        ([b"\0\3\0\0" + head + segment[:-1] + b"\1"], "damaged"),
        ([b"\0\3\0\0" + struct.pack("<II", 7, 0)], "damaged"),
    ):
        with pytest.raises(LinkError, match=f"port: .*{text}"):
            feed(*payloads)


def test_lossy_runs_drop_whole_segments_and_count_them() -> None:
    """A host that does not read for a while sees a gap in burst numbers, as long as the board says."""
    power = {"power_neuron": np.arange(400, dtype=np.uint32), "power_value": np.full(400, 2, np.int32)}
    q = network("int8", [400], threshold=7, **power)
    engine = put("native", q)
    before = engine.bad_frames
    streams = [Stream("fired", "fired", 0, 400), Stream("p", "potentials", 0, 400, 8, version=1)]
    engine.telemetry(streams, flush_bursts=4)
    left = engine.stream(UNTIL_STOPPED, flags=RUN_SEGMENTS | RUN_LOSSY | RUN_REALTIME, period_us=50, until=lambda: over)
    over = False
    segments = [next(left)]
    time.sleep(0.5)
    end = time.monotonic() + 0.3
    for item in left:
        segments.append(item)
        over = time.monotonic() > end
    last = engine.burst
    told = run_host(q, last, None)
    missing = 0
    for wanted in streams:
        mine = [s for s in segments if isinstance(s, StreamSegment) and s.stream == wanted]
        bursts = [s.first_burst + i for s in mine for i in range(s.segment.frames)]
        assert len(set(bursts)) == len(bursts)
        assert bursts == sorted(bursts)
        assert np.max(np.diff(bursts)) > 4, "the wire took everything: nothing was tested"
        missing += last - len(bursts)
        if wanted.source == "fired":
            ids = [found for s in mine for found in s.segment.sets()]
            assert all(np.array_equal(a, told[b - 1].fired) for a, b in zip(ids, bursts, strict=True))
    assert engine.state.dropped == missing > 0
    assert engine.bad_frames == before


def test_specs_of_streams() -> None:
    q = network("int8", [4, 6, 5])
    fp32 = network("fp32", [4, 6, 5])
    parsed = telemetry.parse(["fired", "potentials:a1:5", "stimulus:input", "potentials:*"], q)
    assert parsed == [
        Stream("fired", "fired", 0, 15),
        Stream("potentials.a1", "potentials", 4, 6, 5),
        Stream("stimulus.input", "stimulus", 0, 4, 0),
        Stream("potentials.all", "potentials", 0, 15, 8),
    ]
    assert [stream.kind for stream in parsed] == ["sets", "quantized", "integers", "quantized"]
    assert telemetry.parse(["potentials:a2:0"], q)[0].kind == "integers"
    assert telemetry.parse(["stimulus:a2:3"], fp32)[0].bits == 3
    for specs, text in (
        (["spikes"], "stream spikes: is no stream; write fired, potentials"),
        (["fired:a0"], "is no stream"),
        (["fired:"], "is no stream"),
        (["potentials"], "is no stream"),
        (["potentials:a0:8:1"], "is no stream"),
        ([""], "is no stream"),
        (["potentials:a0:4"], "stream potentials:a0:4: '4' is no width; use 3, 5, 7, 8, or 0"),
        (["potentials:a0:x"], "'x' is no width"),
        (["potentials:nowhere"], "stream potentials:nowhere: there is no area 'nowhere'; use one of a0, a1, a2"),
        (["potentials::8"], "there is no area ''"),
        (["fired", "fired"], "streams are named twice"),
        (["potentials:a0", "potentials:a0:3"], "streams are named twice"),
        (["fired", "potentials:a0", "potentials:a1", "potentials:a2", "stimulus:a0"], "5 streams, a board takes 4"),
    ):
        with pytest.raises(EspikeError, match=text):
            telemetry.parse(specs, q)
    for spec in ("stimulus:a0", "potentials:a0:0"):
        with pytest.raises(EspikeError, match=f"stream {spec}: an fp32 network has no lossless numbers; give 3, 5"):
            telemetry.parse([spec], fp32)


def test_areas_apart_are_streams_apart() -> None:
    q = network("int8", [4, 6, 5])
    areas = tuple(replace(area, group="input" if area.first != 4 else "custom") for area in q.areas)
    parsed = telemetry.parse(["stimulus:input"], replace(q, areas=areas))
    assert [(s.tensor_id, s.first, s.count) for s in parsed] == [
        ("stimulus.input.0", 0, 4),
        ("stimulus.input.10", 10, 5),
    ]


def test_the_encoder_in_the_firmware_counts_its_ram(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the native board says that streams take is what the core asks for, each part a multiple of 8."""
    q = some_network()
    engine = put("native", q)
    for choice in range(3):
        total = 0
        for one in streams_of(q, choice):
            struct_, kind = one.policy._struct(), {"quantized": 0, "integers": 1, "sets": 2}[one.kind]
            values = 4 * one.count if one.source == "stimulus" else 0
            least = lib.spk_segment_buffer_bytes(struct_, kind, one.count, 1)
            for part in (lib.spk_segment_work_bytes(struct_, kind, one.count), values, max(500, least)):
                total += (part + 7) // 8 * 8
        assert engine.telemetry(streams_of(q, choice), buffer_bytes=500) == total
    assert ImageView(pack(q).data).ram_bytes == engine.hello.ram_bytes
    assert Segment(stream(engine, 1)[0].data).frames == 1
