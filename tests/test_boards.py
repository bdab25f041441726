"""Running boards: what they keep, what they refuse, what they survive, and how a run behaves on the wire."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import engines
import numpy as np
import pytest
from small_networks import network, stimulus

from espike import boards, toolchain
from espike import link as wire
from espike.board import (
    RUN_FIRED,
    RUN_HASHES,
    RUN_LOSSY,
    RUN_REALTIME,
    UNTIL_STOPPED,
    BoardEngine,
    Record,
)
from espike.boards import Running
from espike.link import BoardRefusedError
from espike.transport import LinkError
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus

LENGTH, BUSY, EMPTY, ORDER, SIZE, VALUE = 2, 3, 4, 5, 7, 8
MAGIC, CRC, RAM, NEURON, STIMULUS = -2, -4, -9, -10, -11
ALL = pytest.mark.parametrize("name", engines.BOARDS)


def some_network(seed: int = 41) -> QuantizedConnectome:
    return random_network(seed, "int8", True, areas=5)


def put(running: Running, q: QuantizedConnectome) -> BoardEngine:
    return engines.put(running, q)


def refused(running: Running, kind: int, payload: bytes) -> tuple[int, int]:
    """(code, detail) with which the board refuses a request."""
    with pytest.raises(BoardRefusedError) as caught:
        running.link.request(kind, payload)
    return caught.value.code, caught.value.detail


@ALL
def test_restart_keeps_the_image(name: str) -> None:
    q = some_network()
    entries = random_stimulus(q, 1, 20)
    with engines.board_apart(name) as board:
        with closing(boards.start(board)) as running, closing(put(running, q)) as engine:
            before = engine.run(20, entries)
        with closing(boards.start(board)) as running, closing(BoardEngine(running)) as engine:
            assert engine.burst == 0
            engines.assert_same(engine.run(20, entries), before)


@ALL
def test_second_start_of_a_board_is_refused(name: str) -> None:
    engines.board(name)
    for _ in range(2):
        with pytest.raises(EspikeError, match=f"board {name}: the board is running already; end process [0-9]+"):
            boards.start(boards.boards()[name])
    assert engines.board(name).link.hello().board == name


def test_unknown_boards_and_missing_ports(tmp_path: Path) -> None:
    for target, text in (
        ("nonesuch", "no board is called nonesuch; boards are .*emu-rv32, .*native"),
        ("/dev/nonesuch", "/dev/nonesuch: no such port"),
        (str(tmp_path / "nothing"), "no such port"),
        ("socket://127.0.0.1", "is no socket://host:port"),
        ("socket://127.0.0.1:99999", "is no socket://host:port"),
        ("nonesuch://x", "is no port"),
        (str(tmp_path), "cannot open the port"),
    ):
        with pytest.raises(EspikeError, match=text):
            boards.connect(target)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EspikeError, match=f"socket://127.0.0.1:{port}: cannot connect"):
        boards.connect(f"socket://127.0.0.1:{port}")


def test_port_is_busy_and_then_free() -> None:
    with engines.board_apart("native") as board, boards.serve(board) as (port, _):
        with closing(boards.connect(port)) as running:
            assert running.link.hello().board == "native"
            with pytest.raises(EspikeError, match=f"{port}: the port is busy; close the program that uses it"):
                boards.connect(port)
        with closing(boards.connect(port)) as running:
            assert running.link.hello().board == "native"


@contextmanager
def something_on_a_pty(answer: bytes | None) -> Iterator[str]:
    """A pty whose other end echoes (None) or answers whatever comes with `answer` -> its name."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)

    def talk() -> None:
        with suppress(OSError):
            while data := os.read(ours, 4096):
                os.write(ours, data if answer is None else answer)

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        thread.join(5)
        os.close(ours)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "what is there does not speak espike; flash the firmware first"),
        (np.random.default_rng(1).bytes(3000), "what is there does not speak espike"),
        (b"login: ", "what is there does not speak espike"),
        (b"", "the board does not answer; reset it"),
    ],
    ids=["echo", "garbage", "login", "silence"],
)
def test_something_else_on_the_port(answer: bytes | None, text: str) -> None:
    with something_on_a_pty(answer) as port, closing(boards.connect(port)) as running:
        with pytest.raises(EspikeError, match=text) as caught:
            running.link.hello(timeout=0.2)
        assert str(caught.value).startswith(f"{port}: ")


