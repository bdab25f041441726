"""NIR file -> nodes and edges as they stand in it.

Read with h5py directly: sizes are checked before anything is read, and nothing outside the file is followed. Source of
the layout: nir 1.0.8, serialization.py, and the files of the NIR repository.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .heap import heaps_hold, texts_lead_into_heaps

VALUES_MOST = 1 << 25
"""Numbers in one dataset, and synapses of one network, that are taken."""
NODES_MOST, EDGES_MOST, DEPTH_MOST = 1 << 12, 1 << 16, 12

PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": ((), ("shape",)),
    "Affine": (("weight",), ("bias",)),
    "Linear": (("weight",), ()),
    "Scale": (("scale",), ()),
    "Conv1d": (("weight",), ("input_shape", "stride", "padding", "dilation", "groups", "bias")),
    "Conv2d": (("weight",), ("input_shape", "stride", "padding", "dilation", "groups", "bias")),
    "SumPool2d": (("kernel_size",), ("stride", "padding")),
    "AvgPool2d": (("kernel_size",), ("stride", "padding")),
    "Flatten": ((), ("start_dim", "end_dim", "input_type")),
    "Delay": (("delay",), ()),
    "Threshold": (("threshold",), ()),
    "I": (("r",), ()),
    "IF": (("r", "v_threshold"), ("v_reset",)),
    "LI": (("tau", "r"), ("v_leak",)),
    "LIF": (("tau", "r", "v_threshold"), ("v_leak", "v_reset")),
    "CubaLI": (("tau_syn", "tau_mem", "r"), ("v_leak", "w_in")),
    "CubaLIF": (("tau_syn", "tau_mem", "r", "v_threshold"), ("v_leak", "v_reset", "w_in")),
}
"""Of each kind of node: the datasets it must have, and those it may have. NIRGraph is the 19th kind."""

PASS = "Pass"
"""Kind that the Input and Output of a nested graph become."""

Value = NDArray[Any] | str


@dataclass(frozen=True)
class Node:
    """One node of a NIR graph: float64 or int64 arrays by parameter; padding may be a word."""

    kind: str
    where: str
    """File and path in it, for messages."""
    values: dict[str, Value] = field(default_factory=dict)

    def array(self, name: str) -> NDArray[Any]:
        """A parameter that must be numbers. Raises: EspikeError naming it."""
        value = self.values[name]
        if isinstance(value, str):
            raise EspikeError(f"is {value!r}, not a number", where=f"{self.where}/{name}")
        return value


@dataclass(frozen=True)
class Group:
    """A NIRGraph: nodes and graphs by name, and edges between them."""

    where: str
    nodes: dict[str, Node | Group]
    edges: tuple[tuple[str, str], ...]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Source:
    """The h5py package, and the bytes of the file."""

    h5py: Any
    view: mmap


def h5py_module() -> Any:
    """The h5py package. Raises: EspikeError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise EspikeError("NIR files need the package h5py", do="pip install espike[nir]") from None
    return h5py


def read(path: Path) -> Group:
    """The top graph of a NIR file. Raises: EspikeError naming the file and the path of what is wrong in it."""
    h5py = h5py_module()
    if not path.is_file():
        raise EspikeError("there is no such file", where=str(path))
    try:
        with open(path, "rb") as raw, mmap(raw.fileno(), 0, access=ACCESS_READ) as view, h5py.File(path, "r") as file:
            if not heaps_hold(view):
                raise EspikeError("is damaged (a heap of texts)", where=str(path))
            source = _Source(h5py, view)
            group = _node(source, _member(source, file, "node", str(path)), f"{path}: node", 0)
    except EspikeError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        text = " ".join(str(error).split())[:160]
        raise EspikeError(f"is no NIR file, or is damaged ({text})", where=str(path)) from None
    if not isinstance(group, Group):
        raise EspikeError(f"is a single {group.kind}, not a NIRGraph", where=group.where, do="wrap it in a NIRGraph")
    return group


def _member(source: _Source, group: Any, name: str, where: str) -> Any:
    """A member of an HDF5 group that lies in this very file."""
    if name not in group:
        raise EspikeError(f"{name} is missing", where=where)
    if not isinstance(group.get(name, getlink=True), source.h5py.HardLink):
        raise EspikeError("is a link, which is not followed", where=f"{where}/{name}")
    member = group[name]
    if isinstance(member, source.h5py.Dataset) and (member.external or member.is_virtual):
        raise EspikeError("lies outside the file, which is not followed", where=f"{where}/{name}")
    return member


