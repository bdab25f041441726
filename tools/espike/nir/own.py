"""what NIR cannot say of a network <-> the metadata of a graph, as espike writes and reads it.

Nothing else may rely on it; espike does with --profile espike alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError

from .file import Group
from .semantics import Semantics

KEY, VERSION = "espike", 1


@dataclass(frozen=True)
class Own:
    """Of each node that is an area, in the order of areas: its neuron model (JSON values of `Dynamics`)."""

    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def semantics(self, node: str, base: Semantics) -> Semantics:
        """How a node is computed. Read-outs and graded areas take the base's, which matters to currents alone."""
        if node not in self.nodes:
            return base
        kept = Dynamics(**self.nodes[node])
        reset = "subtract" if kept.reset == "subtract" else "value"
        current = kept.current or base.current
        return replace(base, reset=reset, late=kept.late, strict=kept.strict, current=current)

    def sorted(self, names: Sequence[str]) -> list[str]:
        """Names in the order that was kept, others behind them."""
        rank = {name: i for i, name in enumerate(self.nodes)}
        return sorted(names, key=lambda name: rank.get(name, len(rank)))

    @property
    def graded_inputs(self) -> set[str]:
        """Nodes that send values."""
        return {name for name, kept in self.nodes.items() if kept.get("graded")}


def as_text(own: Own) -> str:
    """The metadata's text."""
    return json.dumps({"version": VERSION, "nodes": [[name, dict(kept)] for name, kept in own.nodes.items()]})


def read_own(group: Group) -> Own:
    """What espike kept in a graph. Raises: EspikeError where there is nothing, or it is damaged."""
    where = f"{group.where}/metadata/{KEY}"
    text = group.metadata.get(KEY)
    if not isinstance(text, str):
        raise EspikeError("espike did not write this file", where=where, do="give another --profile")
    try:
        kept = json.loads(text)
        if kept["version"] > VERSION:
            raise EspikeError(f"is of version {kept['version']}", where=where, do="update espike")
        nodes = {str(name): dict(values) for name, values in kept["nodes"]}
        for values in nodes.values():
            Dynamics(**values).check(where)
    except (ValueError, TypeError, KeyError) as error:
        raise EspikeError(f"is damaged ({error})", where=where) from None
    return Own(nodes)
