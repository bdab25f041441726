"""Stimuli: generators, spec strings, files, codes, and one-line refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scalar_model
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_network

from espike_sim import stimulus_file
from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome
from espike_sim.stimulus import Stimulus, code, constant, empty, merge, periodic, poisson
from espike_sim.stimulus_spec import parse

AREA = Area("iic400", "eye", "IPU", (4, 3, 2), 2, 10, True)


class Net:
    """Three areas: a single neuron, AREA, and one more."""

    areas = (
        Area("one", "first", "CORE", (10, 1, 1), 1, 0, True),
        AREA,
        Area("out", "first", "OPU", (2, 1, 1), 1, 58, True),
    )
    neurons = 60


NET = Net()


def entries(stimulus: Stimulus) -> list[tuple[int, int, float]]:
    return list(zip(stimulus.burst.tolist(), stimulus.neuron.tolist(), stimulus.amount.tolist(), strict=True))


def given_entries(rows: list[tuple[int, int, float]]) -> Stimulus:
    return Stimulus(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.uint32),
        np.array([r[2] for r in rows], np.float64),
    )


def test_a_pair_twice_or_out_of_order_is_refused() -> None:
    with pytest.raises(EspikeError, match="burst 2, neuron 3 is given twice"):
        given_entries([(1, 3, 1), (2, 3, 1), (2, 3, 1)])
    with pytest.raises(EspikeError, match="burst 1, neuron 3 is out of order"):
        given_entries([(2, 3, 1), (1, 3, 1)])
    with pytest.raises(EspikeError, match="burst 0 does not exist"):
        given_entries([(0, 3, 1)])
    with pytest.raises(EspikeError, match="amount nan is not finite"):
        given_entries([(1, 3, np.nan)])


ROWS = st.dictionaries(st.tuples(st.integers(1, 5), st.integers(0, 5)), st.integers(-9, 9), max_size=10)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, max_size=4))
def test_merge_sums_equal_pairs(parts: list[dict[tuple[int, int], int]]) -> None:
    sums: dict[tuple[int, int], float] = {}
    for part in parts:
        for pair, amount in part.items():
            sums[pair] = sums.get(pair, 0) + amount
    merged = merge([given_entries([(t, n, x) for (t, n), x in sorted(part.items())]) for part in parts])
    assert entries(merged) == [(t, n, x) for (t, n), x in sorted(sums.items())]


def test_poisson_is_its_formula() -> None:
    pcg = scalar_model.pcg
    below = int(0.3 * 2**32)
    wanted = [
        (t, n, 2.0) for t in range(5, 25) for n in range(10, 58) if pcg(pcg(n) ^ pcg((t + pcg(7)) & 0xFFFFFFFF)) < below
    ]
    assert entries(poisson(AREA, 0.3, 2, 20, 7, 5)) == wanted


def test_poisson_rate_and_parts() -> None:
    area = Area("big", "big", "IPU", (5000, 1, 1), 1, 0, True)
    whole = poisson(area, 0.01, 1, 1000, 3)
    assert abs(len(whole) / 5e6 - 0.01) < 2e-4
    parts = merge([poisson(area, 0.01, 1, 400, 3), poisson(area, 0.01, 1, 600, 3, 401)])
    assert entries(parts) == entries(whole)
    assert entries(poisson(area, 0.01, 1, 1000, 4))[:20] != entries(whole)[:20]
    assert len(poisson(AREA, 1, 1, 3)) == 3 * AREA.count
    assert len(poisson(AREA, 0, 1, 3)) == 0
    for rate in (-0.1, 1.1, np.nan):
        with pytest.raises(EspikeError, match=r"leaves 0\.\.1"):
            poisson(AREA, rate, 1, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 9), st.integers(1, 20), st.integers(0, 20))
def test_periodic_begins_at_its_phase(every: int, phase: int, first: int, bursts: int) -> None:
    found = periodic(NET.areas[2], every, 1, bursts, phase, first)
    wanted = [t for t in range(first, first + bursts) if t >= 1 + phase and (t - 1 - phase) % every == 0]
    assert found.burst.tolist() == [t for t in wanted for _ in range(2)]
    assert found.neuron.tolist() == [58, 59] * len(wanted)


def test_constant() -> None:
    assert entries(constant(NET.areas[2], -1.5, 2)) == [(1, 58, -1.5), (1, 59, -1.5), (2, 58, -1.5), (2, 59, -1.5)]


def test_specs() -> None:
    assert entries(parse(["poisson:iic400:rate=0.1:amount=2:seed=3"], NET, 9)) == entries(poisson(AREA, 0.1, 2, 9, 3))
    assert entries(parse(["periodic:eye:every=3:amount=5"], NET, 9)) == entries(periodic(AREA, 3, 5, 9))
    assert entries(parse(["constant:input:amount=-1"], NET, 2)) == entries(constant(AREA, -1, 2))
    assert len(parse(["power:*"], NET, 2)) == 2 * 60
    both = parse(["power:out", "constant:out:amount=2.5"], NET, 1, first_burst=4)
    assert entries(both) == [(4, 58, 3.5), (4, 59, 3.5)]
    assert entries(parse([], NET, 5)) == entries(empty())


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("poisson:iic400:rate=0.1", "stimulus poisson:iic400:rate=0.1: amount is missing; add :amount=..."),
        ("poisson:iic400:rate=x:amount=1", "part 'rate=x' is no number"),
        ("poisson:iic400:rate=2:amount=1", "stimulus poisson:.*rate 2.0 leaves 0..1"),
        ("periodic:iic400:every=1.5:amount=1", "part 'every=1.5' is no whole number"),
        ("periodic:iic400:every=0:amount=1", "every is at least 1"),
        ("constant:iic400:amount=1:speed=2", "part 'speed' is unknown; use amount"),
        ("constant:iic400:amount=1:amount=2", "repeats a key"),
        ("constant:iic400:amount=inf", "amount inf is not finite"),
        ("constant:nowhere:amount=1", "there is no area 'nowhere'; use one of one, iic400, out"),
        ("constant:first:amount=1", "2 areas are named 'first'; give the id of one"),
        ("power", "names no area; write power:AREA:key=value"),
        ("no/such/file.csv", "no/such/file.csv: cannot read: No such file or directory"),
        ("no/such/file.npz", "no/such/file.npz: cannot read"),
    ],
)
def test_bad_specs_are_refused_in_one_line(spec: str, text: str) -> None:
    with pytest.raises(EspikeError, match=text) as caught:
        parse([spec], NET, 5)
    assert "\n" not in str(caught.value)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("# by hand\n burst, neuron, amount\n\n2,3,1.5 # late\n1,59,-2\n1,iic400:1:2:0:1,4\n1,eye:0:0:1,8\n")
    voxel = 10 + 2 * 1  # x 0, y 0, z 1: two neurons
    assert entries(stimulus_file.load(path, NET)) == [
        (1, voxel, 8.0),
        (1, voxel + 1, 8.0),
        (1, 10 + ((1 * 3 + 2) * 2 + 0) * 2 + 1, 4.0),
        (1, 59, -2.0),
        (2, 3, 1.5),
    ]
    assert AREA.coordinates(10 + 21) == (1, 2, 0, 1)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1,2", "2 fields, expected 3"),
        ("x,2,3", "holds no number"),
        ("1,2,y", "holds no number"),
        ("0,2,3", "burst 0 does not exist"),
        ("1,60,3", "neuron 60 does not exist, there are 60"),
        ("1,-1,3", "neuron -1 does not exist"),
        ("1,nothing,3", "'nothing' is no neuron"),
        ("1,out:1,3", "is no neuron"),
        ("1,away:0:0:0,3", "there is no area 'away'"),
        ("1,out:2:0:0,3", r"lies outside area out"),
        ("1,*:0:0:0,3", "means 3 areas"),
        ("1,2,nan", "amount nan is not finite"),
        ("1,5,1", "burst 1, neuron 5 is given twice"),
        ("burst,neuron,amount", "holds no number"),
    ],
)
def test_bad_csv_names_the_line(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"burst,neuron,amount\n1,5,1\n{line}\n")
    with pytest.raises(EspikeError, match=rf"a\.csv:3: .*{text}"):
        stimulus_file.load(path, NET)


@pytest.mark.parametrize("name", ["a.npz", "a.csv"])
def test_files_hold_the_stimulus(tmp_path: Path, name: str) -> None:
    wanted = poisson(AREA, 0.1, 1 / 3, 50)
    stimulus_file.save(wanted, tmp_path / name)
    assert entries(stimulus_file.load(tmp_path / name, NET)) == entries(wanted)
    assert entries(parse([str(tmp_path / name)], NET, 1)) == entries(wanted)


def test_npz_of_another_network_is_refused(tmp_path: Path) -> None:
    stimulus_file.save(given_entries([(1, 60, 1)]), tmp_path / "a.npz")
    with pytest.raises(EspikeError, match="neuron 60 does not exist"):
        stimulus_file.load(tmp_path / "a.npz", NET)


def coded(q: QuantizedConnectome, amounts: list[float]) -> tuple[list[float], int]:
    found = code(given_entries([(1, i, x) for i, x in enumerate(amounts)]), q)
    assert found.value.dtype == np.dtype(q.types.input)
    return found.value.tolist(), found.clamped


def test_codes() -> None:
    q = random_network(2, "int8")
    q = replace(q, scale=np.full(len(q.areas), 0.5), stimulus_limit=np.full(len(q.areas), 20, np.int32))
    assert coded(q, [1.25, -1.25, 0.2, -0.25, 10, 10.3, -1e300, 1e308]) == ([3, -2, 0, 0, 20, 20, -20, 20], 3)
    f = random_network(2, "fp32")
    f = replace(f, stimulus_limit=np.full(len(f.areas), 20, np.float32))
    values, clamped = coded(f, [0.1, -0.0, 20, 20.5, -1e300])
    assert (values, clamped) == ([float(np.float32(0.1)), 0, 20, 20, -20], 2)
    assert not np.signbit(values[1])
    with pytest.raises(EspikeError, match="burst 1: neuron 99999 does not exist"):
        code(given_entries([(1, 99999, 1)]), q)
