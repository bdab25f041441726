"""image -> board -> image: what a board keeps while a new image comes, and when it does not come through."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import engines
import pytest
from image_edit import Image
from small_networks import network as areas_of

from espike import board as board_module
from espike import boards, flasher, image, selftest, transfer
from espike import link as wire
from espike.bench import networks
from espike.board import BoardEngine
from espike.boards import Running
from espike.flasher import flash
from espike.link import BoardRefusedError
from espike.transport import LinkError
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus

LENGTH, EMPTY, ORDER, SIZE, BASE, TEST, KEY = 2, 4, 5, 7, 9, 10, 11
MAGIC, VERSION, CRC, RAM, TRANSFER = -2, -3, -4, -9, -23
ALL = pytest.mark.parametrize("name", engines.BOARDS)


@pytest.fixture(autouse=True)
def no_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without copies of what boards hold: a difference is sent only where a test makes one."""
    monkeypatch.setattr(flasher, "installed", lambda crc: tmp_path / f"{crc:08x}.spk")
    monkeypatch.delenv("ESPIKE_KEY", raising=False)


def one(seed: int = 41) -> QuantizedConnectome:
    return random_network(seed, "int8", True, areas=5)


def large() -> QuantizedConnectome:
    """130,000 bytes of rows: many pieces, many sectors."""
    return networks.normal_rows_network()


def refused(running: Running, kind: int, payload: bytes) -> tuple[int, int]:
    """(code, detail) with which the board refuses a request."""
    with pytest.raises(BoardRefusedError) as caught:
        running.link.request(kind, payload)
    return caught.value.code, caught.value.detail


def send(running: Running, data: bytes) -> None:
    """A transfer, without the host's checks and without COMMIT."""
    running.link.hello()
    running.link.request(wire.BEGIN, data[: transfer.HEADER_BYTES])
    payload, taken, waits = data[transfer.HEADER_BYTES :], 0, len(data) == transfer.HEADER_BYTES
    while taken < len(payload) or waits:
        piece = b"" if waits else payload[taken : taken + transfer.PIECE_BYTES]
        taken, _, waits = struct.unpack("<IIB", running.link.request(wire.WRITE, struct.pack("<I", taken) + piece))


def runs(running: Running, q: QuantizedConnectome) -> None:
    """The board runs this network as the reference does."""
    engine = BoardEngine(running, owns=False)
    assert engine.network_hash == q.hash
    engines.assert_agree(engine, engines.make("reference", q), 10, random_stimulus(q, 2, 10))


def end(running: Running) -> None:
    running._process.kill()  # type: ignore[union-attr]
    running._process.wait()  # type: ignore[union-attr]


@ALL
def test_a_transfer_broken_off_leaves_the_old_image_and_goes_on(name: str) -> None:
    old, new = one(), large()
    data = selftest.pack(new).data
    with engines.board_apart(name) as board:
        with closing(boards.start(board)) as running:
            flash(running, selftest.pack(old).data)

            def end_the_board(done: int, _: int) -> None:
                if done > len(data) // 2:
                    end(running)

            with pytest.raises(LinkError, match=r"flashing broke off: .*the board keeps the image it had: flash again"):
                flash(running, data, progress=end_the_board)
        with closing(boards.start(board)) as running:
            runs(running, old)
            done = flash(running, data)
            assert len(data) // 3 < done.resumed_at < len(data)
            assert done.bytes_sent < 0.6 * len(data)
            assert done.hello.network_hash == new.hash
            runs(running, new)


