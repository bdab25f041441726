"""flash with power cuts -> a board that starts, always; and the journal as the document says."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import c_programs
import pytest

from espike.bench import power_cuts
from espike.bench.power_cuts import Flash, Machine, bit_rot, cases, double_cuts, images, single_cuts
from espike.transfer import image_crc
from espike_sim.core import ffi, lib

ALL_CASES = list(cases())


@pytest.mark.parametrize("kind", [single_cuts, double_cuts, bit_rot])
@pytest.mark.parametrize("number", range(len(ALL_CASES)))
def test_every_position_is_survived(number: int, kind: object) -> None:
    survived = list(kind(ALL_CASES[number]))  # type: ignore[operator]
    assert len(survived) > 50
    assert all(survived), survived.index(False)


def test_the_cases_reach_both_sectors_and_roll_over() -> None:
    erased = {i for case in ALL_CASES for i in (0, 1) if case.flash[256 * i : 256 * i + 4] == b"SPJ1"}
    assert erased == {0, 1}
    sequences = {int(Machine(Flash(bytearray(case.flash)), b"").store.sequence) for case in ALL_CASES}
    assert max(sequences) > 2 * 256 // 64, "more records than both sectors hold"


def test_a_store_that_forgets_the_trial_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself: a board that runs a new image without having tried it fails some positions."""
    untried = images()[0]
    monkeypatch.setattr(Machine, "_opened", lambda self, slot, is_trial: untried)
    assert power_cuts.share((single_cuts,)) < 1


def test_a_store_that_overwrites_what_runs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless:
        def __getattr__(self, name: str) -> object:
            return (lambda store: 0) if name == "spk_store_spare" else getattr(lib, name)

    monkeypatch.setattr(power_cuts, "lib", Careless())
    assert power_cuts.share((single_cuts,)) < 1


def record(flash: Flash, at: int) -> tuple[int, ...]:
    """Sequence, active, trial, tried, outcome, image CRCs, has key of a record."""
    data = bytes(flash.data[at : at + 64])
    assert data[:4] == b"SPJ1"
    assert struct.unpack("<I", data[60:])[0] == zlib.crc32(data[:60])
    assert data[40:60] == bytes(20)
    return struct.unpack_from("<I4B2IB", data, 4)


def test_the_journal_is_what_the_document_says() -> None:
    old, new, bad = images()
    flash = Flash()
    machine = Machine(flash, bad)
    assert bytes(flash.data) == b"\xff" * len(flash.data), "an empty board writes nothing"
    machine.update(old)
    assert flash.data[512 : 512 + len(old)] == old
    a, b, c = image_crc(old), image_crc(new), image_crc(bad)
    assert record(flash, 0) == (1, 255, 0, 0, 0, a, 0, 0)
    assert record(flash, 64) == (2, 255, 0, 1, 0, a, 0, 0)
    assert record(flash, 128) == (3, 0, 255, 0, 1, a, 0, 0)
    machine.update(bad)
    assert record(flash, 192) == (4, 0, 1, 0, 1, a, c, 0)
    assert record(flash, 256) == (5, 0, 1, 1, 1, a, c, 0)
    assert record(flash, 320) == (6, 0, 255, 0, 2, a, 0, 0)
    assert machine.running == old
    machine.update(new)
    assert machine.running == new
    assert record(flash, 0) == (9, 1, 255, 0, 1, a, b, 0), "sector 0 was erased and goes on"


def test_a_restart_in_a_trial_falls_back() -> None:
    old, new, _ = images()
    flash = Flash()
    Machine(flash, b"").update(old)
    machine = Machine(flash, b"")
    begin = lib.spk_store_slot_offset(flash.c, 1)
    flash.data[begin : begin + len(new)] = new
    assert lib.spk_store_commit(machine.store, image_crc(new)) == 0
    trial = ffi.new("int *")
    assert lib.spk_store_choose(machine.store, trial) == 1
    assert trial[0] == 1
    again = Machine(flash, b"")
    assert again.running == old
    assert int(again.store.outcome) == lib.SPK_STORE_RESTARTED
    assert Machine(flash, b"").running == old


def test_a_key_is_kept_over_updates() -> None:
    old, new, bad = images()
    flash = Flash()
    machine = Machine(flash, bad)
    assert lib.spk_store_set_key(machine.store, bytes(range(16))) == 0
    for image in (old, new, bad, old):
        machine.update(image)
    store = Machine(flash, bad).store
    assert bytes(store.key) == bytes(range(16))
    assert store.has_key == 1
    assert lib.spk_store_set_key(store, ffi.NULL) == 0
    assert Machine(flash, bad).store.has_key == 0


def test_any_journal_is_usable() -> None:
    """Rubbish, and real records with rot: the store opens, runs only what is whole, and takes an image."""
    old, new, _ = images()
    rng = random.Random(3)
    for trial in range(200):
        flash = Flash(bytearray(ALL_CASES[trial % len(ALL_CASES)].flash))
        if trial % 3 == 0:
            flash.data[:512] = rng.randbytes(512)
        for _ in range(rng.randrange(6)):
            flash.data[rng.randrange(512)] ^= 1 << rng.randrange(8)
        machine = Machine(flash, b"")
        assert machine.running in (None, old, new)
        machine.update(new)
        assert Machine(flash, b"").running == new


