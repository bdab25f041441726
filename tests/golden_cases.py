"""tests/golden/CASE -> quantized connectome, stimulus, expected ledger and potentials.

A case is three small files: `1-network.json` (connectome ids, codes or floats, and a sentence saying what to check
by hand), `2-stimulus.csv` (amounts; docs/stimulus.md), `3-ledger.txt` (per burst who fired and every potential).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scalar_model
from numpy.typing import NDArray

from espike_sim import stimulus_file
from espike_sim.connectome import Area
from espike_sim.engine import CodedStimulus
from espike_sim.ledger import Ledger, from_queues
from espike_sim.pcg import fire_draw
from espike_sim.quantized import NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome
from espike_sim.stimulus import code

FOLDER = Path(__file__).parent / "golden"
LEDGER_HEADER = "# burst | fired | potential of every neuron after the burst"


@dataclass(frozen=True)
class Expected:
    """What every engine must yield."""

    ledger: Ledger
    potentials: NDArray[Any]  # int16 or float32 (bursts, neurons)
    events: int
    saturations: int
    clamped: int
    """Stimulus entries cut to an area's limit."""


def cases() -> list[Path]:
    """The folders of all cases, each known by its network file."""
    return sorted(path.parent for path in FOLDER.glob("*/1-network.json"))


def load_case(folder: Path) -> tuple[QuantizedConnectome, CodedStimulus, Expected]:
    """A case's network, its stimulus in the network's numbers, and what must come out."""
    q, stimulus, bursts = load_inputs(folder)
    expected = _read_ledger(folder, q)
    if expected.ledger.bursts != bursts:
        raise ValueError(
            f"{folder.name}: 3-ledger.txt holds {expected.ledger.bursts} bursts, the network asks {bursts}"
        )
    return q, stimulus, expected


def load_inputs(folder: Path) -> tuple[QuantizedConnectome, CodedStimulus, int]:
    """A case's network, its stimulus, and the number of bursts."""
    net = json.loads((folder / "1-network.json").read_text())
    q = _network(net)
    return q, code(stimulus_file.load(folder / "2-stimulus.csv", q), q), net["bursts"]


def _network(net: dict[str, Any]) -> QuantizedConnectome:
    precision = net["precision"]
    whole, types = precision == "int8", NUMBER_TYPES[precision]
    default = {
        "limit": NO_LIMIT if whole else np.inf,
        "retained": 32768 if whole else 1.0,
        "refractory": 0,
        "fire_limit": 0,
        "snooze": 0,
        "excitability": 1.0,
    }
    neurons = [default | neuron for area in net["areas"] for neuron in area["neurons"]]
    areas, first = [], 0
    for area in net["areas"]:
        count = len(area["neurons"])
        areas.append(Area(area["id"], area["id"], "custom", (count, 1, 1), 1, first, area.get("accumulate", True)))
        first += count
    index = {area.id: i for i, area in enumerate(areas)}
    groups = net.get("projections", [])
    synapses = [synapse for group in groups for synapse in group["synapses"]]

    def column(name: str, dtype: str) -> NDArray[Any]:
        return np.array([neuron[name] for neuron in neurons], dtype)

    return QuantizedConnectome(
        precision=precision,
        candidates_only=net["candidates_only"],
        areas=tuple(areas),
        projections=tuple(Projection(index[g["from"]], index[g["to"]], "golden", g.get("shift", 0)) for g in groups),
        guard_bits=np.array([area.get("guard_bits", 0) for area in net["areas"]], np.uint8),
        scale=np.array([area.get("scale", 1) for area in net["areas"]], np.float64),
        stimulus_limit=np.array([area.get("stimulus_limit", 1000) for area in net["areas"]], types.input),
        threshold=column("threshold", types.potential),
        limit=column("limit", types.potential),
        retained=column("retained", types.retained),
        refractory=column("refractory", "<u2"),
        fire_limit=column("fire_limit", "<u2"),
        snooze=column("snooze", "<u2"),
        fire_draw=fire_draw(column("excitability", "<f4")),
        projection_start=np.cumsum([0, *(len(g["synapses"]) for g in groups)], dtype=np.int64),
        source=np.array([s[0] for s in synapses], np.uint32),
        target=np.array([s[1] for s in synapses], np.uint32),
        weight=np.array([s[2] for s in synapses], types.weight),
        power_neuron=np.array([p[0] for p in net.get("power", [])], np.uint32),
        power_value=np.array([p[1] for p in net.get("power", [])], types.input),
    )


def _read_ledger(folder: Path, q: QuantizedConnectome) -> Expected:
    lines = (folder / "3-ledger.txt").read_text().splitlines()
    counters = {line.split()[0]: int(line.split()[1]) for line in lines if line[:1].isalpha()}
    rows = [line.split("|") for line in lines if line[:1].isdigit()]
    if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(f"{folder.name}: bursts of 3-ledger.txt are not 1, 2, ...")
    fired = [[int(word) for word in row[1].split()] for row in rows]
    potentials = np.array([row[2].split() for row in rows]).astype(q.types.potential)
    plain, deep = scalar_model.hashes(list(zip(fired, potentials.tolist(), strict=True)))
    ledger = from_queues(
        [np.array(ids, np.uint32) for ids in fired],
        first_burst=1,
        neurons=q.neurons,
        hashes=np.array(plain, np.uint32),
        potential_hashes=np.array(deep, np.uint32),
        network_hash=q.hash,
    )
    return Expected(ledger, potentials, counters["events"], counters["saturations"], counters["clamped"])


def ledger_text(q: QuantizedConnectome, bursts: list[scalar_model.Burst], clamped: int) -> str:
    """`3-ledger.txt` of what the scalar model left behind."""
    number = np.dtype(q.types.potential).type
    lines = [LEDGER_HEADER]
    for t, burst in enumerate(bursts, 1):
        potentials = " ".join(str(number(v)) for v in burst.potentials)
        lines.append(f"{t} | {' '.join(map(str, burst.fired))} | {potentials}".replace("|  |", "| |"))
    lines.append(f"events {sum(b.events for b in bursts)}")
    lines.append(f"saturations {sum(b.saturations for b in bursts)}")
    lines.append(f"clamped {clamped}")
    return "\n".join(lines) + "\n"
