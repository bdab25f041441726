"""network file + simulator -> spikes and seconds: one peer in a process of its own, under an interpreter that has it.

Imports nothing of espike, since the interpreter may be another. Arguments: peer, network file (.npz), folder for what
the peer generates, steps of a round. Says one JSON value per line: {"ready": formulation} or {"missing": reason}, then
for every line that it reads one round: {"seconds": s, "spikes": n}. All peers run

    v = v * 15/16 + input + drive; spike where v >= threshold; then v = 0 for `refractory` steps, input lost
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Net = dict[str, Any]
"""neurons, threshold, refractory; row_start (neurons + 1,); source, target, weight; drive, start (neurons,)"""
Round = Callable[[int], tuple[float, int]]
"""steps -> seconds and spikes of them"""
RETAINED = 15 / 16
TRIED_STEPS = 30


def _rounds(deliver: Callable[[Any, Any], Any], net: Net, *, exact: bool) -> Round:
    """numpy's neurons, in float32 or in integers rounded as docs/numbers.md asks; `deliver` adds rows to the input."""
    number = np.int32 if exact else np.float32
    count, threshold, refractory = int(net["neurons"]), number(net["threshold"]), int(net["refractory"])
    v, drive = np.zeros(count, number), net["drive"].astype(number)
    state: dict[str, Any] = {"input": net["start"].astype(number), "resting": []}

    def leaked(v: Any) -> Any:
        if not exact:
            return v * np.float32(RETAINED)
        y = (v * 30720 + 16384) >> 15
        return y - (y == v) * np.sign(v)

    def run(steps: int) -> tuple[float, int]:
        nonlocal v
        spikes, begin = 0, time.perf_counter()
        for _ in range(steps):
            v = leaked(v)
            v += state["input"]
            v += drive
            for fired in state["resting"]:  # of the last `refractory` steps
                v[fired] = 0
            fired = np.flatnonzero(v >= threshold)
            v[fired] = 0
            state["resting"] = [*state["resting"], fired][-refractory:] if refractory else []
            spikes += len(fired)
            state["input"] = deliver(fired, number)
        return time.perf_counter() - begin, spikes

    return run


def _bincount(net: Net) -> Callable[[Any, Any], Any]:
    """Rows gathered by their synapses' numbers, summed by bincount."""
    start, target, weight = net["row_start"].astype(np.int64), net["target"].astype(np.int64), net["weight"]
    lengths, count, weights = np.diff(start), int(net["neurons"]), weight.astype(np.float64)

    def deliver(fired: Any, number: Any) -> Any:
        sizes = lengths[fired]
        ends = np.cumsum(sizes)
        rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(start[fired] - ends + sizes, sizes)
        return np.bincount(target[rows], weights[rows], count).astype(number)

    return deliver


def _rows(net: Net) -> Callable[[Any, Any], Any]:
    """Rows padded to the longest, taken whole, summed by bincount."""
    lengths, count = np.diff(net["row_start"].astype(np.int64)), int(net["neurons"])
    place = np.arange(len(net["target"])) - np.repeat(net["row_start"][:-1].astype(np.int64), lengths)
    shape = count, int(lengths.max(initial=0))
    target, weight = np.zeros(shape, np.int64), np.zeros(shape, np.float64)
    target[net["source"], place], weight[net["source"], place] = net["target"], net["weight"]

    def deliver(fired: Any, number: Any) -> Any:
        return np.bincount(target[fired].ravel(), weight[fired].ravel(), count).astype(number)

    return deliver


def _sparse(net: Net) -> Callable[[Any, Any], Any]:
    """scipy: a sparse row of spikes times the matrix of weights."""
    from scipy import sparse

    count = int(net["neurons"])
    parts = net["weight"].astype(np.float32), net["target"].astype(np.int32), net["row_start"].astype(np.int32)
    matrix = sparse.csr_matrix(parts, (count, count))

    def deliver(fired: Any, number: Any) -> Any:
        ends = np.array([0, len(fired)], np.int32)
        spikes = sparse.csr_matrix((np.ones(len(fired), np.float32), fired.astype(np.int32), ends), (1, count))
        return (spikes @ matrix).toarray().ravel().astype(number)

    return deliver