@pytest.mark.parametrize("closes", [True, False])
def test_a_web_server_on_the_port(closes: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    if closes:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        text = "went away" if closes else "does not speak espike"
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with closing(boards.connect(port)) as running, pytest.raises(EspikeError, match=text):
            running.link.hello(timeout=0.2)
        thread.join(5)


def test_another_link_version_is_told() -> None:
    from espike.link import Frame, encode_frame

    # whatever the request's sequence is, one of these answers it
    every = b"".join(encode_frame(Frame(wire.HELLO | wire.REPLY, s, b"\x01" + bytes(7))) for s in range(256))
    text = "the board speaks link version 1, this espike 2"
    with (
        something_on_a_pty(every) as port,
        closing(boards.connect(port)) as running,
        pytest.raises(LinkError, match=text),
    ):
        running.link.hello(timeout=1)


@ALL
def test_garbage_between_frames_is_survived_and_counted(name: str) -> None:
    running = engines.board(name)
    transport = running.link._transport
    before = running.link.state().link_errors
    rng = np.random.default_rng(5)
    for k in range(8):
        garbage = bytes(rng.integers(1, 256, 700, dtype=np.uint8))
        transport.write(garbage + b"\0" + b"\0" * k)
        assert running.link.hello().board == name
    transport.write(b"\x05half")  # a frame that its sender never finished
    transport.write(b"\0")
    transport.write(b"\x0b" + b"x" * 10 + b"\0")  # whole, and its CRC wrong
    transport.write(b"x" * 5000 + b"\0")  # longer than any
    assert running.link.hello().board == name
    assert running.link.state().link_errors == before + 8 + 3


@ALL
def test_unknown_requests_are_refused(name: str) -> None:
    running = engines.board(name)
    for kind in (0, 19, 63, 100):
        assert refused(running, kind, b"whatever") == (1, 0)
    put(running, some_network())
    neurons = running.link.hello().neurons
    for kind, payload, code in (
        (wire.RESET, b"", LENGTH),
        (wire.RUN, bytes(8), LENGTH),
        (wire.POTENTIALS, bytes(4), LENGTH),
        (wire.POTENTIALS, struct.pack("<II", 0, neurons + 1), VALUE),
        (wire.POTENTIALS, struct.pack("<II", 0xFFFFFFFF, 2), VALUE),
        (wire.READ, struct.pack("<II", 0, running.link.hello().payload_bytes + 1), VALUE),
        (wire.CHECK, bytes(7), LENGTH),
        (wire.CHECK, struct.pack("<II", 0xFFFFFFFF, 2), VALUE),
        (wire.SLEEP, bytes(3), LENGTH),
        (wire.KEY, bytes(15), LENGTH),
        (wire.READ, struct.pack("<II", 0xFFFFFFFF, 2), VALUE),
    ):
        assert refused(running, kind, payload)[0] == code


@ALL
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_stimulus_larger_than_a_frame(precision: str, name: str) -> None:
    """Every neuron of every burst: a burst's entries pass the payload, and go ahead in pieces."""
    q = network(precision, [900, 10], threshold=120, stimulus_limit=1000)
    rng = np.random.default_rng(6)
    dense = [(burst, n, int(rng.integers(-90, 200))) for burst in (1, 2, 4, 5) for n in range(910)]
    entries = stimulus(q, [*dense, (7, 3, 1000), (8, 4, -1000), (9, 0, 5), (9, 909, 500)])
    engines.agree(q, 12, entries, name)


def entry(skip: int, gap: int, code: int) -> bytes:
    """An int8 stimulus entry; codes from 0 up."""
    return wire.varint(skip) + wire.varint(gap) + wire.varint(code << 1)


@ALL
@pytest.mark.parametrize(
    ("entries", "code", "detail"),
    [
        ([entry(0, 0, 50), entry(0, 1, 101)], STIMULUS, 1),
        ([entry(0, 0, 50), entry(0, 2, 50)], NEURON, 1),
        ([entry(0, 0, 50), entry(0, 0, 50)], NEURON, 1),
        ([entry(0, 1, 50), entry(0, 0xFFFFFFFF, 50)], NEURON, 1),
        ([entry(0, 0, 50), entry(0, 1, 50)[:-1]], VALUE, 1),
        ([entry(0, 0, 50), b"\xff" * 9], VALUE, 1),
        ([entry(0, 0, 50), entry(0, 1, 0)[:-1] + b"\xff\xff\xff\xff\x7f\x01"], STIMULUS, 1),
    ],
    ids=["beyond the limit", "no such neuron", "twice", "descending", "half an entry", "no varint", "long varint"],
)
def test_stimulus_at_fault_adds_nothing(entries: list[bytes], code: int, detail: int, name: str) -> None:
    q = network("int8", [2], threshold=100, stimulus_limit=100)
    running = engines.board(name)
    engine = put(running, q)
    payload = b"".join(entries)
    assert refused(running, wire.INJECT, payload) == (code, detail)
    assert refused(running, wire.RUN, struct.pack("<IBI", 3, 0, 0) + payload) == (code, detail)
    state = running.link.state()
    assert (state.burst, state.running) == (0, False)
    engines.assert_agree(engine, engines.make("reference", q), 2, stimulus(q, [(1, 0, 51), (1, 1, 7)]))


@ALL
def test_injected_entries_for_a_later_burst_add_nothing(name: str) -> None:
    """INJECT is for the next burst: with any entry beyond it, the ones before it do not act either."""
    q = network("int8", [2], threshold=100, stimulus_limit=100)
    running = engines.board(name)
    engine = put(running, q)
    assert refused(running, wire.INJECT, entry(0, 0, 50) + entry(1, 1, 50))[0] == VALUE
    engines.assert_agree(engine, engines.make("reference", q), 2, stimulus(q, [(1, 0, 51), (1, 1, 7)]))


@ALL
def test_stimulus_refused_by_the_board_is_told(name: str) -> None:
    q = network("int8", [2], stimulus_limit=100)
    engine = put(engines.board(name), q)
    with pytest.raises(EspikeError, match=rf"board {name}: stimulus refused \(entry 1 of a message\): bad stimulus"):
        engine.run(5, stimulus(q, [(1, 0, 100), (3, 1, 101)]))
    assert engine.run(1).bursts == 1


@ALL
def test_stop_ends_an_endless_run(name: str) -> None:
    q = some_network()
    running = engines.board(name)
    engine = put(running, q)
    stream = engine.stream(UNTIL_STOPPED, flags=RUN_FIRED | RUN_HASHES)
    seen = [next(stream) for _ in range(50)]
    assert [record.burst for record in seen] == list(range(1, 51))
    for kind in (wire.RUN, wire.RESET, wire.BEGIN, wire.POTENTIALS):
        assert refused(running, kind, bytes(9))[0] == BUSY
    assert running.link.hello().running
    engine.stop()
    assert engine.burst >= 50
    assert not running.link.hello().running
    reference = engines.make("reference", q)
    wanted = reference.run(engine.burst)
    assert [record.hashes[0] for record in seen] == wanted.hashes[:50, 0].tolist()
    engines.assert_agree(engine, reference, 5, None)


@ALL
def test_a_run_that_its_host_left_is_ended_by_the_next(name: str) -> None:
    running = engines.board(name)
    engine = put(running, some_network())
    stream = engine.stream(UNTIL_STOPPED, flags=RUN_FIRED)
    next(stream)
    again = BoardEngine(running, owns=False)
    assert (again.burst, running.link.state().running) == (0, False)
    engines.assert_agree(again, engines.make("reference", some_network()), 20, None)


@ALL
def test_reboot(name: str) -> None:
    q = some_network()
    running = engines.board(name)
    engine = put(running, q)
    engine.run(5)
    running.link.request(wire.REBOOT)
    hello = running.link.hello(timeout=0.5)
    assert (hello.has_image, hello.network_hash) == (True, q.hash)
    state = running.link.state()
    assert (state.burst, state.hash, state.running) == (0, (0, 1), False)
    again = BoardEngine(running, owns=False)
    engines.assert_agree(again, engines.make("reference", q), 20, random_stimulus(q, 3, 20))


@ALL
def test_reboot_ends_a_run(name: str) -> None:
    running = engines.board(name)
    engine = put(running, some_network())
    next(engine.stream(UNTIL_STOPPED, flags=RUN_REALTIME | RUN_FIRED, period_us=3000))
    running.link.request(wire.REBOOT)
    hello = running.link.hello(timeout=0.5)
    assert (hello.has_image, hello.running) == (True, False)


@ALL
@pytest.mark.parametrize(("period_us", "bursts"), [(4000, 150), (400, 1500)])
def test_realtime_keeps_the_asked_rate(period_us: int, bursts: int, name: str) -> None:
    """Never faster; and no slower than half the rate in one of six tries, as other processes may hold the machine."""
    q = network("int8", [20], threshold=100)
    engine = put(engines.board(name), q)
    for _ in range(6):
        engine.reset()
        begin_s = time.monotonic()
        records = list(engine.stream(bursts, flags=RUN_FIRED | RUN_REALTIME, period_us=period_us))
        taken_s, asked_s = time.monotonic() - begin_s, bursts * period_us / 1e6
        assert len(records) == bursts
        assert taken_s >= asked_s * 0.97
        if taken_s <= 2 * asked_s and engine.state.overruns < bursts / 4:
            return
    pytest.fail(f"{bursts / taken_s:.0f} bursts/s, {1e6 / period_us:.0f} asked, {engine.state.overruns} overruns")


@ALL
def test_overruns_are_counted(name: str) -> None:
    """A period far below what a burst of 900 neurons takes: every burst but the first begins late."""
    q = random_network(43, "int8", False, areas=20)
    assert q.neurons > 900
    engine = put(engines.board(name), q)
    records = list(engine.stream(100, flags=RUN_FIRED | RUN_HASHES | RUN_REALTIME, period_us=1))
    assert 90 <= engine.state.overruns <= 100
    wanted = engines.make("reference", q).run(100)
    assert [record.hashes[0] for record in records] == wanted.hashes[:, 0].tolist()
    engine.reset()
    assert engine.state.overruns == 0


@pytest.mark.parametrize(("flags", "deaf_s"), [(0, 0.2), (RUN_REALTIME, 0.5), (RUN_REALTIME, 2.6)])
def test_lossy_telemetry_drops_whole_records(flags: int, deaf_s: float) -> None:
    """A host that does not read for a while: what comes afterwards is whole, what was dropped is counted."""
    power = {"power_neuron": np.arange(500, dtype=np.uint32), "power_value": np.full(500, 2, np.int32)}
    q = network("int8", [500], threshold=1, **power)
    engine = put(engines.board("native"), q)
    stream = engine.stream(UNTIL_STOPPED, flags=RUN_FIRED | RUN_HASHES | RUN_LOSSY | flags, period_us=50)
    records: list[Record] = [next(stream)]
    time.sleep(deaf_s)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        records.append(next(stream))
    engine._running.link.send(wire.STOP)
    records.extend(stream)
    steps = [b.burst - a.burst for a, b in pairwise(records)]
    assert min(steps) >= 1
    assert max(steps) > 1, "the wire took everything: nothing was tested"
    assert all(record.ids == list(range(500)) for record in records)
    assert engine.state.dropped == engine.state.burst - len(records)
    wanted = engines.host(q).run(engine.state.burst)
    assert [r.hashes[0] for r in records] == [int(wanted.hashes[r.burst - 1, 0]) for r in records]
    assert engine.bad_frames == 0


@pytest.mark.parametrize("name", [name for name in engines.BOARDS if name in ("emu-rv32", "emu-lx106")])
def test_the_small_firmware_runs_int8_alike_and_says_what_it_leaves_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engines.board_apart(name) as board:
        run_scons(f"board={name}", "small=1")
        program = toolchain.BUILD / f"{name}-small" / "firmware.elf"
        assert program.stat().st_size > 10_000
        monkeypatch.setattr(boards, "firmware", lambda _: program)
        with closing(boards.start(board)) as running:
            assert running.link.hello().precisions == ("int8",)
            for seed in (41, 42, 43):
                q = random_network(seed, "int8", seed % 2 == 0, areas=5)
                engine = put(running, q)
                engines.assert_agree(engine, engines.make("reference", q), 60, random_stimulus(q, seed, 60))
            assert refused(running, wire.SLEEP, bytes(4)) == (1, 0)
            with pytest.raises(EspikeError, match="does not run fp32"):
                put(running, random_network(44, "fp32", True, areas=3))


def run_scons(*arguments: str) -> None:
    toolchain.run([sys.executable, "-m", "SCons", "-s", *arguments], where="small firmware")
