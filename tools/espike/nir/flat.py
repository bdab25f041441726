"""graph with graphs in it -> flat graph: every node once, by its path, edges between them, shapes of what flows.

A nested graph's own Input and Output nodes become pass-throughs. Two known defects of published files are mended, and
said: an edge that names a node otherwise than it is called, and an Output whose shape is not what reaches it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from espike_sim.errors import EspikeError

from .file import EDGES_MOST, PASS, Group, Node
from .shapes import Shape, output_shape, own_shape


@dataclass(frozen=True)
class Flat:
    """Nodes by path (`lif1`, nested `block/lif1`), edges by path, and of each node the shape of what leaves it."""

    where: str
    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]
    shapes: dict[str, Shape]
    notes: tuple[str, ...]

    def before(self, name: str) -> list[str]:
        """Sources of the edges into a node, an edge given twice twice."""
        return [a for a, b in self.edges if b == name]


def flatten(group: Group) -> Flat:
    """The flat graph of a file. Raises: EspikeError naming the node or edge that does not fit."""
    notes: list[str] = []
    nodes, edges = _inline(group, "", notes)
    for kind in ("Input", "Output"):
        if not any(node.kind == kind for node in nodes.values()):
            raise EspikeError(f"has no {kind} node", where=f"{group.where}/nodes", do=f"add an {kind} to the graph")
    for a, b in edges:
        if nodes[b].kind == "Input":
            raise EspikeError(f"an edge leads from {a!r} into an Input", where=nodes[b].where)
        if nodes[a].kind == "Output":
            raise EspikeError(f"an edge leads out of an Output, to {b!r}", where=nodes[a].where)
    shapes = _shapes(nodes, edges)
    _check_edges(nodes, edges, shapes, notes)
    return Flat(group.where, nodes, tuple(edges), shapes, tuple(notes))


def _inline(group: Group, prefix: str, notes: list[str]) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Nodes and edges of a graph and of those in it, names with the prefix."""
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    for name, member in group.nodes.items():
        if isinstance(member, Group):
            inner_nodes, inner_edges = _inline(member, f"{prefix}{name}/", notes)
            nodes |= inner_nodes
            edges += inner_edges
        else:
            passes = prefix and member.kind in ("Input", "Output")
            nodes[prefix + name] = replace(member, kind=PASS) if passes else member
    mended = _mend(group, notes)
    for a, b in group.edges:
        source = _end(group, mended.get(a, a), "Output", f"{group.where}/edges")
        target = _end(group, mended.get(b, b), "Input", f"{group.where}/edges")
        edges.append((prefix + source, prefix + target))
    if len(edges) > EDGES_MOST:
        raise EspikeError(f"there are more than {EDGES_MOST} edges", where=f"{group.where}/edges")
    return nodes, edges


def _mend(group: Group, notes: list[str]) -> dict[str, str]:
    """Where one name in the edges is no node, and one node is in no edge: that name means that node."""
    named = {name for edge in group.edges for name in edge}
    unknown = [name for name in named if not _known(group, name)]
    idle = [name for name in group.nodes if name not in named and not any(n.startswith(f"{name}.") for n in named)]
    if len(unknown) == 1 and len(idle) == 1:
        notes.append(
            f"{group.where}/edges: {unknown[0]!r} is no node; {idle[0]!r}, which no edge names, is taken for it"
        )
        return {unknown[0]: idle[0]}
    return {}


def _known(group: Group, name: str) -> bool:
    if name in group.nodes:
        return True
    head, _, rest = name.partition(".")
    inner = group.nodes.get(head)
    return isinstance(inner, Group) and bool(rest) and _known(inner, rest)


def _end(group: Group, name: str, kind: str, where: str) -> str:
    """The flat name of an edge's end; of a nested graph its one Input or Output (`graph.node` names a node in it)."""
    member = group.nodes.get(name)
    if member is None:
        head, _, rest = name.partition(".")
        inner = group.nodes.get(head)
        if isinstance(inner, Group) and rest:
            return f"{head}/{_end(inner, rest, kind, where)}"
        raise EspikeError(f"an edge names {name!r}, which is no node", where=where, do="nodes: " + _some(group.nodes))
    if isinstance(member, Node):
        return name
    ports = [n for n, m in member.nodes.items() if isinstance(m, Node) and m.kind == kind]
    if len(ports) != 1:
        raise EspikeError(f"has {len(ports)} {kind} nodes, an edge needs one", where=member.where)
    return f"{name}/{ports[0]}"


def _some(names: Sequence[str] | dict[str, Node | Group]) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")


def _shapes(nodes: dict[str, Node], edges: list[tuple[str, str]]) -> dict[str, Shape]:
    """The shape of what leaves each node, from what its parameters say, else from what reaches it."""
    followers: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        followers[a].append(b)
    shapes: dict[str, Shape] = {}
    reached: deque[tuple[str, Shape]] = deque()

    def settle(name: str, shape: Shape | None) -> None:
        if shape is not None and name not in shapes:
            shapes[name] = shape
            reached.extend((follower, shape) for follower in followers[name])

    for name, node in sorted(nodes.items(), key=lambda item: item[1].kind != "Input"):
        if name not in shapes:  # an Input, or nothing of known shape reaches it
            settle(name, own_shape(node))
        while reached:
            follower, given = reached.popleft()
            settle(follower, output_shape(nodes[follower], given))
    for name, node in nodes.items():
        if name not in shapes:
            what = "its shape cannot be told: nothing of known shape reaches it"
            raise EspikeError(what, where=node.where, do="connect it, or give its parameters the layer's shape")
    return shapes


def _check_edges(
    nodes: dict[str, Node], edges: list[tuple[str, str]], shapes: dict[str, Shape], notes: list[str]
) -> None:
    """What reaches a node has as many elements as it takes. Raises: EspikeError naming the edge."""
    for a, b in edges:
        node, given = nodes[b], shapes[a]
        if prod(output_shape(node, given)) != prod(shapes[b]):
            what = f"{a!r} sends shape {list(given)}, other edges bring another"
            raise EspikeError(what, where=node.where)
        if node.kind in ("Output", PASS) and "shape" in node.values:
            said = tuple(int(n) for n in node.array("shape").reshape(-1))
            if said != given:
                notes.append(f"{node.where}: says shape {list(said)}, {list(given)} reaches it, which is taken")