def _node(source: _Source, group: Any, where: str, depth: int) -> Node | Group:
    if not isinstance(group, source.h5py.Group):
        raise EspikeError("is no group", where=where)
    if depth > DEPTH_MOST:
        raise EspikeError(f"graphs lie more than {DEPTH_MOST} deep in each other", where=where)
    kind = _read(source, group, "type", where)
    if kind == "NIRGraph":
        return _graph(source, group, where, depth)
    if not isinstance(kind, str) or kind not in PARAMETERS:
        known = ", ".join([*PARAMETERS, "NIRGraph"])
        raise EspikeError(f"node type {kind!r} is unknown", where=where, do=f"NIR has {known}")
    required, optional = PARAMETERS[kind]
    names = [name for name in (*required, *optional) if name in required or name in group]
    return Node(kind, where, {name: _read(source, group, name, where) for name in names})


def _graph(source: _Source, group: Any, where: str, depth: int) -> Group:
    nodes = _member(source, group, "nodes", where)
    if not isinstance(nodes, source.h5py.Group):
        raise EspikeError("is no group", where=f"{where}/nodes")
    if len(nodes) > NODES_MOST:
        raise EspikeError(f"holds {len(nodes)} nodes, {NODES_MOST} are taken", where=f"{where}/nodes")
    found = {
        str(name): _node(source, _member(source, nodes, name, f"{where}/nodes"), f"{where}/nodes/{name}", depth + 1)
        for name in nodes
    }
    metadata: dict[str, Any] = {}
    if "metadata" in group and isinstance(kept := _member(source, group, "metadata", where), source.h5py.Group):
        members = {name: _member(source, kept, name, f"{where}/metadata") for name in kept}
        metadata = {
            name: _read(source, kept, name, f"{where}/metadata")
            for name, member in members.items()
            if isinstance(member, source.h5py.Dataset) and (member.dtype.kind in "biuf" or _is_text(source, member))
        }
    return Group(where, found, _edges(source, group, where), metadata)


def _edges(source: _Source, group: Any, where: str) -> tuple[tuple[str, str], ...]:
    here, data = f"{where}/edges", _member(source, group, "edges", where)
    if not isinstance(data, source.h5py.Dataset):
        raise EspikeError("is no dataset", where=here)
    if data.size == 0:
        return ()
    if data.ndim != 2 or data.shape[1] != 2 or not _is_text(source, data):
        raise EspikeError(f"are {data.dtype} {data.shape}, expected names (edges, 2)", where=here)
    if data.shape[0] > EDGES_MOST:
        raise EspikeError(f"there are {data.shape[0]}, {EDGES_MOST} are taken", where=here)
    return tuple((_text(a), _text(b)) for a, b in data[()])


def _is_text(source: _Source, data: Any) -> bool:
    """Whether a dataset holds texts. Raises: EspikeError where its references to them are damaged."""
    offset = data.id.get_offset() if data.dtype.kind == "O" else None
    if offset is not None and not texts_lead_into_heaps(source.view, offset, data.size):
        raise EspikeError("is damaged (a text)", where=f"{data.file.filename}: {data.name.lstrip('/')}")
    return data.dtype.kind == "S" or source.h5py.check_string_dtype(data.dtype) is not None


def _text(value: Any) -> str:
    return value.decode("utf8") if isinstance(value, bytes) else str(value)


def _read(source: _Source, group: Any, name: str, where: str) -> Value:
    """One dataset as text, float64 or int64. Raises: EspikeError where it is too large, or no finite numbers."""
    here, data = f"{where}/{name}", _member(source, group, name, where)
    if not isinstance(data, source.h5py.Dataset) or data.shape is None:
        raise EspikeError("is no dataset with values", where=here)
    if data.size > VALUES_MOST:
        raise EspikeError(f"holds {data.size:,} values, {VALUES_MOST:,} are taken", where=here, do="make it smaller")
    if _is_text(source, data):
        if data.size != 1:
            raise EspikeError(f"holds {data.size} texts, expected one", where=here)
        return _text(np.asarray(data[()]).reshape(-1)[0])
    if data.dtype.kind not in "biuf":
        raise EspikeError(f"is {data.dtype}, expected numbers", where=here)
    values = np.asarray(data[()])
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        wide = values.astype(np.float64)
    if not np.all(np.isfinite(wide)):
        raise EspikeError("holds a value that is not finite", where=here)
    return wide
