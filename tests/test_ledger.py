"""Ledgers: files, comparison, concatenation, and the window that plasticity reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espike_sim import ledger
from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger, Window, from_queues

QUEUES = st.lists(st.sets(st.integers(0, 9)).map(sorted), min_size=1, max_size=12)


def make(queues: list[list[int]], first_burst: int = 1, *, potentials: bool = True, neurons: int = 10) -> Ledger:
    hashes = np.arange(2 * len(queues), dtype=np.uint32).reshape(-1, 2)
    arrays = [np.array(queue, np.uint32) for queue in queues]
    return from_queues(
        arrays,
        first_burst=first_burst,
        neurons=neurons,
        hashes=hashes,
        potential_hashes=hashes + 1 if potentials else None,
        network_hash="abc",
    )


def test_access() -> None:
    x = make([[1, 2], [], [0]], first_burst=5)
    assert (x.bursts, x.spikes, x.last_burst) == (3, 3, 7)
    assert x.fired(5).tolist() == [1, 2]
    assert x.fired(6).tolist() == []
    assert x.counts().tolist() == [2, 0, 1]
    assert x.burst_of_spike().tolist() == [5, 5, 7]
    for burst in (4, 8):
        with pytest.raises(EspikeError, match=f"burst {burst} is not in the ledger, which holds 5..7"):
            x.fired(burst)


@settings(max_examples=40, deadline=None)
@given(QUEUES, QUEUES)
def test_concatenate_holds_all_bursts(a: list[list[int]], b: list[list[int]]) -> None:
    whole = ledger.concatenate([make(a), make(b, len(a) + 1)])
    assert [whole.fired(t).tolist() for t in range(1, whole.bursts + 1)] == a + b


def test_concatenate_refuses_gaps_and_drops_partial_potentials() -> None:
    with pytest.raises(EspikeError, match="ends at burst 1 is followed by 3"):
        ledger.concatenate([make([[1]]), make([[1]], 3)])
    with pytest.raises(EspikeError, match="different networks"):
        ledger.concatenate([make([[1]]), make([[1]], 2, neurons=11)])
    with pytest.raises(EspikeError, match="no ledger"):
        ledger.concatenate([])
    assert ledger.concatenate([make([[1]]), make([[1]], 2, potentials=False)]).potential_hashes is None


@settings(max_examples=200, deadline=None)
@given(QUEUES, QUEUES)
def test_compare_names_the_first_difference(a: list[list[int]], b: list[list[int]]) -> None:
    n = min(len(a), len(b))
    found = ledger.compare(make(a[:n], 3), make(b[:n], 3))
    differing = [i for i in range(n) if a[i] != b[i]]
    if not differing:
        assert found is None
        return
    i = differing[0]
    assert found is not None
    assert found.burst == 3 + i
    assert found.only_a.tolist() == sorted(set(a[i]) - set(b[i]))
    assert found.only_b.tolist() == sorted(set(b[i]) - set(a[i]))


def test_compare_refuses_other_bursts() -> None:
    with pytest.raises(EspikeError, match=r"different bursts \(1..1 and 2..2\)"):
        ledger.compare(make([[1]]), make([[1]], 2))


@pytest.mark.parametrize("potentials", [True, False])
def test_file(tmp_path: Path, potentials: bool) -> None:
    x = make([[1, 2], [], [0]], 5, potentials=potentials)
    ledger.save(x, tmp_path / "a.npz")
    y = ledger.load(tmp_path / "a.npz")
    assert (y.first_burst, y.neurons, y.network_hash) == (5, 10, "abc")
    for name in ("start", "ids", "hashes", "potential_hashes"):
        assert np.array_equal(getattr(x, name), getattr(y, name))
    ledger.save(y, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_files_have_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    """No clock, no version of Python, no padding: this file is this file."""
    ledger.save(make([[1, 2], [], [0]], 5), tmp_path / "a.npz")
    found = hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    assert found == "b2e7c680d93204b409a70a59e5b285d76b8c5f1887ed1f77f9274fb2ab1dc291"


def test_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK nothing")
    with pytest.raises(EspikeError, match="is no ledger file"):
        ledger.load(path)
    with pytest.raises(EspikeError, match="do not ascend"):
        make([[2, 1]])
    with pytest.raises(EspikeError, match="neuron 10 fired, there are 10"):
        make([[10]])


AREAS = tuple(Area(f"a{i}", f"a{i}", "custom", (5, 1, 1), 1, 5 * i, True) for i in range(2))


def frames(window: Window, area: int, depth: int, last: int | None = None) -> list[list[int]]:
    return [frame.tolist() for frame in window.frames(area, depth, last)]


def test_window_slides_and_fills_gaps() -> None:
    window = Window(AREAS)
    window.track(0, 3)
    for burst, ids in ((1, [0, 7]), (2, [1]), (4, [4, 5])):
        window.push(burst, np.array(ids, np.uint32))
    assert frames(window, 0, 3) == [[1], [], [4]]
    assert frames(window, 0, 2) == [[], [4]]
    assert frames(window, 0, 2, 3) == [[1], []]
    with pytest.raises(EspikeError, match="4 frames asked of a window of 3"):
        window.frames(0, 4)
    with pytest.raises(EspikeError, match="future"):
        window.frames(0, 1, 5)
    with pytest.raises(EspikeError, match="more than is held"):
        window.frames(0, 3, 3)
    with pytest.raises(EspikeError, match="area 1 is not tracked"):
        window.frames(1, 1)
    with pytest.raises(EspikeError, match="bursts must increase"):
        window.push(4, np.zeros(0, np.uint32))
    window.push(1000, np.array([2], np.uint32))
    assert frames(window, 0, 3) == [[], [], [2]]


def test_window_begun_late_is_prefilled_begun_at_zero_is_not() -> None:
    window = Window(AREAS)
    window.track(0, 3)
    window.push(1, np.array([0, 6], np.uint32))
    window.track(1, 3)
    assert frames(window, 1, 3) == [[], [], []]
    with pytest.raises(EspikeError, match="more than is held"):
        window.frames(0, 2)
    window.push(2, np.array([6], np.uint32))
    assert frames(window, 1, 3) == [[], [], [6]]
    assert frames(window, 0, 2) == [[0], []]


def test_window_refuses_bad_tracking() -> None:
    window = Window(AREAS)
    window.track(0, 1)
    for area, depth, text in ((0, 2, "tracked already"), (2, 1, "does not exist"), (1, 0, "cannot be tracked")):
        with pytest.raises(EspikeError, match=text):
            window.track(area, depth)
