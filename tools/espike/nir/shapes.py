"""node, shape of what reaches it -> shape of what leaves it; order of elements is always C order.

Source: nir 1.0.8, calculate_conv_output and calc_flatten_output; PyTorch's Conv2d for windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .file import PASS, Node

Shape = tuple[int, ...]
F64 = NDArray[np.float64]

ELEMENTWISE = ("Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
NEURONS_MOST = 1 << 24
"""Elements of one shape that are taken."""


@dataclass(frozen=True)
class Window:
    """A convolution or pooling along each axis of a plane: element o reads o * stride - before + k * dilation."""

    kernel: Shape
    stride: Shape
    before: Shape
    """Padding in front; what lies outside counts as 0."""
    dilation: Shape
    size: Shape
    """The plane that is read."""
    made: Shape
    """The plane that is written."""


def own_shape(node: Node) -> Shape | None:
    """What a node's parameters alone say of the shape that leaves it; None: nothing."""
    if node.kind in ("Input", "Output", PASS):
        return _shape_of(node, "shape") if "shape" in node.values else None
    if node.kind in ELEMENTWISE:
        return _elements(node) or (1,)
    if node.kind in ("Affine", "Linear"):
        weight = _weight(node, 2)
        return (*weight.shape[:-2], weight.shape[-2])
    if node.kind in ("Conv1d", "Conv2d") and "input_shape" in node.values:
        return output_shape(node, (conv_channels(node), *_plane(node)))
    if node.kind == "Flatten" and "input_type" in node.values:
        return output_shape(node, _shape_of(node, "input_type"))
    return None


def output_shape(node: Node, given: Shape) -> Shape:
    """The shape that leaves a node when `given` reaches it. Raises: EspikeError where it does not fit."""
    if node.kind in ("Output", PASS, "Input"):
        said = own_shape(node)
        if said is not None and prod(said) != prod(given):
            raise EspikeError(f"has shape {list(said)}, {list(given)} reaches it", where=node.where)
        return given
    if node.kind in ELEMENTWISE:
        return _elementwise(node, given)
    if node.kind in ("Affine", "Linear"):
        return _dense(node, given)
    if node.kind == "Flatten":
        return _flattened(node, given)
    window = window_of(node, given)
    return (*_channels(node, given), *window.made)


def spread(node: Node, name: str, shape: Shape, default: float | None = None) -> F64:
    """float64 (elements,): a parameter for every element of a shape, in C order."""
    if name not in node.values and default is not None:
        return np.full(prod(shape), default)
    values = node.array(name).astype(np.float64)
    if values.size == prod(shape):
        return values.reshape(-1)
    try:
        return np.broadcast_to(values, shape).reshape(-1)
    except ValueError:
        raise EspikeError(f"has shape {list(values.shape)}, the layer {list(shape)}", where=_at(node, name)) from None


