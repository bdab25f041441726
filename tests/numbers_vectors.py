"""vectors of the arithmetic, made by two other implementations -> quantized connectome, stimulus, expected ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area
from espike_sim.engine import CodedStimulus
from espike_sim.ledger import Ledger, from_queues
from espike_sim.pcg import fire_draw
from espike_sim.quantized import NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "numbers"
THIRD = np.float32(3)
"""fp32 twins: potential units = codes / 3."""


def cases() -> list[tuple[int, str]]:
    """(net, precision) of every vector found; empty where the folder is absent."""
    found = sorted(FOLDER.glob("out*_*.txt"))
    return [(int(path.stem[3:].split("_")[0]), path.stem.split("_")[1]) for path in found]


def load_case(k: int, precision: str) -> tuple[QuantizedConnectome, CodedStimulus, Ledger]:
    """Net k at a precision, its stimulus, and the ledger that it must yield."""
    with np.load(FOLDER / f"net{k}.npz") as file:
        net = {name: file[name] for name in file.files}
    entries = net["stimulus"][np.lexsort((net["stimulus"][:, 1], net["stimulus"][:, 0]))]
    value = _amounts(entries[:, 2], precision)
    stimulus = CodedStimulus(entries[:, 0].astype(np.int64), entries[:, 1].astype(np.uint32), value)
    q = _network(net, precision, stimulus)
    return q, stimulus, _expected(FOLDER / f"out{k}_{precision}.txt", q)


def _amounts(codes: NDArray[np.int32], precision: str) -> NDArray[Any]:
    return codes.astype(np.int32) if precision == "int8" else codes.astype(np.float32) / THIRD


def _network(net: dict[str, NDArray[Any]], precision: str, stimulus: CodedStimulus) -> QuantizedConnectome:
    types = NUMBER_TYPES[precision]
    area_of = net["area"].astype(np.int64)
    first = np.searchsorted(area_of, np.arange(len(net["F"])))
    areas = tuple(
        Area(f"a{i}", f"area {i}", "custom", (int(np.sum(area_of == i)), 1, 1), 1, int(first[i]), bool(net["acc"][i]))
        for i in range(len(net["F"]))
    )
    limits = np.zeros(len(areas), types.input)
    np.maximum.at(limits, area_of[stimulus.neuron], np.abs(stimulus.value))

    source = np.repeat(np.arange(int(net["N"])), np.diff(net["row"]))
    target = net["dst"].astype(np.int64)
    shift = net["row_shift"][source].astype(np.int64)
    group = np.stack([area_of[source], area_of[target], shift if precision == "int8" else 0 * shift], axis=1)
    keys, index = np.unique(group, axis=0, return_inverse=True)
    order = np.lexsort((source, index.reshape(-1)))  # stable: keeps the order of a row
    if precision == "int8":
        threshold, limit, retained = net["threshold"], net["limit"], net["r"]
        weight = net["w"]
    else:
        unit = np.exp2(-net["F"].astype(np.float64))[area_of]
        threshold = (net["threshold"] * unit).astype(np.float32) / THIRD
        limit = np.where(net["limit"] == NO_LIMIT, np.inf, (net["limit"] * unit).astype(np.float32) / THIRD)
        retained = 1 - net["leak"]
        weight = (net["w"].astype(np.int32) << shift).astype(np.float32) / THIRD
    return QuantizedConnectome(
        precision=precision,
        candidates_only=bool(net["candidates"]),
        areas=areas,
        projections=tuple(Projection(int(s), int(t), "vector", int(x)) for s, t, x in keys),
        guard_bits=net["F"].astype(np.uint8) if precision == "int8" else np.zeros(len(areas), np.uint8),
        scale=np.full(len(areas), 1 / 3 if precision == "int8" else 1.0),
        stimulus_limit=limits,
        threshold=threshold.astype(types.potential),
        limit=limit.astype(types.potential),
        retained=retained.astype(types.retained),
        refractory=net["refractory"],
        fire_limit=net["fire_limit"],
        snooze=net["snooze"],
        fire_draw=fire_draw(net["excitability"]),
        projection_start=np.concatenate(([0], np.cumsum(np.bincount(index.reshape(-1), minlength=len(keys))))).astype(
            np.int64
        ),
        source=source[order].astype(np.uint32),
        target=target[order].astype(np.uint32),
        weight=weight[order].astype(types.weight),
        power_neuron=net["power"][:, 0].astype(np.uint32),
        power_value=_amounts(net["power"][:, 1], precision),
    )


def _expected(path: Path, q: QuantizedConnectome) -> Ledger:
    lines = [[int(word) for word in line.split()] for line in path.read_text().splitlines()]
    return from_queues(
        [np.array(line[6:], np.uint32) for line in lines],
        first_burst=1,
        neurons=q.neurons,
        hashes=np.array([line[1:3] for line in lines], np.uint32),
        potential_hashes=np.array([line[3:5] for line in lines], np.uint32),
        network_hash=q.hash,
    )
