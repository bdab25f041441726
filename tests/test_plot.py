"""Pictures are made for ledgers of any size, the same every time, and refuse what they cannot show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger, from_queues

pytest.importorskip("matplotlib")
from espike import plot

PNG = b"\x89PNG\r\n\x1a\n"


def areas_of(counts: list[int], names: list[str] | None = None) -> tuple[Area, ...]:
    first = np.concatenate(([0], np.cumsum(counts)))
    names = names or [f"area {i}" for i in range(len(counts))]
    return tuple(
        Area(f"a{i}", name, "custom", (count, 1, 1), 1, int(first[i]), True)
        for i, (count, name) in enumerate(zip(counts, names, strict=True))
    )


def ledger_of(counts: list[int], bursts: int, rate: float, silent: tuple[int, ...] = ()) -> Ledger:
    rng = np.random.default_rng(4)
    share = np.repeat([0 if i in silent else rate for i in range(len(counts))], counts)
    queues = [np.flatnonzero(rng.random(len(share)) < share).astype(np.uint32) for _ in range(bursts)]
    return from_queues(queues, first_burst=1, neurons=len(share), hashes=np.zeros((bursts, 2), np.uint32))


def svg_text(path: Path) -> str:
    """The comments of an SVG: matplotlib writes every text there that it draws as paths."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text()))


def test_raster_names_areas_and_counts_spikes(tmp_path: Path) -> None:
    counts = [20, 1, 29]
    ledger = ledger_of(counts, 50, 0.1)
    path = plot.raster(ledger, areas_of(counts), tmp_path / "raster.svg", title="small")
    told = svg_text(path)
    assert "small" in told
    assert f"{ledger.spikes} spikes of 50 neurons in 50 bursts" in told
    assert "area 0 (20)" in told
    assert "area 2 (29)" in told
    assert path.read_text().count("<use") >= ledger.spikes  # a point per spike, not an image


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture_is_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    counts = [10, 30]
    ledger = ledger_of(counts, 30, 0.1)
    trace = {"neuron 1": np.arange(30, dtype=np.int16)}
    for make in (
        lambda path: plot.raster(ledger, areas_of(counts), path),
        lambda path: plot.rates(ledger, areas_of(counts), path, window_bursts=3),
        lambda path: plot.potentials(trace, path, thresholds={"neuron 1": 20.0}),
    ):
        first, second = make(tmp_path / f"a{suffix}").read_bytes(), make(tmp_path / f"b{suffix}").read_bytes()
        assert first == second
        assert suffix == ".svg" or first.startswith(PNG)
        assert b"<dc:date>" not in first


def test_a_large_network_leaves_out_silent_areas_and_draws_an_image(tmp_path: Path) -> None:
    counts = [2000] * 27 + [1357]
    silent = tuple(range(3, 28))
    ledger = ledger_of(counts, 40, 0.03, silent)
    path = plot.raster(ledger, areas_of(counts), tmp_path / "raster.svg")
    told = svg_text(path)
    assert "25 silent areas left out" in told
    assert "area 2 (2,000)" in told
    assert "area 3 " not in told
    assert "<image" in path.read_text()
    assert path.stat().st_size < 500_000


def test_points_of_areas_left_out_do_not_move_the_others() -> None:
    areas = areas_of([4, 5, 6])
    ledger = from_queues(
        [np.array([1, 4, 9], np.uint32), np.array([14], np.uint32)],
        first_burst=7,
        neurons=15,
        hashes=np.zeros((2, 2), np.uint32),
    )
    shown = [areas[0], areas[2]]
    burst, row = plot._points(ledger, shown, np.array([4, 10]))
    assert burst.tolist() == [7, 7, 8]
    assert row.tolist() == [1, 4, 9]


def test_rates_sum_the_areas_beyond_ten(tmp_path: Path) -> None:
    counts = [5] * 14
    ledger = ledger_of(counts, 20, 0.2)
    told = svg_text(plot.rates(ledger, areas_of(counts), tmp_path / "rates.svg", window_bursts=4))
    assert "5 other areas" in told
    assert "mean of 4 bursts" in told


def test_rates_are_means_of_the_window() -> None:
    assert plot._smooth(np.array([2.0, 4.0, 6.0, 0.0]), 2).tolist() == [2.0, 3.0, 5.0, 3.0]


def test_empty_ledgers_and_odd_names_are_drawn(tmp_path: Path) -> None:
    areas = areas_of([3, 2], ["$x_", "a name that is much longer than there is room for"])
    empty = from_queues([], first_burst=1, neurons=5, hashes=np.zeros((0, 2), np.uint32))
    for bursts in (0, 3):
        ledger = ledger_of([3, 2], bursts, 0.5) if bursts else empty
        plot.raster(ledger, areas, tmp_path / "raster.png", title="100 $ of \\frac")
        plot.rates(ledger, areas, tmp_path / "rates.png")
    plot.potentials({}, tmp_path / "potentials.png")


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    areas, ledger = areas_of([3, 2]), ledger_of([3, 2], 4, 0.5)
    with pytest.raises(EspikeError, match=r"use \.png or \.svg"):
        plot.raster(ledger, areas, tmp_path / "raster.gif")
    with pytest.raises(EspikeError, match="the areas hold 3 neurons, the ledger 5"):
        plot.raster(ledger, areas[:1], tmp_path / "raster.png")
    with pytest.raises(EspikeError, match="use 1 to 4"):
        plot.rates(ledger, areas, tmp_path / "rates.png", window_bursts=5)
    with pytest.raises(EspikeError, match="at most 10"):
        plot.potentials({str(i): np.zeros(3) for i in range(11)}, tmp_path / "potentials.png")
    with pytest.raises(EspikeError, match="cannot write"):
        plot.raster(ledger, areas, tmp_path / "missing" / "raster.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EspikeError, match=r"pip install espike\[plot\]"):
        plot.raster(ledger_of([3], 2, 0.5), areas_of([3]), tmp_path / "raster.png")