def exact(net: Net, folder: Path, steps: int) -> tuple[str, Round]:
    """numpy in integers, for its spike counts."""
    return "bincount, integers", _rounds(_bincount(net), net, exact=True)


def numpy(net: Net, folder: Path, steps: int) -> tuple[str, Round]:
    """The best of three formulations, scipy's only where it is installed."""
    tried: list[tuple[float, str]] = []
    kinds: dict[str, Callable[[Net], Callable[[Any, Any], Any]]] = {
        "bincount": _bincount,
        "padded rows": _rows,
        "scipy.sparse": _sparse,
    }
    for name, make in kinds.items():
        try:
            run = _rounds(make(net), net, exact=False)
        except ImportError:
            continue
        run(TRIED_STEPS)
        tried.append((run(TRIED_STEPS)[0], name))
    name = min(tried)[1]
    return name, _rounds(kinds[name](net), net, exact=False)


def brian2(net: Net, folder: Path, steps: int) -> tuple[str, Round]:
    """C++ standalone, the better of float64 and float32; every round is a run of the program from the start."""
    import brian2 as b

    def build(kind: str) -> Round:
        project = folder / kind
        b.device.reinit()
        b.device.activate()
        b.set_device("cpp_standalone", directory=str(project), build_on_run=False)
        b.prefs.core.default_float_dtype = getattr(np, kind)
        b.defaultclock.dt = 1 * b.ms
        code = f"""v = int(rest <= 0) * (v * {RETAINED} + arrived + drive)
                   rest = rest - 1
                   arrived = 0"""
        group = b.NeuronGroup(
            int(net["neurons"]),
            "v : 1\narrived : 1\ndrive : 1 (constant)\nrest : integer\nspikes : integer",
            threshold=f"v >= {int(net['threshold'])}",
            reset=f"v = 0\nrest = {int(net['refractory'])}\nspikes += 1",
            method="euler",
        )
        group.run_regularly(code, when="groups")
        group.arrived, group.drive = net["start"].astype(float), net["drive"].astype(float)
        synapses = b.Synapses(group, group, "w : 1 (constant)", on_pre="arrived_post += w")
        synapses.connect(i=net["source"].astype(int), j=net["target"].astype(int))
        synapses.w = net["weight"].astype(float)
        network = b.Network(group, synapses)
        network.run(steps * b.ms)
        device = b.get_device()
        device.build(directory=str(project), compile=True, run=False, with_output=False)
        counter = project / "results" / Path(device.get_array_filename(group.variables["spikes"])).name

        def run(steps: int) -> tuple[float, int]:
            subprocess.run([project / "main"], cwd=project, check=True, stdout=subprocess.DEVNULL)
            seconds = float((project / "results" / "last_run_info.txt").read_text().split()[0])
            return seconds, int(np.fromfile(counter, np.int32).sum())

        return run

    best: tuple[float, str, Round] | None = None
    for kind in ("float32", "float64"):
        run = build(kind)
        run(steps)
        seconds = run(steps)[0]
        if best is None or seconds < best[0]:
            best = seconds, kind, run
    assert best is not None
    return f"C++ standalone, {best[1]}", best[2]


