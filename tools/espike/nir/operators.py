"""linear node -> synapses: who leads to whom, with which weight and delay, and what is added in every burst.

Everything is float64 until the connectome is made. Sizes are checked before arrays are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .file import PASS, VALUES_MOST, Node
from .shapes import Shape, Window, groups, planes, spread, window_of

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

DELAY_MOST = 1024
"""Bursts."""


@dataclass(frozen=True)
class Paths:
    """Weighted paths from the elements of one node to those of another, by (delay, source, target), each once."""

    source: I64  # (paths,)
    target: I64  # (paths,)
    weight: F64  # (paths,)
    delay: I64  # (paths,) bursts
    zeros: int = 0
    """Weights of exactly 0 that are left out."""
    via: frozenset[str] = frozenset()
    """Paths of the linear nodes on the way."""

    def is_identity(self, elements: int) -> bool:
        """Whether each of so many elements leads to its like, unchanged and at once."""
        every = np.arange(elements)
        return (
            len(self.source) == elements
            and not np.any(self.delay)
            and bool(np.all(self.weight == 1))
            and np.array_equal(self.source, every)
            and np.array_equal(self.target, every)
        )


@dataclass(frozen=True)
class Operator:
    """What a linear node does: y = paths x + bias."""

    paths: Paths
    bias: F64  # (elements that leave,)


def identity(elements: int) -> Paths:
    """Each element leads to its like."""
    every = np.arange(elements, dtype=np.int64)
    return Paths(every, every, np.ones(elements), np.zeros(elements, np.int64))


def operator(node: Node, given: Shape, made: Shape, dt: float) -> Operator:
    """The operator of a linear node between two shapes; dt: seconds of a burst.

    Raises: EspikeError where it has too many weights, or a delay that is none.
    """
    bias = np.zeros(prod(made))
    if node.kind in ("Flatten", "Output", PASS):
        return Operator(identity(prod(made)), bias)
    if node.kind == "Scale":
        every = identity(prod(made))
        return Operator(replace(every, weight=spread(node, "scale", made)), bias)
    if node.kind == "Delay":
        return Operator(replace(identity(prod(made)), delay=_bursts(node, made, dt)), bias)
    if node.kind in ("Affine", "Linear"):
        return _dense(node, made)
    if node.kind in ("Conv1d", "Conv2d"):
        return _convolution(node, given, made)
    return Operator(_pooling(node, given), bias)


def compose(first: Paths, then: Paths, where: str) -> Paths:
    """The paths that lead through both. Raises: EspikeError where there are too many."""
    if len(first.source) and first.is_identity(len(first.source)):
        return replace(then, zeros=first.zeros + then.zeros, via=first.via | then.via)
    order = np.argsort(then.source, kind="stable")
    rows = then.source[order]
    begin, end = np.searchsorted(rows, first.target), np.searchsorted(rows, first.target, side="right")
    length = end - begin
    total = int(length.sum())
    _check_count(total, where)
    each = np.repeat(np.arange(len(length)), length)
    follow = order[np.arange(total) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)]
    return merged(
        first.source[each],
        then.target[follow],
        first.weight[each] * then.weight[follow],
        first.delay[each] + then.delay[follow],
        first.zeros + then.zeros,
        first.via | then.via,
    )


def joined(parts: Iterable[Paths]) -> Paths:
    """The sum of paths between the same two nodes."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    columns = [np.concatenate([getattr(p, name) for p in parts]) for name in ("source", "target", "weight", "delay")]
    via = frozenset().union(*(p.via for p in parts))
    return merged(columns[0], columns[1], columns[2], columns[3], sum(p.zeros for p in parts), via)


def merged(source: I64, target: I64, weight: F64, delay: I64, zeros: int, via: frozenset[str] = frozenset()) -> Paths:
    """Paths sorted by (delay, source, target); the weights of equal ones are summed."""
    order = np.lexsort((target, source, delay))
    source, target, weight, delay = source[order], target[order], weight[order], delay[order]
    new = np.ones(len(source), np.bool_)
    new[1:] = (np.diff(source) != 0) | (np.diff(target) != 0) | (np.diff(delay) != 0)
    if np.all(new):
        return Paths(source, target, weight, delay, zeros, via)
    first = np.flatnonzero(new)
    return Paths(source[first], target[first], np.add.reduceat(weight, first), delay[first], zeros, via)


def _check_count(count: int, where: str) -> None:
    if count > VALUES_MOST:
        raise EspikeError(f"makes {count:,} synapses, {VALUES_MOST:,} are taken", where=where, do="make it smaller")


