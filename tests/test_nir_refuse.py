"""NIR files that cannot be read or computed: one line that names the node, quickly, and never a traceback."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from command import run as command
from nir_graphs import make

from espike.nir import model
from espike.nir.semantics import Asked
from espike_sim.errors import EspikeError


def lif(n: int = 3, tau: float = 2e-3) -> nir.LIF:
    """LIF neurons as snnTorch writes them."""
    ones = np.ones(n)
    return nir.LIF(tau=tau * ones, r=tau / 1e-4 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)


def plain(path: Path) -> Path:
    """input -> fc1 -> lif1 -> output."""
    nodes = {
        "input": nir.Input(np.array([4])), "fc1": nir.Linear(np.ones((3, 4))), "lif1": lif(),
        "output": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return path


def replaced(file: Any, path: str, value: Any) -> None:
    """Give a dataset another value."""
    if path in file:
        del file[path]
    file.create_dataset(path, data=value)


def huge(file: Any) -> None:
    """Claim 10^9 weights that take no bytes."""
    del file["node/nodes/fc1/weight"]
    file["node/nodes/fc1"].create_dataset("weight", (10**5, 10**4), dtype="f4", chunks=(1000, 1000), compression="gzip")


def looped(file: Any) -> None:
    """Let linear nodes lead into each other."""
    file["node/nodes"].copy("fc1", "fc2")
    replaced(file, "node/nodes/fc1/weight", np.ones((4, 4)))
    replaced(file, "node/nodes/fc2/weight", np.ones((4, 4)))
    replaced(file, "node/nodes/input/shape", [4])
    edges = [("input", "fc1"), ("fc1", "fc2"), ("fc2", "fc1"), ("lif1", "output")]
    replaced(file, "node/edges", np.array(edges, "S8"))


def edged(a: str, b: str) -> Callable[[Any], None]:
    """Add an edge."""

    def edit(file: Any) -> None:
        edges = [*file["node/edges"][()].tolist(), [a.encode(), b.encode()]]
        replaced(file, "node/edges", np.array(edges, "S16"))

    return edit


def linked(file: Any) -> None:
    """Let a dataset lie in another file."""
    del file["node/nodes/lif1/tau"]
    file["node/nodes/lif1/tau"] = h5py.ExternalLink("other.h5", "/tau")


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "nan": (lambda f: replaced(f, "node/nodes/fc1/weight", np.full((3, 4), np.nan)), "fc1/weight: holds a value that"),
    "inf": (lambda f: replaced(f, "node/nodes/lif1/r", np.full(3, np.inf)), "lif1/r: holds a value that is not finite"),
    "tau below a burst": (lambda f: replaced(f, "node/nodes/lif1/tau", np.full(3, 5e-5)), "tau: is 5e-05, shorter"),
    "tau 0": (lambda f: replaced(f, "node/nodes/lif1/tau", np.zeros(3)), "lif1/tau: is 0, a time constant is above"),
    "tau text": (lambda f: replaced(f, "node/nodes/lif1/tau", "soon"), "lif1/tau: is 'soon', not a number"),
    "no tau": (lambda f: f["node/nodes/lif1"].pop("tau"), "node/nodes/lif1: tau is missing"),
    "no type": (lambda f: f["node/nodes/lif1"].pop("type"), "node/nodes/lif1: type is missing"),
    "no nodes": (lambda f: f["node"].pop("nodes"), "node: nodes is missing"),
    "no edges": (lambda f: f["node"].pop("edges"), "node: edges is missing"),
    "no input": (lambda f: f["node/nodes"].pop("input"), "edges: an edge names 'input', which is no node"),
    "no output": (lambda f: (f["node/nodes"].pop("output"), f["node"].pop("edges"),
                             replaced(f, "node/edges", np.array([["input", "fc1"], ["fc1", "lif1"]], "S8"))),
                  "has no Output node"),
    "unknown type": (lambda f: replaced(f, "node/nodes/lif1/type", "Izhikevich"), "node type 'Izhikevich' is unknown"),
    "weights of another size": (lambda f: replaced(f, "node/nodes/fc1/weight", np.ones((3, 5))), "weight: has shape"),
    "parameters that differ": (lambda f: replaced(f, "node/nodes/lif1/r", np.ones(2)), "lif1: its parameters differ"),
    "complex": (lambda f: replaced(f, "node/nodes/lif1/r", np.ones(3, complex)), "lif1/r: is complex128"),
    "huge": (huge, "fc1/weight: holds 1,000,000,000 values"),
    "huge shape": (lambda f: replaced(f, "node/nodes/input/shape", [10**6, 10**6]), "input/shape: shape [100"),
    "loop": (looped, "a loop without a neuron"),
    "edge to nowhere": (edged("lif1", "lif7"), "an edge names 'lif7', which is no node"),
    "edge into an input": (edged("lif1", "input"), "an edge leads from 'lif1' into an Input"),
    "edge that does not fit": (edged("input", "lif1"), "its parameters have shape [3], [4] reaches it"),
    "link": (linked, "lif1/tau: is a link, which is not followed"),
    "node as dataset": (lambda f: (f["node/nodes"].pop("fc1"), replaced(f, "node/nodes/fc1", 1.0)), "fc1: is no group"),
    "no graph": (lambda f: (f.pop("node"), f.create_group("node")), "node: type is missing"),
    "numbers as edges": (lambda f: replaced(f, "node/edges", np.ones((2, 2))), "edges: are float64 (2, 2)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs_are_one_line(name: str, tmp_path: Path) -> None:
    """Exit 1, the node's path, at once."""
    edit, said = BROKEN[name]
    path = plain(tmp_path / "model.nir")
    with h5py.File(path, "r+") as file:
        edit(file)
    begun = time.monotonic()
    done = command("import", path, "--profile", "snntorch", cwd=tmp_path)
    assert time.monotonic() - begun < 2
    assert done.code == 1, done.out
    (line,) = done.errors
    assert line.startswith(f"espike: {path}")
    assert said in line
    assert not (tmp_path / "model.connectome.npz").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    """Absent, empty, another format, a folder."""
    (tmp_path / "empty.nir").touch()
    (tmp_path / "text.nir").write_text("spikes")
    for name in ("absent.nir", "empty.nir", "text.nir", "."):
        done = command("import", tmp_path / name, cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 1), name


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """At every fiftieth of the length."""
    data = plain(tmp_path / "whole.nir").read_bytes()
    for k in range(50):
        (tmp_path / "cut.nir").write_bytes(data[: len(data) * k // 50])
        with pytest.raises(EspikeError):
            model.load(tmp_path / "cut.nir")


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_load_or_are_refused(seed: int, tmp_path: Path) -> None:
    """300 in all: HDF5 has no checksums here, so some pass."""
    make(seed, tmp_path / "whole.nir")
    data = np.frombuffer((tmp_path / "whole.nir").read_bytes(), np.uint8)
    rng, refused = np.random.default_rng(seed), []
    for _ in range(100):
        bent = data.copy()
        at = rng.integers(0, len(bent), rng.integers(1, 4))
        bent[at] ^= rng.integers(1, 256, len(at)).astype(np.uint8)
        (tmp_path / "bent.nir").write_bytes(bent.tobytes())
        try:
            model.load(tmp_path / "bent.nir", Asked(dt=1e-4))
        except EspikeError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in text for text in refused)


def test_an_unknown_burst_is_asked_for(tmp_path: Path) -> None:
    """r = 1 with time constants in seconds: Norse's, or another's."""
    node = lif()
    node.r = np.ones(3)
    nodes = {"in": nir.Input(np.array([3])), "lif": node, "out": nir.Output(np.array([3]))}
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, [("in", "lif"), ("lif", "out")]))
    done = command("import", tmp_path / "m.nir", cwd=tmp_path)
    assert done.code == 1
    assert "give --dt SECONDS, or --profile FRAMEWORK" in done.errors[0]
    assert command("import", tmp_path / "m.nir", "--profile", "norse", cwd=tmp_path).code == 0


def test_without_h5py_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line."""
    path = plain(tmp_path / "m.nir")
    monkeypatch.setitem(sys.modules, "h5py", None)
    done = command("import", path, cwd=tmp_path)
    assert done.errors == ["espike: NIR files need the package h5py; pip install espike[nir]"]