def nest(net: Net, folder: Path, steps: int) -> tuple[str, Round]:
    """iaf_psc_delta, delay of one step."""
    import nest as n

    n.set_verbosity("M_ERROR")
    n.ResetKernel()
    n.SetKernelStatus({"resolution": 1.0, "local_num_threads": 1, "use_compressed_spikes": False})
    tau = -1 / math.log(RETAINED)
    fixed = {"tau_m": tau, "C_m": tau * (1 - RETAINED), "E_L": 0.0, "V_reset": 0.0, "V_th": float(net["threshold"])}
    group = n.Create("iaf_psc_delta", int(net["neurons"]), {**fixed, "t_ref": float(net["refractory"])})
    group.set({"I_e": net["drive"].astype(float), "V_m": net["start"].astype(float) / RETAINED})
    weight = {"weight": net["weight"].astype(float), "delay": np.ones(len(net["weight"]))}
    first = int(group[0].global_id)
    ends = net["source"].astype(np.int64) + first, net["target"].astype(np.int64) + first
    n.Connect(*ends, "one_to_one", {"synapse_model": "static_synapse", **weight})
    n.Prepare()

    def run(steps: int) -> tuple[float, int]:
        begin = time.perf_counter()
        n.Run(float(steps))
        seconds = time.perf_counter() - begin
        return seconds, int(n.GetKernelStatus("local_spike_counter"))  # of this call alone

    return "iaf_psc_delta, delay of one step", run


def genn(net: Net, folder: Path, steps: int) -> tuple[str, Round]:
    """GeNN's CPU backend in float32, with optimised code."""
    import pygenn as g

    model = g.GeNNModel("float", "peer", backend="single_threaded_cpu", optimize_code=True)
    model.dt = 1.0
    kind = g.create_neuron_model(
        "peer_neuron",
        vars=[("V", "scalar"), ("rest", "int"), ("spikes", "unsigned int"), ("drive", "scalar")],
        params=["threshold", "refractory"],
        sim_code=f"if (rest > 0) {{ rest--; }} else {{ V = V * {RETAINED}f + Isyn + drive; }}",
        threshold_condition_code="V >= threshold",
        reset_code="V = 0; rest = (int)refractory; spikes++;",
    )
    fixed = {"threshold": float(net["threshold"]), "refractory": float(net["refractory"])}
    first = {"V": net["start"].astype(float) / RETAINED, "rest": 0, "spikes": 0, "drive": net["drive"].astype(float)}
    group = model.add_neuron_population("neurons", int(net["neurons"]), kind, fixed, first)
    update = g.init_weight_update("StaticPulse", {}, {"g": net["weight"].astype(np.float32)})
    pulse = g.init_postsynaptic("DeltaCurr")
    synapses = model.add_synapse_population("synapses", "SPARSE", group, group, update, pulse)
    synapses.set_sparse_connections(net["source"].astype(np.uint32), net["target"].astype(np.uint32))
    model.build(str(folder))
    model.load()
    counted = 0

    def run(steps: int) -> tuple[float, int]:
        nonlocal counted
        begin = time.perf_counter()
        for _ in range(steps):
            model.step_time()
        seconds, before = time.perf_counter() - begin, counted
        group.vars["spikes"].pull_from_device()
        counted = int(group.vars["spikes"].current_view.sum())
        return seconds, counted - before

    return "CPU backend, float32", run


PEERS: dict[str, Callable[[Net, Path, int], tuple[str, Round]]] = {
    "genn": genn,
    "brian2": brian2,
    "nest": nest,
    "numpy": numpy,
    "exact": exact,
}


def _say(value: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(value) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def main(peer: str, path: str, folder: str, steps: str) -> None:
    """Prepare, then a round for every line."""
    with np.load(path, allow_pickle=False) as file:
        net: Net = {name: file[name] for name in file.files}
    sys.stdout = sys.stderr  # simulators print
    try:
        what, run = PEERS[peer](net, Path(folder), int(steps))
    except Exception as error:  # whatever an installation that does not work raises
        _say({"missing": f"{type(error).__name__}: {error}".splitlines()[0]})
        return
    _say({"ready": what})
    for line in sys.stdin:
        seconds, spikes = run(int(line))
        _say({"seconds": seconds, "spikes": spikes})


if __name__ == "__main__":
    main(*sys.argv[1:])
