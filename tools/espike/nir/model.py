"""NIR file -> connectome, with a report of all that was assumed and folded; what `espike import` does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.senses import senses_from_meta

from . import expect
from .check import Checked, check
from .convert import Made, convert
from .expect import Expected
from .file import Group, read
from .flat import Flat, flatten
from .own import KEY, read_own
from .semantics import Asked, Assumption, Semantics, resolve


@dataclass(frozen=True)
class Imported:
    """A connectome and where it comes from."""

    connectome: Connectome
    made: Made
    flat: Flat
    semantics: Semantics
    assumptions: tuple[Assumption, ...]
    checked: Checked | None = None

    def report(self) -> dict[str, Any]:
        """All of it as JSON values."""
        c, made = self.connectome, self.made
        areas = [
            {
                "id": area.id, "node": area.name, "kind": self._kind(area.name), "neurons": area.count,
                "shape": list(made.shapes[i]), "role": _role(area),
                "rest": _short(made.rest[area.first : area.first + area.count]),
            }
            for i, area in enumerate(c.areas)
        ]  # fmt: skip
        mappings = [
            {
                "source": c.areas[m.source].id, "target": c.areas[m.target].id, "delay": m.delay, "driven": m.driven,
                "synapses": int(c.mapping_start[i + 1] - c.mapping_start[i]), "folded": list(made.via[i]),
            }
            for i, m in enumerate(c.mappings)
        ]  # fmt: skip
        return {
            "neurons": c.neurons,
            "synapses": c.synapses,
            "timestep_s": c.timestep_s,
            "assumptions": [vars(a) for a in self.assumptions],
            "areas": areas,
            "mappings": mappings,
            "outputs": {name: c.areas[made.area_of[shown]].id for name, shown in made.outputs.items()},
            "zero_weights_left_out": made.zeros,
            "notes": list(made.notes),
            "hash": c.hash,
        } | ({} if self.checked is None else {"expect": self.checked.as_json()})

    def _kind(self, station: str) -> str:
        if station not in self.flat.nodes:
            return "relay"
        kind = self.flat.nodes[station].kind
        return f"{kind} + Threshold" if station in self.made.thresholds else kind


def load(
    path: Path, asked: Asked | None = None, expected_path: Path | None = None, keys: Mapping[str, str] | None = None
) -> Imported:
    """Read a NIR file; with a recording, run the network against it. Raises: EspikeError naming what cannot be."""
    asked = asked or Asked()
    group = read(path)
    flat = flatten(group)
    nodes = list(flat.nodes.values())
    expected: Expected | None = None
    if expected_path is not None:
        names = {name for name, node in flat.nodes.items() if node.kind == "Input"}
        expected = expect.load(expected_path, keys or {}, names)
    semantics, said = resolve(nodes, flat.where, asked, expected.dt if expected is not None else None)
    own = read_own(group) if semantics.profile == "espike" else None
    graded, origin = _input(asked, expected)
    said.append(
        Assumption("input", "values" if graded else "spikes", origin, "" if graded else "a stimulus of 1 is a spike")
    )
    said += _unused(group) if own is None else [Assumption("espike's metadata", "relied on", "option --profile")]
    inputs = [name for name, node in flat.nodes.items() if node.kind == "Input" and graded]
    made = convert(flat, semantics, inputs if own is None else own.graded_inputs, own)
    notes = (*(f"nir: {a}" for a in said), *(f"nir: {note}" for note in made.notes))
    connectome = replace(made.connectome, notes=notes)
    checked = check(made, expected, semantics.lag) if expected is not None else None
    return Imported(connectome, made, flat, semantics, tuple(said), checked)


def with_senses(c: Connectome, path: Path) -> Connectome:
    """The connectome with the senses of a JSON file (docs/senses.md). Raises: EspikeError saying what is wrong."""
    try:
        senses = senses_from_meta(json.loads(path.read_bytes()), str(path))
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None
    except ValueError:
        raise EspikeError("is no JSON", where=str(path), do="see docs/senses.md") from None
    if senses is not None:
        senses.check(c.areas, str(path))
    return replace(c, senses=senses)


def _input(asked: Asked, expected: Expected | None) -> tuple[bool, str]:
    if asked.graded_input is not None:
        return asked.graded_input, "option --input"
    if expected is not None:
        return (
            (False, "all input of --expect is 0 or 1")
            if expected.is_binary()
            else (True, "input of --expect is not 0 or 1")
        )
    return False, "default"


def _unused(group: Group) -> list[Assumption]:
    """What the graph's metadata says, which has no meaning in NIR."""
    said = ", ".join(f"{name} {value}" for name, value in group.metadata.items() if np.size(value) == 1 and name != KEY)
    return [Assumption("metadata", "not relied on", "default", said)] if said else []


def _role(area: Any) -> str:
    model = area.dynamics
    if model.graded:
        return "sends its potential"
    return "fires" if model.fires else "read-out: its potential is the result"


def _short(values: Any) -> Any:
    """One number where all are equal."""
    return float(values[0]) if len(values) and np.all(values == values[0]) else values.tolist()