@ALL
def test_a_first_transfer_broken_off_leaves_an_empty_board(name: str) -> None:
    with engines.board_apart(name) as board:
        (boards.home() / "boards" / name / "flash.bin").unlink(missing_ok=True)
        data = selftest.pack(one()).data
        with closing(boards.start(board)) as running:
            send(running, transfer.encode(data))
            end(running)
        with closing(boards.start(board)) as running:
            hello = running.link.hello()
            assert (hello.has_image, hello.slot, hello.image_error, hello.network_hash) == (False, None, 0, "")
            with pytest.raises(EspikeError, match=f"board {name}: the board is empty"):
                BoardEngine(running)
            for kind in (wire.RUN, wire.RESET, wire.INJECT, wire.POTENTIALS, wire.READ, wire.SELF_TEST, wire.SLEEP):
                assert refused(running, kind, bytes(9))[0] == EMPTY
            done = flash(running, data)
            assert done.resumed_at == len(data), "all of it was there: only the commit was missing"
            runs(running, one())


@ALL
def test_requests_out_of_order_are_refused(name: str) -> None:
    running = engines.board(name)
    q = one()
    flash(running, selftest.pack(one(42)).data)
    coded = transfer.encode(selftest.pack(q).data)
    header, payload = coded[: transfer.HEADER_BYTES], coded[transfer.HEADER_BYTES :]
    slot = running.link.hello().flash_bytes
    for changed, code in (
        (b"ESPX" + header[4:], MAGIC),
        (header[:4] + b"\2" + header[5:], VERSION),
        (header[:8] + b"\0" + header[9:], TRANSFER),
        (header[:-1], LENGTH),
        (b"", LENGTH),
    ):
        assert refused(running, wire.BEGIN, changed)[0] == code
    words = b"ESPT" + struct.pack("<8I", 1, slot + 4, 1, 0, 0, 0, 100, 0)
    assert refused(running, wire.BEGIN, words + struct.pack("<I", zlib.crc32(words))) == (SIZE, slot)
    assert refused(running, wire.WRITE, bytes(8)) == (ORDER, 0)
    assert refused(running, wire.COMMIT, b"") == (ORDER, 0)
    running.link.request(wire.BEGIN, header)
    piece = payload[:200]
    assert refused(running, wire.WRITE, struct.pack("<I", 4) + piece) == (ORDER, 0)
    assert refused(running, wire.WRITE, b"\0\0\0")[0] == LENGTH
    running.link.request(wire.WRITE, struct.pack("<I", 0) + piece)
    running.link.request(wire.WRITE, struct.pack("<I", 0) + piece)  # a repeated write is no gap
    assert refused(running, wire.WRITE, struct.pack("<I", 2**32 - 100) + bytes(300)) == (ORDER, 200)
    assert refused(running, wire.COMMIT, b"")[0] == ORDER
    runs(running, one(42))  # what needs the network ends the transfer
    assert refused(running, wire.WRITE, struct.pack("<I", 600) + payload[600:1600]) == (ORDER, 0)
    flash(running, selftest.pack(q).data)
    runs(running, q)