def _bursts(node: Node, shape: Shape, dt: float) -> I64:
    seconds = spread(node, "delay", shape)
    bursts = np.floor(seconds / dt + 0.5)
    if np.any(bursts < 0) or np.any(bursts > DELAY_MOST):
        worst = seconds[np.argmax(np.abs(bursts))]
        what = f"{worst:g} s are {worst / dt:g} bursts of {dt:g} s, 0..{DELAY_MOST} are possible"
        raise EspikeError(what, where=f"{node.where}/delay", do="check --dt")
    return bursts.astype(np.int64)


def _bias(node: Node, count: int) -> F64:
    if "bias" not in node.values:
        return np.zeros(count)
    values = node.array("bias").astype(np.float64).reshape(-1)
    if values.size not in (1, count):
        raise EspikeError(f"has {values.size} values for {count} outputs", where=f"{node.where}/bias")
    return np.broadcast_to(values, count)


def _dense(node: Node, made: Shape) -> Operator:
    """Affine, Linear: over all elements, or over the last axis of each of several rows."""
    weight = node.array("weight")
    rows = prod(made) // weight.shape[-2]
    _check_count(rows * weight.shape[-1] * weight.shape[-2], node.where)
    blocks = np.broadcast_to(weight.reshape(-1, *weight.shape[-2:]), (rows, *weight.shape[-2:]))
    block, source, target = np.nonzero(blocks.transpose(0, 2, 1))  # in the order of paths
    values = blocks[block, target, source]
    paths = Paths(
        block * weight.shape[-1] + source,
        block * weight.shape[-2] + target,
        values,
        np.zeros(len(values), np.int64),
        blocks.size - len(values),
    )
    per_output = weight.shape[-2] if "bias" in node.values and node.array("bias").size == weight.shape[-2] else None
    bias = np.tile(_bias(node, per_output), rows) if per_output else _bias(node, prod(made))
    return Operator(paths, bias)


def _convolution(node: Node, given: Shape, made: Shape) -> Operator:
    """Cross-correlation; a bias belongs to a channel."""
    window, weight = window_of(node, given), node.array("weight")
    outputs, inputs = weight.shape[:2]
    _check_count(outputs * inputs * prod(window.kernel) * prod(window.made), node.where)
    flat = weight.reshape(outputs, inputs, -1)
    group = np.arange(outputs) // (outputs // groups(node))
    parts, zeros = [], 0
    for k, (read, written) in enumerate(_positions(window)):
        channel, among = np.nonzero(flat[:, :, k])
        source = (group[channel] * inputs + among)[:, None] * prod(window.size) + read
        target = channel[:, None] * prod(window.made) + written
        values = np.repeat(flat[channel, among, k], len(read))
        zeros += (flat[:, :, k].size - len(channel)) * len(read)
        parts.append((source.reshape(-1), target.reshape(-1), values))
    return Operator(_stack(parts, zeros), np.repeat(_bias(node, outputs), prod(window.made)))


def _pooling(node: Node, given: Shape) -> Paths:
    """Sums or means over windows of each channel; a mean counts what lies outside, as PyTorch does by default."""
    window, channels = window_of(node, given), planes(node, given)
    _check_count(channels * prod(window.kernel) * prod(window.made), node.where)
    weight = 1.0 if node.kind == "SumPool2d" else 1.0 / prod(window.kernel)
    channel = np.arange(channels)[:, None]
    parts = []
    for read, written in _positions(window):
        source = channel * prod(window.size) + read
        target = channel * prod(window.made) + written
        parts.append((source.reshape(-1), target.reshape(-1), np.full(source.size, weight)))
    return _stack(parts, 0)


def _stack(parts: list[tuple[I64, I64, F64]], zeros: int) -> Paths:
    source, target = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    weight = np.concatenate([part[2] for part in parts])
    return merged(source.astype(np.int64), target.astype(np.int64), weight, np.zeros(len(source), np.int64), zeros)


def _positions(window: Window) -> Iterator[tuple[I64, I64]]:
    """For each place in the kernel, in C order: flat places in the plane that are read, and what they write to."""
    for place in np.ndindex(window.kernel):
        read = np.zeros(1, np.int64)
        written = np.zeros(1, np.int64)
        for axis, k in enumerate(place):
            made = np.arange(window.made[axis], dtype=np.int64)
            at = made * window.stride[axis] - window.before[axis] + k * window.dilation[axis]
            inside = (at >= 0) & (at < window.size[axis])
            read = (read[:, None] * window.size[axis] + at[inside]).reshape(-1)
            written = (written[:, None] * window.made[axis] + made[inside]).reshape(-1)
        yield read, written