@pytest.mark.parametrize(
    ("active", "trial", "is_taken"),
    [(0, 255, True), (1, 0, True), (255, 1, True), (2, 255, False), (254, 255, False), (0, 2, False), (1, 254, False)],
)
def test_a_record_that_names_no_slot_is_none(active: int, trial: int, is_taken: bool) -> None:
    """Behind a right CRC too; new records go behind it all the same."""
    old, new, _ = images()
    flash = Flash()
    Machine(flash, b"").update(old)
    body = struct.pack("<4sI4B2I", b"SPJ1", 9, active, trial, 0, 0, image_crc(old), image_crc(old)) + bytes(40)
    flash.data[192:256] = body[:60] + struct.pack("<I", zlib.crc32(body[:60]))
    store = ffi.new("spk_store_t *")
    lib.spk_store_open(store, flash.c)
    assert (store.sequence, store.active, store.trial) == ((9, active, trial) if is_taken else (3, 0, 255))
    if not is_taken:
        Machine(flash, b"").update(new)
        assert Machine(flash, b"").running == new


def test_a_flash_that_fails_is_told() -> None:
    old, new, _ = images()
    flash = Flash()
    machine = Machine(flash, b"")
    machine.update(old)
    flash.cut = flash.position
    assert lib.spk_store_commit(machine.store, image_crc(new)) == lib.SPK_ERROR_FLASH
    assert (machine.store.active, machine.store.trial) == (0, lib.SPK_STORE_NO_SLOT)


def test_tags_are_those_of_the_reference_implementation(tmp_path: Path) -> None:
    """Chaskey-12, key and messages 00 01 02 ... of the vectors that its author published with it."""
    key = struct.pack("<4I", 0x833D3433, 0x009F389F, 0x2398E64F, 0x417ACF39)
    expected = {
        0: (0x43CB1F41, 0x51EBA0C2, 0xFF0A8AC3, 0x7EE3F642),
        1: (0xF9AC2067, 0x9C35A846, 0x441AAD3D, 0x777B7330),
        2: (0x57DA70C5, 0x2A873CB0, 0x19EE8B2A, 0x165CD82E),
        3: (0x8C5E6AB9, 0x5035ADFB, 0xBFF69F98, 0x965516D9),
        4: (0x0B2B62DB, 0x1E9E3F50, 0xA1B8DCAD, 0xB4279AE0),
    }
    for count, words in expected.items():
        assert tag_of(key, bytes(range(count)), 1) == struct.pack("<4I", *words)
    for count in (15, 16, 17, 31, 32, 33, 64):
        whole = tag_of(key, bytes(range(count)), count)
        assert all(tag_of(key, bytes(range(count)), step) == whole for step in (1, 3, 16))
        assert chaskey(key, bytes(range(count))) == whole


def tag_of(key: bytes, message: bytes, step: int) -> bytes:
    mac, out = ffi.new("spk_mac_t *"), ffi.new("uint8_t[16]")
    lib.spk_mac_begin(mac, key)
    for at in range(0, len(message), step):
        lib.spk_mac_push(mac, message[at : at + step], len(message[at : at + step]))
    lib.spk_mac_end(mac, out)
    return bytes(out)


def chaskey(key: bytes, message: bytes) -> bytes:
    """Chaskey-12 once more, in whole numbers."""
    mask, k = (1 << 32) - 1, int.from_bytes(key, "little")

    def doubled(value: int) -> int:
        return (value << 1 ^ (0x87 if value >> 127 else 0)) & (1 << 128) - 1

    def permuted(value: int) -> int:
        v = [value >> 32 * i & mask for i in range(4)]

        def turn(i: int, by: int) -> int:
            return (v[i] << by | v[i] >> 32 - by) & mask

        for _ in range(12):
            v[0] = v[0] + v[1] & mask
            v[1] = turn(1, 5) ^ v[0]
            v[0] = turn(0, 16)
            v[2] = v[2] + v[3] & mask
            v[3] = turn(3, 8) ^ v[2]
            v[0] = v[0] + v[3] & mask
            v[3] = turn(3, 13) ^ v[0]
            v[2] = v[2] + v[1] & mask
            v[1] = turn(1, 7) ^ v[2]
            v[2] = turn(2, 16)
        return sum(word << 32 * i for i, word in enumerate(v))

    whole = max((len(message) - 1) // 16, 0)
    state = k
    for i in range(whole):
        state = permuted(state ^ int.from_bytes(message[16 * i : 16 * i + 16], "little"))
    last = message[16 * whole :]
    end = doubled(k) if len(last) == 16 else doubled(doubled(k))
    last = last if len(last) == 16 else last + b"\1" + bytes(15 - len(last))
    return (permuted(state ^ int.from_bytes(last, "little") ^ end) ^ end).to_bytes(16, "little")


def test_sanitizers_find_nothing_in_a_random_journal(tmp_path: Path) -> None:
    program = c_programs.sanitized("store_fuzz.c", tmp_path)
    rng = random.Random(4)
    for case in ALL_CASES:
        c_programs.feed(program, case.flash)
    for _ in range(20):
        c_programs.feed(program, rng.randbytes(256 * 26))
