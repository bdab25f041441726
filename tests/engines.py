"""quantized connectome -> engine of each kind; boards are started once per session, each case only flashes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from espike import boards, toolchain
from espike.board import BoardEngine
from espike.boards import Running
from espike.flasher import flash
from espike.image import pack
from espike.transport import LinkError
from espike_sim import ledger
from espike_sim.engine import CodedStimulus, Engine
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

CHIPS = {"esp32c3": "ESPIKE_QEMU_ESP32C3", "esp32": "ESPIKE_QEMU_ESP32"}
"""Boards that run where the variable names the chip's emulator."""
BOARDS = ("native", "emu-rv32", "emu-lx106", *CHIPS)
NAMES = ("reference", "host", *BOARDS)
RUNNING = tuple(name for name in BOARDS if name not in CHIPS or os.environ.get(CHIPS[name]))
"""Boards that can run here, but for a missing tool chain."""
"""Every engine that a case runs on."""

_running: dict[str, Running] = {}


def lack(reason: str) -> NoReturn:
    """What a test needs is not here: skip it, visibly; with ESPIKE_CI set nothing may be missing, so fail."""
    if os.environ.get("ESPIKE_CI"):
        pytest.fail(f"ESPIKE_CI: {reason}")
    pytest.skip(reason)


def host(q: QuantizedConnectome) -> Engine:
    """The C core on this machine, from the packed image; skips where the core is not built."""
    try:
        from espike_sim.host import Host, ImageView
    except EspikeError as error:
        lack(str(error))
    return Host(ImageView(pack(q).data))


def rows(q: QuantizedConnectome) -> Engine:
    """The same without expansion: rows are read where they lie, as on a board."""
    from espike_sim.host import Host, ImageView

    return Host(ImageView(pack(q).data), expand=False)


def synapses(image: bytes) -> NDArray[np.int64]:
    """int64 (synapses, 4): projection, source, target and weight bits of every synapse of an image, sorted."""
    from espike_sim.host import ImageView, ffi, lib

    view = ImageView(image)
    found = np.empty((view.synapses, 4), np.int64)
    count = lib.spk_batch_synapses(view.view, ffi.cast("int64_t *", found.ctypes.data), len(found))
    assert count == len(found)
    return found[np.lexsort(found.T[::-1])]


def board_file(name: str) -> boards.Board:
    """A board whose firmware is built; skips where one of its programs is missing."""
    board = boards.boards()[name]
    if name in CHIPS and not os.environ.get(CHIPS[name]):
        pytest.skip(f"for want of the chip's emulator: set {CHIPS[name]}")
    if board.missing:
        lack(f"board {name}: {', '.join(board.missing)} not found")
    toolchain.BUILD.mkdir(exist_ok=True)
    with (toolchain.BUILD / "tests.lock").open("w") as lock:  # of several workers one builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        boards.firmware(board)
    return board


def needs_compiler(name: str) -> None:
    """Skips where a board's compiler is missing; its emulator may be."""
    if shutil.which(boards.boards()[name].data["compiler"]) is None:
        lack(f"board {name}: {boards.boards()[name].data['compiler']} not found")


def board(name: str) -> Running:
    """The session's running board of a name; a board that stopped answering is started again."""
    running = _running.get(name)
    if running is not None:
        try:
            running.link.hello(timeout=1)
        except LinkError:
            _running.pop(name).close()
            running = None
    if running is None:
        running = _running[name] = boards.start(board_file(name))
        running.link.hello()  # what is asked before a board is up is lost
    return running


def close_boards() -> None:
    """End every board of the session."""
    while _running:
        _running.popitem()[1].close()


@contextmanager
def board_apart(name: str) -> Iterator[boards.Board]:
    """A board for a test that starts it by itself: the session's own is ended first."""
    if name in _running:
        _running.pop(name).close()
    yield board_file(name)


def _skip_if_too_large(name: str, image: bytes) -> None:
    from espike_sim.host import ImageView

    needed, has = ImageView(image).ram_bytes, boards.boards()[name].ram_bytes
    if needed > has:
        pytest.skip(f"larger than board {name}: {needed:,} of {has:,} bytes of RAM")


def put(running: Running, q: QuantizedConnectome) -> BoardEngine:
    """Flash a network and meet it; the board stays when the engine is closed. Skips where a chip is too small."""
    data = pack(q).data
    if running.name in CHIPS:
        _skip_if_too_large(running.name, data)
    flash(running, data)
    return BoardEngine(running, owns=False)


def make(name: str, q: QuantizedConnectome) -> Engine:
    """The engine of a name for a network; skips visibly where its tools are missing."""
    if name == "reference":
        return Reference(q)
    if name == "host":
        return host(q)
    if name == "rows":
        return rows(q)
    return put(board(name), q)


def assert_same(found: Ledger, wanted: Ledger) -> None:
    """Two ledgers agree: network, fired ids, state hash, hash with potentials."""
    assert ledger.compare(found, wanted) is None
    assert found.network_hash == wanted.network_hash
    assert np.array_equal(found.hashes, wanted.hashes)
    assert found.potential_hashes is not None
    assert wanted.potential_hashes is not None
    assert np.array_equal(found.potential_hashes, wanted.potential_hashes)


def assert_agree(a: Engine, b: Engine, bursts: int, stimulus: CodedStimulus | None) -> Ledger:
    """Two engines agree over `bursts` more bursts in everything they tell -> the first one's ledger."""
    mine, yours = a.run(bursts, stimulus), b.run(bursts, stimulus)
    assert_same(mine, yours)
    assert a.counters() == b.counters()
    assert np.array_equal(a.potentials(), b.potentials())
    return mine


def agree(q: QuantizedConnectome, bursts: int, stimulus: CodedStimulus | None, *names: str) -> Ledger:
    """The named engines agree with the reference on a network -> its ledger."""
    with closing(Reference(q)) as reference:
        wanted = reference.run(bursts, stimulus)
        for name in names:
            with closing(make(name, q)) as engine:
                assert_same(engine.run(bursts, stimulus), wanted)
                assert engine.counters() == reference.counters()
                assert np.array_equal(engine.potentials(), reference.potentials())
    return wanted