def damaged(good: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Images that no board may run, why, and the detail of it."""
    middle = bytearray(good)
    middle[len(good) // 2] ^= 16
    yield bytes(middle), CRC, 136 + (len(good) // 2 - 136) // 4096 * 4096
    yield b"XSPK" + good[4:], MAGIC, 0
    yield bytes(Image(good).put(64, 1).data), CRC, 12
    yield image.pack(areas_of("int8", [3_000_000])).data, RAM, 0
    at = good.rindex(b"TEST")
    yield wrong_test(good, at), TEST, selftest.BURSTS


def wrong_test(good: bytes, at: int) -> bytes:
    """The image with another expected hash in its self-test, every CRC right."""
    test = bytearray(good[at : at + 28 + struct.unpack_from("<I", good, at + 4)[0]])
    test[20] ^= 1
    plain = image.Packed(good, {"header": 136, "checks": 0})
    begin = struct.unpack_from("<I", good, 60)[0]
    cut = good[:60] + struct.pack("<I", at) + good[64:at] + good[begin:]
    return image.with_test(image.Packed(cut, plain.sizes), bytes(test)).data


@ALL
def test_an_image_that_does_not_run_here_leaves_the_one_before(name: str) -> None:
    running = engines.board(name)
    old = one(42)
    flash(running, selftest.pack(old).data)
    for data, code, detail in damaged(selftest.pack(one()).data):
        send(running, transfer.encode(data))
        assert refused(running, wire.COMMIT, b"") == (code, detail)
        hello = running.link.hello()
        assert (hello.has_image, hello.network_hash, hello.outcome) == (True, old.hash, "failed")
    runs(running, old)


@ALL
def test_a_failed_self_test_is_told_in_one_line(name: str) -> None:
    running = engines.board(name)
    flash(running, selftest.pack(one(42)).data)
    good = selftest.pack(one()).data
    text = "the board tried the image and keeps the image it had: .* does not pass its self-test"
    with pytest.raises(EspikeError, match=text):
        flash(running, wrong_test(good, good.rindex(b"TEST")))


@ALL
def test_a_board_that_restarted_in_a_trial_runs_the_image_before(name: str) -> None:
    """As the journal stands after the record that begins a trial: the next start ends it."""
    old = one(42)
    with engines.board_apart(name) as board:
        flash_file = boards.home() / "boards" / name / "flash.bin"
        flash_file.unlink(missing_ok=True)
        with closing(boards.start(board)) as running:
            flash(running, selftest.pack(old).data)
            slot = running.link.hello().slot
        begin = board.data.get("flash_map", {}).get("store", 0)
        held = bytearray(flash_file.read_bytes())
        record = bytearray(held[begin + 128 : begin + 192])  # the third: confirmed
        assert record[:4] == b"SPJ1"
        record[4], record[9], record[10] = record[4] + 1, 1 - slot, 1
        record[60:] = struct.pack("<I", zlib.crc32(record[:60]))
        held[begin + 192 : begin + 256] = record
        flash_file.write_bytes(held)
        with closing(boards.start(board)) as running:
            hello = running.link.hello()
            assert (hello.outcome, hello.slot, hello.network_hash) == ("restarted", slot, old.hash)
            runs(running, old)
            assert flash(running, selftest.pack(one()).data).hello.outcome == "confirmed"


@ALL
def test_host_refuses_what_cannot_fit_before_the_board_is_touched(name: str) -> None:
    running = engines.board(name)
    q = one()
    flash(running, selftest.pack(q).data)
    with pytest.raises(EspikeError, match=r"the network needs 12.* bytes of RAM, the board has"):
        flash(running, image.pack(areas_of("int8", [3_000_000])).data)
    assert running.link.hello().network_hash == q.hash


@ALL
def test_the_self_test_runs_on_demand(name: str) -> None:
    running = engines.board(name)
    for precision in running.link.hello().precisions:
        q = random_network(43, precision, False, areas=4)
        data = selftest.pack(q).data
        flash(running, data)
        assert flasher.self_test(running, running.link.hello()) == (True, f"passed, {selftest.BURSTS} bursts")
        runs(running, q)
    flash(running, image.pack(one()).data)
    with pytest.raises(EspikeError, match="the image has no self-test"):
        flasher.self_test(running, running.link.hello())


@ALL
def test_a_difference_goes_only_to_the_image_it_is_from(name: str) -> None:
    running = engines.board(name)
    old, new = networks.normal_rows_network(), networks.normal_rows_network(changed=0.05)
    first = flash(running, selftest.pack(old).data, again=True)
    assert not first.difference
    second = flash(running, selftest.pack(new).data)
    assert second.difference
    assert second.bytes_sent < first.bytes_sent / 4
    runs(running, new)
    again = flash(running, selftest.pack(new).data)
    assert (again.payload_bytes, again.bytes_sent < 100) == (0, True)
    to_old = transfer.encode(selftest.pack(one()).data, selftest.pack(old).data)
    assert refused(running, wire.BEGIN, to_old[:40]) == (BASE, transfer.image_crc(selftest.pack(new).data))


@ALL
def test_a_board_with_a_key_takes_images_only_with_it(name: str) -> None:
    key, other = bytes(range(16)), bytes(16)
    first, second = selftest.pack(one()).data, selftest.pack(one(42)).data
    with engines.board_apart(name) as board:
        with closing(boards.start(board)) as running:
            flash(running, first)
            assert flasher.set_key(running, key, None).has_key
            coded = transfer.encode(second)
            assert refused(running, wire.BEGIN, coded[:40])[0] == KEY
            assert refused(running, wire.BEGIN, coded[:40] + bytes(16))[0] == KEY
            assert refused(running, wire.KEY, other + bytes(16))[0] == KEY
            assert refused(running, wire.KEY, bytes(16))[0] == KEY
            with pytest.raises(EspikeError, match="the board has a key, and takes no writes without it"):
                flash(running, second)
            with pytest.raises(BoardRefusedError, match="wants its key, and this is not it"):
                flash(running, second, key=other)
        with closing(boards.start(board)) as running:  # a restart does not forget it
            hello = running.link.hello()
            proof = flasher.tag(key, hello, wire.BEGIN, coded[:40])
            running.link.request(wire.BEGIN, coded[:40] + proof)
            assert refused(running, wire.BEGIN, coded[:40] + proof)[0] == KEY, "a tag is right once"
            payload, at, waits = coded[40:], 0, 0
            while at < len(payload) or waits:
                piece = b"" if waits else payload[at : at + 1024]
                at, _, waits = struct.unpack("<IIB", running.link.request(wire.WRITE, struct.pack("<I", at) + piece))
            assert refused(running, wire.COMMIT, b"")[0] == KEY
            wrong = flasher.tag(key, running.link.hello(), wire.COMMIT, first)
            assert refused(running, wire.COMMIT, wrong)[0] == KEY, "the tag of another image"
            assert running.link.hello().network_hash == one().hash
            assert flash(running, second, key=key).hello.network_hash == one(42).hash
            with pytest.raises(EspikeError, match="the board has a key"):
                flasher.set_key(running, None, None)
            assert not flasher.set_key(running, None, key).has_key
            assert flash(running, first).hello.network_hash == one().hash


@ALL
def test_a_network_sleeps_and_goes_on(name: str) -> None:
    running = engines.board(name)
    if running.link.hello().retained_bytes == 0:
        pytest.skip(f"board {name} retains nothing in its sleep")
    q = random_network(44, "int8", True, areas=4, timing=True)
    data = selftest.pack(q).data
    flash(running, data)
    engine = BoardEngine(running, owns=False)
    engine.run(20, random_stimulus(q, 5, 20))
    hello = board_module.sleep(running, 0.05)
    assert hello.reset_cause == "sleep"
    awake = BoardEngine(running, owns=False, reset=False)
    assert awake.burst == 20
    awake.run(20)
    expected = Host(ImageView(data)).run(40, random_stimulus(q, 5, 20))
    assert expected.potential_hashes is not None
    state = running.link.state()
    assert state.hash == tuple(expected.hashes[-1].tolist())
    assert state.potential_hash == tuple(expected.potential_hashes[-1].tolist())
    big = selftest.pack(large()).data
    flash(running, big)
    if ImageView(big).ram_bytes + 96 > hello.retained_bytes:
        with pytest.raises(BoardRefusedError, match="too little room"):
            board_module.sleep(running, 0.05)
    else:
        board_module.sleep(running, 0.05)


@ALL
def test_every_interruption_is_survived(name: str) -> None:
    """The board dies at one piece after another, always with what was sent so far; each time it goes on further."""
    old, new = one(), large()
    data = selftest.pack(new).data
    with engines.board_apart(name) as board:
        with closing(boards.start(board)) as running:
            flash(running, selftest.pack(old).data, again=True)
        for round_ in range(1, 5):
            with closing(boards.start(board)) as running:
                assert running.link.hello().network_hash == old.hash

                def end_the_board(done: int, _: int, limit: int = round_ * len(data) // 5) -> None:
                    if done > limit:
                        end(running)

                with pytest.raises(LinkError, match="flashing broke off"):
                    flash(running, data, progress=end_the_board)
        with closing(boards.start(board)) as running:
            done = flash(running, data)
            assert done.resumed_at > 0.7 * len(data)
            runs(running, new)