def window_of(node: Node, given: Shape) -> Window:
    """The window of a convolution or pooling that `given` reaches. Raises: EspikeError naming the parameter."""
    axes = 1 if node.kind == "Conv1d" else 2
    pooling = node.kind in ("SumPool2d", "AvgPool2d")
    size = _plane_of(node, given, axes)
    kernel = numbers(node, "kernel_size", axes, None) if pooling else _weight(node, axes + 2).shape[2:]
    stride = numbers(node, "stride", axes, kernel if pooling else (1,) * axes)
    dilation = numbers(node, "dilation", axes, (1,) * axes)
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if min(values) < 1:
            raise EspikeError(f"is {list(values)}, at least 1 is needed", where=_at(node, name))
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    padding = node.values.get("padding")
    if isinstance(padding, str) and padding == "same":
        if any(s != 1 for s in stride):
            raise EspikeError("is 'same', which goes with stride 1 only", where=_at(node, "padding"))
        return Window(kernel, stride, tuple(r // 2 for r in reach), dilation, size, size)
    if isinstance(padding, str) and padding != "valid":
        raise EspikeError(f"is {padding!r}, not a number, 'same' or 'valid'", where=_at(node, "padding"))
    before = (0,) * axes if padding is None or isinstance(padding, str) else numbers(node, "padding", axes, None)
    if min(before) < 0 or max(before) > NEURONS_MOST:
        raise EspikeError(f"is {list(before)}", where=_at(node, "padding"))
    made = tuple((n + 2 * p - r - 1) // s + 1 for n, p, r, s in zip(size, before, reach, stride, strict=True))
    if min(made) < 1:
        raise EspikeError(f"its window {list(kernel)} does not fit into {list(size)}", where=node.where)
    _check_size(made, node.where)
    return Window(kernel, stride, before, dilation, size, made)


def numbers(node: Node, name: str, count: int, default: Shape | None) -> Shape:
    """Whole numbers, one for all axes or one per axis. Raises: EspikeError naming the parameter."""
    if name not in node.values:
        if default is None:
            raise EspikeError("is missing", where=_at(node, name))
        return default
    values = node.array(name).reshape(-1)
    if values.size not in (1, count) or np.any(values != np.floor(values)) or np.any(np.abs(values) > NEURONS_MOST):
        raise EspikeError(f"is {values.tolist()[:4]}, expected {count} whole numbers", where=_at(node, name))
    return tuple(int(n) for n in np.broadcast_to(values, count))


def conv_channels(node: Node) -> int:
    """Channels that a convolution reads."""
    among: int = _weight(node, 3 if node.kind == "Conv1d" else 4).shape[1]
    return among * groups(node)


def groups(node: Node) -> int:
    """Groups of a convolution. Raises: EspikeError where they do not divide its channels."""
    count = numbers(node, "groups", 1, (1,))[0]
    if count < 1 or node.array("weight").shape[0] % count:
        raise EspikeError(f"is {count}, which does not divide the channels", where=_at(node, "groups"))
    return count


def planes(node: Node, given: Shape) -> int:
    """Channels of what reaches a pooling."""
    return prod(given[:-2])


def _at(node: Node, name: str) -> str:
    return f"{node.where}/{name}"


def _check_size(shape: Shape, where: str) -> None:
    if any(n < 1 for n in shape) or prod(shape) > NEURONS_MOST:
        what = f"shape {list(shape)[:6]} has {prod(shape):,} elements, 1..{NEURONS_MOST:,} are taken"
        raise EspikeError(what, where=where)


def _shape_of(node: Node, name: str) -> Shape:
    values = node.array(name).reshape(-1)
    if np.any(values != np.floor(values)) or values.size > 32:
        raise EspikeError(f"is no shape: {values.tolist()[:4]}", where=_at(node, name))
    shape = tuple(int(n) for n in values) or (1,)
    _check_size(shape, _at(node, name))
    return shape


def _elements(node: Node) -> Shape:
    """The shape that the parameters of an elementwise node have together."""
    arrays = {name: node.array(name).shape for name in node.values}
    try:
        return np.broadcast_shapes(*arrays.values())
    except ValueError:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in arrays.items())
        raise EspikeError(f"its parameters differ in shape: {listed}", where=node.where) from None


def _elementwise(node: Node, given: Shape) -> Shape:
    own = _elements(node)
    if prod(own) == prod(given):
        return own if len(own) > 1 and len(own) >= len(given) else given
    try:
        if np.broadcast_shapes(own, given) == given:
            return given
    except ValueError:
        pass
    raise EspikeError(f"its parameters have shape {list(own)}, {list(given)} reaches it", where=node.where)


def _weight(node: Node, axes: int) -> F64:
    weight = node.array("weight")
    fits = weight.ndim >= 2 if axes == 2 and node.kind in ("Affine", "Linear") else weight.ndim == axes
    if not fits or not weight.size:
        raise EspikeError(f"has shape {list(weight.shape)}, expected {axes} axes", where=_at(node, "weight"))
    return weight


def _dense(node: Node, given: Shape) -> Shape:
    weight = _weight(node, 2)
    *batch, made, read = weight.shape
    if prod(batch) * read == prod(given):
        return (*batch, made)
    if not batch and given and given[-1] == read:
        shape = (*given[:-1], made)
        _check_size(shape, node.where)
        return shape
    raise EspikeError(f"has shape {list(weight.shape)}, {list(given)} reaches it", where=_at(node, "weight"))


def _flattened(node: Node, given: Shape) -> Shape:
    axes = len(given)
    start, end = numbers(node, "start_dim", 1, (1,))[0], numbers(node, "end_dim", 1, (-1,))[0]
    first, last = (start + axes if start < 0 else start), (end + axes if end < 0 else end)
    first, last = max(0, min(first, axes - 1)), max(0, min(last, axes - 1))
    return given if last <= first else (*given[:first], prod(given[first : last + 1]), *given[last + 1 :])


def _plane(node: Node) -> Shape:
    return _shape_of(node, "input_shape")


def _plane_of(node: Node, given: Shape, axes: int) -> Shape:
    """The plane that reaches a window: the last axes of `given`, or what the node says where `given` is flat."""
    channels = conv_channels(node) if node.kind in ("Conv1d", "Conv2d") else None
    if len(given) >= axes and (channels is None or prod(given[:-axes]) == channels):
        return given[-axes:]
    if channels is not None and "input_shape" in node.values:
        plane = numbers(node, "input_shape", axes, None)
        if channels * prod(plane) == prod(given):
            return plane
    expected = f"{channels} channels of " if channels is not None else ""
    raise EspikeError(f"shape {list(given)} reaches it, expected {expected}{axes} axes", where=node.where)


def _channels(node: Node, given: Shape) -> Shape:
    if node.kind in ("Conv1d", "Conv2d"):
        groups(node)
        return (node.array("weight").shape[0],)
    return (planes(node, given),)
