"""a recording of another simulator -> what went in, who fired and which potentials there were, by node.

Forms: NIRData (HDF5, of nir.write_data), npz (docs/nir.md), CSV of one neuron (input, potential, spike).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .file import VALUES_MOST, h5py_module

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

INPUT, LAST = "input", ""
"""The one Input, and the one Output, where a recording does not name them."""
PACKED = "_shape"
"""A key with this ending says that the array is packed bits (numpy.packbits along the last axis), and their shape."""


@dataclass(frozen=True)
class Expected:
    """Arrays (samples, bursts, elements) by node."""

    path: Path
    inputs: dict[str, F64] = field(default_factory=dict)
    spikes: dict[str, Mask] = field(default_factory=dict)
    potentials: dict[str, F64] = field(default_factory=dict)
    dt: float | None = None

    def is_binary(self) -> bool:
        """Whether all input is 0 or 1."""
        return all(bool(np.all((x == 0) | (x == 1))) for x in self.inputs.values())


def load(path: Path, keys: Mapping[str, str], inputs: set[str]) -> Expected:
    """A recording; `keys`: node -> array of an npz file, `inputs`: names of the network's Inputs.

    Raises: EspikeError naming what is wrong with it.
    """
    if not path.is_file():
        raise EspikeError("there is no such file", where=str(path))
    if path.suffix == ".csv":
        made = _csv(path)
    elif path.suffix == ".npz":
        made = _npz(path, keys, inputs)
    else:
        made = _nir_data(path, inputs)
    if not made.inputs:
        raise EspikeError("holds no input", where=str(path), do="name its array: --expect-keys input=NAME")
    if not made.spikes and not made.potentials:
        raise EspikeError("holds neither spikes nor potentials of a node", where=str(path), do="see docs/nir.md")
    first = next(iter(made.inputs.values())).shape[:2]
    for kind in (made.inputs, made.spikes, made.potentials):
        for name, values in kind.items():
            if values.shape[:2] != first:
                what = f"{name or 'output'} has {values.shape[:2]} samples and bursts, the input {first}"
                raise EspikeError(what, where=str(path))
            if not np.all(np.isfinite(values)):
                raise EspikeError(f"{name or 'output'} holds a value that is not finite", where=str(path))
    return made


def _csv(path: Path) -> Expected:
    """Columns of one neuron: input, potential, spike. The spike column is the last of 0 and 1, the input the first."""
    try:
        lines = path.read_text().splitlines()
        head = [word.strip().lower() for word in lines[0].split(",")] if lines else []
        named = not all(_is_number(word) for word in head)
        rows = np.array([[float(word) for word in line.split(",")] for line in lines[named:] if line.strip()])
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise EspikeError(f"is no table of numbers ({error})", where=str(path)) from None
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise EspikeError("has no two columns", where=str(path), do="give input, potential, spike")
    binary = [c for c in range(1, rows.shape[1]) if np.all((rows[:, c] == 0) | (rows[:, c] == 1))]
    column = {"input": 0} | ({"spike": binary[-1]} if binary else {})
    others = [c for c in range(1, rows.shape[1]) if c != column.get("spike")]
    column |= {"potential": others[-1]} if others else {}
    if named:
        words = {
            "input": ("input", "in", "x"),
            "potential": ("potential", "v", "mem", "voltage"),
            "spike": ("spike", "spikes", "z"),
        }
        column = {name: i for name, known in words.items() for i, word in enumerate(head) if word in known}
        if "input" not in column or len(head) != rows.shape[1]:
            raise EspikeError(f"columns are {', '.join(head)}", where=str(path), do="name them input, potential, spike")
    if len(column) < rows.shape[1]:
        raise EspikeError(f"has {rows.shape[1]} columns", where=str(path), do="give input, potential, spike, or an npz")
    values = {name: rows[None, :, c : c + 1] for name, c in column.items()}
    return Expected(
        path,
        {INPUT: values["input"]},
        {LAST: values["spike"] != 0} if "spike" in values else {},
        {LAST: values["potential"]} if "potential" in values else {},
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _npz(path: Path, keys: Mapping[str, str], inputs: set[str]) -> Expected:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise EspikeError(f"is no npz file ({error})", where=str(path)) from None
    wanted = dict(keys) or {n: n for n in arrays if not n.endswith(PACKED)}
    made = Expected(path)
    for node, name in wanted.items():
        if name not in arrays:
            raise EspikeError(
                f"holds no array {name}", where=str(path), do="arrays are " + ", ".join(sorted(arrays)[:12])
            )
        values = arrays[name]
        if name + PACKED in arrays:
            values = unpacked(values, arrays[name + PACKED], f"{path}: {name}")
        if values.dtype.kind not in "biuf" or values.ndim not in (2, 3):
            if keys:
                what = f"{name} is {values.dtype} {values.shape}, expected numbers (samples, bursts, elements)"
                raise EspikeError(what, where=str(path))
            continue
        values = values.reshape((-1, *values.shape[-2:]))
        if node in inputs or node == INPUT:
            made.inputs[node] = values.astype(np.float64)
        elif node.endswith(".v"):
            made.potentials[node.removesuffix(".v")] = values.astype(np.float64)
        else:
            made.spikes[node] = values != 0
    return made


def unpacked(packed: NDArray[Any], shape: NDArray[Any], where: str) -> NDArray[Any]:
    """The bits of `numpy.packbits` as they were. Raises: EspikeError where they are not of that shape."""
    size = tuple(int(n) for n in shape.reshape(-1))
    if packed.dtype != np.uint8 or not size or packed.shape != (*size[:-1], -(-size[-1] // 8)):
        raise EspikeError(f"packed bits are {packed.dtype} {packed.shape}, not of shape {list(size)}", where=where)
    return np.unpackbits(packed, axis=-1, count=size[-1])


def _nir_data(path: Path, inputs: set[str]) -> Expected:
    h5py, found = h5py_module(), Expected(path)
    times: list[float] = []
    try:
        with h5py.File(path, "r") as file:
            if _said(file) != "NIRGraphData":
                raise EspikeError("is no recording: neither NIRData, nor npz, nor csv", where=str(path))
            observed = list(_observables(file, "", 0))
            times += [float(data.attrs["dt"]) for _, _, data in observed if _said(data) == "TimeGriddedData"]
            dt = times[0] if times else None
            for node, name, data in observed:
                values, binary = _gridded(h5py, data, dt, f"{path}: {node}/{name}")
                if node in inputs:
                    found.inputs[node] = values
                elif binary:
                    found.spikes[node] = values != 0
                else:
                    found.potentials[node] = values
    except EspikeError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        text = " ".join(str(error).split())[:160]
        raise EspikeError(f"is no recording, or is damaged ({text})", where=str(path)) from None
    if dt is not None and any(abs(t / dt - 1) > 1e-9 for t in times):
        raise EspikeError(f"is recorded at several bursts: {sorted(set(times))}", where=str(path))
    return Expected(path, found.inputs, found.spikes, found.potentials, dt)


def _said(group: Any) -> str:
    kind = group.attrs.get("__type__", "")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _observables(group: Any, prefix: str, depth: int) -> Any:
    """(node, observable, HDF5 group) of a NIRGraphData and of those in it."""
    for name, node in group["nodes"].items():
        if _said(node) == "NIRGraphData" and depth < 12:
            yield from _observables(node, f"{prefix}{name}/", depth + 1)
        elif _said(node) == "NIRNodeData":
            for observable, data in node["observables"].items():
                yield prefix + name, observable, data


def _gridded(h5py: Any, data: Any, dt: float | None, where: str) -> tuple[F64, bool]:
    """(samples, bursts, elements), and whether these are spikes. Source: nir 1.0.8, data_ir/graph.py."""
    for name, member in data.items():
        if member.size > VALUES_MOST:
            raise EspikeError(f"{name} holds {member.size:,} values, {VALUES_MOST:,} are taken", where=where)
    kind = _said(data)
    if kind == "TimeGriddedData":
        values = data["data"][()]
        if values.ndim != 3:
            raise EspikeError(f"is of shape {values.shape}, expected (samples, bursts, elements)", where=where)
        return values.astype(np.float64), values.dtype.kind in "biu"
    if kind not in ("EventData", "ValuedEventData"):
        raise EspikeError(f"observable {kind!r} is unknown", where=where)
    if dt is None:
        raise EspikeError("events alone do not say how long a burst is", where=where, do="record the input on a grid")
    neuron, time = data["idx"][()].astype(np.int64), data["time"][()].astype(np.float64)
    count, bursts = int(data.attrs["n_neurons"]), round(float(data.attrs["t_max"]) / dt)
    if neuron.ndim != 2 or neuron.shape != time.shape or not 0 < len(neuron) * bursts * count <= VALUES_MOST:
        raise EspikeError(f"events {neuron.shape}, {bursts} bursts, {count} elements do not go together", where=where)
    sample, event = np.nonzero(neuron != -1)
    at = np.floor(time[sample, event] / dt + 1e-6).astype(np.int64)
    which = neuron[sample, event]
    if np.any((at < 0) | (at >= bursts) | (which < 0) | (which >= count)):
        raise EspikeError("an event lies outside the recording", where=where)
    grid = np.zeros((len(neuron), bursts, count))
    grid[sample, at, which] = data["value"][()][sample, event] if kind == "ValuedEventData" else 1
    return grid, kind == "EventData"
