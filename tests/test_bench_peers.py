"""Other simulators beside the engine: the same spikes, or a reason; and what a large network takes in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from command import run

from espike import bench
from espike.bench import growth, native, networks, peers
from espike.image import pack
from espike_sim.errors import EspikeError

BY_NAME = {key.name: key for key in bench.KEYS}
SMALL = networks.PeerNetwork(400, 8_000, 20, (48, 76))
UNEVEN = networks.PeerNetwork(500, 6_000, 0, (60, 76))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.PEERS, "1k_50k", SMALL)
    monkeypatch.setitem(networks.PEERS, "22590_500k", UNEVEN)


def race(name: str, folder: Path, *names: str, python: str | None = None) -> peers.Race:
    return peers.against_peers(name, folder, python, peers=names, rounds=2, steps=60)


@pytest.mark.parametrize("name", ["1k_50k", "22590_500k"])
def test_numpy_has_the_spikes_of_the_engine(name: str, tmp_path: Path) -> None:
    """In integers all of them, in floats nearly; else there is a reason and no ratio."""
    done = race(name, tmp_path, "numpy")
    assert done.reasons == {}
    assert done.ratios["numpy"] > 0
    assert done.formulations["numpy"] in ("bincount", "padded rows", "scipy.sparse")
    assert list(tmp_path.iterdir()) == []


def test_spikes_of_another_network_are_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = peers.counts
    monkeypatch.setattr(peers, "counts", lambda q, steps: counts(q, steps) + 1)
    done = race("1k_50k", tmp_path, "numpy")
    assert done.ratios == {}
    assert "not the same network" in done.reasons["numpy"]


def test_what_is_not_installed_is_a_reason(tmp_path: Path) -> None:
    done = race("1k_50k", tmp_path, "genn")
    if "genn" in done.ratios:
        pytest.skip("GeNN is installed here")
    assert done.reasons == {"genn": "ModuleNotFoundError: No module named 'pygenn'"}


def test_an_interpreter_that_is_none_is_a_reason(tmp_path: Path) -> None:
    assert "No such file" in race("1k_50k", tmp_path, "nest", python="/nonexistent/python").reasons["nest"]
    told = race("1k_50k", tmp_path, "nest", python="/bin/false").reasons["nest"]
    assert told.startswith("ended")


def test_the_variable_names_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(peers.PYTHON_VARIABLE, "/nonexistent/python")
    assert "/nonexistent/python" in race("1k_50k", tmp_path, "nest").reasons["nest"]
    assert race("1k_50k", tmp_path, "numpy", python=sys.executable).reasons == {}


def test_a_peer_without_a_figure_is_null_and_says_why() -> None:
    reasons: dict[str, str] = {}
    name = "host_ratio_genn_1k_50k"
    found = bench.measure(name, python="/nonexistent/python", reasons=reasons)
    assert found == {name: None}
    assert "No such file" in reasons[name]


def test_the_table_shows_the_reason(tmp_path: Path) -> None:
    command = ["bench", "--only", "host_ratio_nest_1k_50k", "--peers", "/nonexistent/python"]
    shown = run(*command, cwd=tmp_path)
    assert shown.code == 0
    assert "No such file" in " ".join(shown.out.split())
    as_json = run(*command, "--json", cwd=tmp_path)
    assert as_json.json == {"host_ratio_nest_1k_50k": None}
    assert "No such file" in as_json.err


def test_every_network_has_a_key_per_peer() -> None:
    names = {key.name for key in bench.KEYS if any(key.name.startswith(f"host_ratio_{p}_") for p in peers.NAMES)}
    assert names == {f"host_ratio_{peer}_{name}" for name in peers.FLOORS for peer in peers.NAMES}
    assert all(BY_NAME[name].full for name in names)
    goals = [BY_NAME[f"host_ratio_{peer}_10k_1m"].goal for peer in ("genn", "brian2", "nest", "numpy")]
    assert goals == [2, 4, 30, 8]


def test_a_network_file_holds_what_the_engine_runs(tmp_path: Path) -> None:
    q = networks.peer_network("22590_500k")
    peers.save(q, tmp_path / "network.npz")
    with np.load(tmp_path / "network.npz") as file:
        assert np.array_equal(np.repeat(np.arange(q.neurons), np.diff(file["row_start"])), q.source)
        assert np.array_equal(file["weight"], q.weight)
        assert file["drive"][q.power_neuron].tolist() == q.power_value.tolist()


SHAPE = (100, 60, 20)
"""120,000 neurons."""


def per_synapse(folder: Path, precision: str) -> float:
    """Bytes that the peak grows by for every synapse, the interpreter's own taken off."""
    few, many = (growth.peaks(folder, shape, precision) for shape in ((10, 6, 20), SHAPE))
    if not many.pack:
        pytest.skip("this system tells no peak")
    return (max(many.grow, many.pack) - max(few.grow, few.pack)) / many.synapses


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_growing_and_packing_take_few_bytes_per_synapse(precision: str, tmp_path: Path) -> None:
    """12 million synapses are to stay below 1 GB: 85 bytes each."""
    assert per_synapse(tmp_path, precision) < 80


def test_a_verb_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "genome", lambda *_: {})
    with pytest.raises(EspikeError, match="ended with 1"):
        growth.peaks(tmp_path)


@pytest.mark.skipif(not native.available(callgrind=False), reason="no C compiler here")
def test_memory_while_running_leaves_the_image_out(tmp_path: Path) -> None:
    q = networks.peer_network("1k_50k")
    told = native.run(q, tmp_path, 5, 5)
    assert told.events > 0
    assert 0 <= told.resident_bytes < (64 << 20) + len(pack(q).data)
