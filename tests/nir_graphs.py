"""Random NIR graphs of every node kind, written with the nir package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np

NEURONS = ("LIF", "IF", "I", "LI", "CubaLI", "CubaLIF", "Threshold", "LI+Threshold", "CubaLI+Threshold")
DT = 1e-4


class Maker:
    """One graph in the making."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.sources: list[tuple[str, tuple[int, ...]]] = []
        self.count = 0

    def name(self, word: str) -> str:
        """A name that does not give the order away."""
        self.count += 1
        return f"{self.rng.choice(list('abcxyz'))}.{word}{self.count}"

    def values(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        """A parameter: one number per element, or one for all."""
        if self.rng.random() < 0.25:
            return np.full(shape, self.rng.uniform(low, high))
        return self.rng.uniform(low, high, shape).astype(self.rng.choice([np.float32, np.float64]))

    def weights(self, *shape: int) -> np.ndarray:
        """Random weights of a dense or convolving node, some of them exactly 0."""
        made = self.rng.normal(0.25, 1, shape) * 1.5 / np.sqrt(np.prod(shape[1:]))
        made[self.rng.random(shape) < 0.1] = 0
        return made.astype(np.float32)

    def then(self, name: str, node: Any, after: str) -> str:
        """Add a node behind another."""
        self.nodes[name] = node
        self.edges.append((after, name))
        return name

    def chain(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Some linear nodes behind a node -> the last, and the shape of what leaves it."""
        rng = self.rng
        for _ in range(rng.integers(0, 3)):
            kind = rng.choice(["Scale", "Delay", "plane", "line", "Flatten"])
            if kind == "Scale":
                name = self.then(self.name("scale"), nir.Scale(self.values(shape, 0.5, 1.5)), name)
            elif kind == "Delay":
                bursts = rng.integers(0, 4, shape) if rng.random() < 0.5 else np.full(shape, rng.integers(0, 4))
                name = self.then(self.name("delay"), nir.Delay(bursts * DT), name)
            elif kind == "Flatten" and len(shape) > 1:
                node = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
                name, shape = self.then(self.name("flat"), node, name), (int(np.prod(shape)),)
            elif kind == "plane" and len(shape) == 3 and min(shape[1:]) > 3:
                name, shape = self.plane(name, shape)
            elif kind == "line" and len(shape) == 2 and shape[1] > 3:
                name, shape = self.line(name, shape)
        if len(shape) == 1:
            n = int(rng.integers(1, 7))
            if rng.random() < 0.5:
                node = nir.Linear(self.weights(n, shape[0]))
            else:
                node = nir.Affine(self.weights(n, shape[0]), rng.normal(0, 0.3, n))
            name, shape = self.then(self.name("dense"), node, name), (n,)
        return name, shape

    def plane(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """A convolution or pooling of planes."""
        rng = self.rng
        if rng.random() < 0.4:
            kind = nir.SumPool2d if rng.random() < 0.5 else nir.AvgPool2d
            size, stride, pad = (2, int(rng.integers(2, 4))), (2, int(rng.integers(1, 3))), (int(rng.integers(0, 2)), 0)
            node = kind(kernel_size=np.array(size), stride=np.array(stride), padding=np.array(pad))
            made = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape[1:], pad, size, stride, strict=True)]
            return self.then(self.name("pool"), node, name), (shape[0], *made)
        groups = 2 if shape[0] % 2 == 0 and rng.random() < 0.4 else 1
        out = groups * int(rng.integers(1, 3))
        kernel = (int(rng.integers(1, 4)), 2)
        stride, dilation = (int(rng.integers(1, 3)), 1), (1, int(rng.integers(1, 3)))
        padding: Any = (int(rng.integers(0, 2)), 1)
        if rng.random() < 0.3:
            padding, stride = str(rng.choice(["same", "valid"])), (1, 1)
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [0, 0] if isinstance(padding, str) else padding
        total = reach if padding == "same" else [2 * p for p in pads]
        made = [(n + t - r - 1) // s + 1 for n, t, r, s in zip(shape[1:], total, reach, stride, strict=True)]
        node = nir.Conv2d(
            input_shape=shape[1:], weight=self.weights(out, shape[0] // groups, *kernel), stride=stride,
            padding=padding, dilation=dilation, groups=groups, bias=rng.normal(0, 0.2, out),
        )  # fmt: skip
        return self.then(self.name("conv"), node, name), (out, *made)

    def line(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """A convolution of lines."""
        out, kernel, stride = int(self.rng.integers(1, 3)), 3, int(self.rng.integers(1, 3))
        node = nir.Conv1d(
            input_shape=shape[1], weight=self.weights(out, shape[0], kernel), stride=stride, padding=1, dilation=1,
            groups=1, bias=np.zeros(out),
        )  # fmt: skip
        return self.then(self.name("conv"), node, name), (out, (shape[1] + 2 - 3) // stride + 1)

    def neuron(self, kind: str, shape: tuple[int, ...]) -> Any:
        """A node of neurons."""
        v = self.values
        tau, r, leak = v(shape, 3 * DT, 20 * DT), v(shape, 3, 12), v(shape, -0.3, 0.3)
        rest: dict[str, Any] = {"r": r, "v_leak": leak}
        if self.rng.random() < 0.4:
            rest["v_leak"] = np.zeros(shape)
        fire = {"v_threshold": v(shape, 0.6, 1.4), "v_reset": v(shape, -0.2, 0.3)}
        cuba = {"tau_mem": tau, "tau_syn": v(shape, 2 * DT, 9 * DT), "w_in": v(shape, 1, 4)}
        if kind == "Threshold":
            return nir.Threshold(v(shape, 0.2, 0.8))
        if kind == "I":
            return nir.I(r=v(shape, 200, 2000))
        if kind == "IF":
            return nir.IF(r=v(shape, 2000, 8000), **fire)
        if kind == "LI":
            return nir.LI(tau=tau, **rest)
        if kind == "LIF":
            return nir.LIF(tau=tau, **rest, **fire)
        return nir.CubaLI(**cuba, **rest) if kind == "CubaLI" else nir.CubaLIF(**cuba, **rest, **fire)


def make(seed: int, path: Path) -> dict[str, tuple[int, ...]]:
    """Write a random graph -> its Inputs and their shapes."""
    m = Maker(seed)
    rng = m.rng
    inputs = {}
    for i in range(rng.integers(1, 3)):
        shape = [(int(rng.integers(1, 9)),), (2, int(rng.integers(4, 8))), (2, 6, 5)][int(rng.integers(0, 3))]
        inputs[f"in{i}"] = shape
        m.nodes[f"in{i}"] = nir.Input(np.array(shape))
        m.sources.append((f"in{i}", shape))
    layers = []
    for _ in range(rng.integers(1, 5)):
        ends = [m.chain(*m.sources[int(rng.integers(0, len(m.sources)))]) for _ in range(rng.integers(1, 3))]
        name, shape = ends[0]
        kinds = str(rng.choice(NEURONS)).split("+")
        node = m.then(m.name("n"), m.neuron(kinds[0], shape), name)
        first = node
        for other, size in ends[1:]:
            if size == shape:
                m.edges.append((other, node))
        if rng.random() < 0.15:
            m.edges.append((name, node))  # the same edge twice: it counts twice
        for kind in kinds[1:]:
            node = m.then(m.name("n"), m.neuron(kind, shape), node)
        m.sources.append((node, shape))
        layers.append((first, node, shape))
        if rng.random() < 0.35 and len(shape) == 1:
            into, _, size = layers[int(rng.integers(0, len(layers)))]
            if len(size) == 1:
                loop = m.then(m.name("rec"), nir.Affine(0.5 * m.weights(size[0], shape[0]), np.zeros(size[0])), node)
                m.edges.append((loop, into))
    for i, (_, node, shape) in enumerate(layers[-2:]):
        if rng.random() < 0.4:
            node, shape = m.chain(node, shape)
        m.nodes[f"out{i}"] = nir.Output(np.array(shape))
        m.edges.append((node, f"out{i}"))
    rng.shuffle(m.edges)
    nodes, edges = m.nodes, [(str(a), str(b)) for a, b in m.edges]
    if rng.random() < 0.4:
        nodes, edges = _nested(nodes, edges, layers[0][0])
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return inputs


def _nested(
    nodes: dict[str, Any], edges: list[tuple[str, str]], name: str
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A node in a graph of its own, with what leads from it to itself."""
    node = nodes[name]
    shape = np.array(next(v for v in vars(node).values() if isinstance(v, np.ndarray)).shape)
    loops = {b for a, b in edges if a == name} & {a for a, b in edges if b == name}
    loops = {n for n in loops if sum(n in e for e in edges) == 2}
    inner = {name: node, "i": nir.Input(shape), "o": nir.Output(shape)} | {n: nodes[n] for n in loops}
    inside = [(a, b) for a, b in edges if {a, b} <= loops | {name}] + [("i", name), (name, "o")]
    outer = {n: v for n, v in nodes.items() if n not in inner} | {name: nir.NIRGraph(inner, inside, type_check=False)}
    return outer, [(a, b) for a, b in edges if not ({a, b} <= loops | {name})]
