"""Recordings beside an imported network: their forms, what they are refused for, and where rasters part."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from command import run as command
from slow_nir import Rules, Slow
from test_nir_refuse import lif

DT = 1e-4


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, np.ndarray]:
    """A network of two layers and a read-out in net.nir, and what the second author makes of random input."""
    rng = np.random.default_rng(3)
    readout = nir.LI(tau=np.full(2, 3e-3), r=np.full(2, 30.0), v_leak=np.full(2, 0.25))
    nodes = {
        "input": nir.Input(np.array([4])), "fc1": nir.Linear(rng.normal(0.3, 0.4, (5, 4))), "lif1": lif(5),
        "fc2": nir.Affine(rng.normal(0, 0.4, (2, 5)), np.array([0.01, 0])), "li": readout,
        "output": nir.Output(np.array([2])),
    }  # fmt: skip
    names = list(nodes)
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, list(pairwise(names))))
    given = (rng.random((3, 40, 4)) < 0.3).astype(np.float64)
    slow = Slow(tmp_path / "net.nir", Rules(DT))
    spikes, potentials = [], []
    for sample in given:
        slow.reset()
        for x in sample:
            slow.burst({"input": x})
        spikes.append(np.array(slow.spikes["lif1"]))
        potentials.append(np.array(slow.shown["li"]))
    assert np.any(spikes)
    return {"input": given, "lif1": np.array(spikes), "li.v": np.array(potentials)}


def check(tmp_path: Path, *arguments: Any) -> dict[str, Any]:
    """Import net.nir beside a recording; what was found."""
    return command("import", "net.nir", *arguments, "--json", cwd=tmp_path).json["expect"]


def test_npz_and_nir_data_say_the_same(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    """Document keys, named and packed arrays, grids, events; potentials of a read-out with a v_leak."""
    np.savez(tmp_path / "plain.npz", **recorded)
    packed = {
        "z": np.packbits(recorded["lif1"], axis=-1),
        "z_shape": np.array(recorded["lif1"].shape),
        "x": recorded["input"],
    }
    np.savez(tmp_path / "named.npz", **packed, v=recorded["li.v"])
    grid = {
        "input": nir.NIRNodeData({"spikes": nir.TimeGriddedData(recorded["input"] != 0, DT)}),
        "lif1": nir.NIRNodeData({"spikes": nir.TimeGriddedData(recorded["lif1"], DT)}),
        "li": nir.NIRNodeData({"v": nir.TimeGriddedData(recorded["li.v"], DT)}),
    }
    nir.write_data(tmp_path / "grid.h5", nir.NIRGraphData(grid))
    events = dict(grid) | {"lif1": nir.NIRNodeData({"spikes": nir.TimeGriddedData(recorded["lif1"], DT).to_event(200)})}
    nir.write_data(tmp_path / "events.h5", nir.NIRGraphData(events))
    found = check(tmp_path, "--expect", "plain.npz")
    assert found["equal"]
    assert {a["area"]: a["samples_equal"] for a in found["areas"]} == {"lif1": 3, "li": 3}
    for name, more in (("named.npz", ["--expect-keys", "input=x,lif1=z,li.v=v"]), ("grid.h5", []), ("events.h5", [])):
        assert check(tmp_path, "--expect", name, *more) == found, name


def test_a_difference_is_placed(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    """One spike more, in one sample: its sample, burst and neuron, and how far the potential is off."""
    bent = recorded["lif1"].copy()
    silent = np.argwhere(~bent[1])[7]
    bent[1, silent[0], silent[1]] = True
    np.savez(tmp_path / "bent.npz", input=recorded["input"], lif1=bent)
    done = command("import", "net.nir", "--expect", "bent.npz", "--json", cwd=tmp_path)
    assert done.code == 1
    text = done.out
    assert f"sample 1, burst {silent[0] + 1}, neuron {silent[1]}: the recording fires, this network does not" in text
    assert "from the threshold" in text
    assert '"samples_equal": 2' in text


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((1, 5, 4))}, "holds no input"),
        ({"input": np.zeros((1, 5, 4))}, "holds neither spikes nor potentials"),
        ({"input": np.zeros((1, 5, 4)), "lif9": np.zeros((1, 5, 5))}, "which is no node"),
        ({"input": np.zeros((1, 5, 4)), "lif1": np.zeros((1, 6, 5))}, "samples and bursts"),
        ({"input": np.zeros((1, 5, 4)), "lif1": np.zeros((1, 5, 7))}, "of 7 elements"),
        ({"input": np.full((1, 5, 4), np.nan), "lif1": np.zeros((1, 5, 5))}, "not finite"),
        ({"input": np.zeros((1, 5, 4)), "li": np.zeros((1, 5, 2))}, "sends potentials"),
    ],
)
def test_recordings_that_do_not_fit(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path, recorded: dict[str, np.ndarray]
) -> None:
    """One line."""
    np.savez(tmp_path / "r.npz", **arrays)
    done = command("import", "net.nir", "--expect", "r.npz", cwd=tmp_path)
    assert done.code == 1
    (line,) = done.errors
    assert said in line


def test_damaged_recordings_are_one_line(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    """Cut files of each form."""
    np.savez(tmp_path / "r.npz", **recorded)
    grid = {"input": nir.NIRNodeData({"spikes": nir.TimeGriddedData(recorded["input"] != 0, DT)})}
    nir.write_data(tmp_path / "r.h5", nir.NIRGraphData(grid))
    (tmp_path / "r.csv").write_text("0,1\n1,x\n")
    for name in ("r.npz", "r.h5"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    for name in ("r.npz", "r.h5", "r.csv", "absent.npz", "net.nir"):
        done = command("import", "net.nir", "--expect", name, cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 1), (name, done.err)
