"""A NIR file, simulated from its equations: the second author of the NIR importer's tests.

Plain numpy in float64, array by array in NIR's own shapes, straight from the HDF5 file; it shares nothing with the
importer. docs/nir.md says what is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

STATIONS = ("Input", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")


@dataclass
class Rules:
    """How a burst is computed."""

    dt: float
    exponential: bool = False
    gain: str = "euler"
    reset: str = "value"
    late: bool = False
    strict: bool = True
    layer_delay: int = 0
    input_delay: int = 0
    current: str = "new"
    start: str = "rest"


def read(path: Path) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Nodes by path and edges; nested graphs inlined, their Input and Output pass on."""
    with h5py.File(path) as file:
        return _graph(file["node"], "")


def _graph(group: Any, prefix: str) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}
    for name, node in group["nodes"].items():
        kind = node["type"][()].decode()
        if kind == "NIRGraph":
            inner, inner_edges = _graph(node, f"{prefix}{name}/")
            nodes |= inner
            edges += inner_edges
            first = next(n for n in inner if inner[n]["type"] == "Pass in" and n.count("/") == prefix.count("/") + 1)
            last = next(n for n in inner if inner[n]["type"] == "Pass out" and n.count("/") == prefix.count("/") + 1)
            ends[name] = (first, last)
        else:
            values = {k: v[()] for k, v in node.items() if k not in ("type", "metadata")}
            passes = {"Input": "Pass in", "Output": "Pass out"} if prefix else {}
            nodes[prefix + name] = values | {"type": passes.get(kind, kind)}
            ends[name] = (prefix + name, prefix + name)
    names = [(a.decode(), b.decode()) for a, b in group["edges"][()]] if group["edges"].size else []
    strays = [n for n in ends if all(n not in edge for edge in names)]
    for a, b in names:  # a published defect: an edge that names a node otherwise than it is called
        a, b = (a if a in ends else strays[0]), (b if b in ends else strays[0])
        edges.append((ends[a][1], ends[b][0]))
    return nodes, edges


def linear(node: dict[str, Any], x: np.ndarray, biased: bool) -> np.ndarray:
    """What leaves a linear node when x reaches it."""
    kind = node["type"]
    if kind in ("Affine", "Linear"):
        w = np.asarray(node["weight"], np.float64)
        flat = x.reshape(*w.shape[:-2], -1) if x.size == np.prod(w.shape[:-2]) * w.shape[-1] else x
        y = (w @ flat[..., None])[..., 0]
        return y + node["bias"] if biased and "bias" in node else y
    if kind == "Scale":
        return x * node["scale"]
    if kind in ("Conv1d", "Conv2d"):
        return _convolve(node, x, biased)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pool(node, x)
    if kind == "Flatten":
        start = int(node["start_dim"])
        end = int(node["end_dim"]) % x.ndim
        return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :]) if start < end else x
    return x  # Output, passes


def _pairs(value: Any, axes: int) -> list[int]:
    return [int(n) for n in np.broadcast_to(np.asarray(value), (axes,))]


def _convolve(node: dict[str, Any], x: np.ndarray, biased: bool) -> np.ndarray:
    w = np.asarray(node["weight"], np.float64)
    axes = w.ndim - 2
    stride, dilation = _pairs(node["stride"], axes), _pairs(node["dilation"], axes)
    span = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
    padding = node["padding"]
    if isinstance(padding, bytes):
        pads = [(s // 2, s - s // 2) if padding == b"same" else (0, 0) for s in span]
    else:
        pads = [(p, p) for p in _pairs(padding, axes)]
    x = np.pad(x, [(0, 0), *pads])
    if axes == 1:
        x, w = x[:, None, :], w[:, :, None, :]
        stride, dilation, span = [1, *stride], [1, *dilation], [0, *span]
    high, wide = ((n - s - 1) // k + 1 for n, s, k in zip(x.shape[1:], span, stride, strict=True))
    groups = int(node["groups"])
    each, among = w.shape[0] // groups, w.shape[1]
    y = np.zeros((w.shape[0], high, wide))
    for o in range(w.shape[0]):
        for i in range(among):
            plane = x[o // each * among + i]
            for a in range(w.shape[2]):
                for b in range(w.shape[3]):
                    top, left = a * dilation[0], b * dilation[1]
                    part = plane[top : top + (high - 1) * stride[0] + 1 : stride[0]]
                    y[o] += w[o, i, a, b] * part[:, left : left + (wide - 1) * stride[1] + 1 : stride[1]]
    if biased and "bias" in node:
        y += np.asarray(node["bias"]).reshape(-1, 1, 1)
    return y[:, 0] if axes == 1 else y


def _pool(node: dict[str, Any], x: np.ndarray) -> np.ndarray:
    (kh, kw), (sh, sw), (ph, pw) = (_pairs(node[name], 2) for name in ("kernel_size", "stride", "padding"))
    x = np.pad(x, [(0, 0), (ph, ph), (pw, pw)])
    high, wide = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = np.zeros((x.shape[0], high, wide))
    for h in range(high):
        for w in range(wide):
            y[:, h, w] = x[:, h * sh : h * sh + kh, w * sw : w * sw + kw].sum((1, 2))
    return y / (kh * kw) if node["type"] == "AvgPool2d" else y


class Slow:
    """Runs a NIR file burst by burst."""

    def __init__(self, path: Path, rules: Rules) -> None:
        self.nodes, self.edges = read(path)
        self.rules = rules
        self.stations = [n for n, v in self.nodes.items() if v["type"] in STATIONS]
        self.outputs = [n for n, v in self.nodes.items() if v["type"] == "Output"]
        self.before: dict[str, list[str]] = {n: [a for a, b in self.edges if b == n] for n in self.nodes}
        self.back = self._ways_back()
        self.order = self._order()
        self.reset()

    def reset(self) -> None:
        """Back to the start."""
        self.v: dict[str, Any] = {}
        self.i: dict[str, Any] = {}
        self.late: dict[str, Any] = {}
        self.past: dict[str, list[np.ndarray]] = {n: [] for n in self.stations}
        """What each station has sent, the last burst's last."""
        self.spikes: dict[str, list[np.ndarray]] = {n: [] for n in self.stations}
        self.shown: dict[str, list[np.ndarray]] = {n: [] for n in [*self.stations, *self.outputs]}

    def _origins(self, node: str, delay: int) -> set[tuple[str, int]]:
        """Stations that reach a node through linear nodes, with delays of Delay nodes on the way."""
        found = set()
        for a in self.before[node]:
            if a in self.stations:
                found.add((a, delay))
            else:
                for more in self._delays(a):
                    found |= self._origins(a, delay + more)
        return found

    def _delays(self, node: str) -> list[int]:
        if self.nodes[node]["type"] != "Delay":
            return [0]
        return sorted({int(d) for d in np.floor(np.asarray(self.nodes[node]["delay"]) / self.rules.dt + 0.5).ravel()})

    def _wait(self, station: str, target: str) -> int:
        if self._is_tested(station, target):
            return 0
        return self.rules.input_delay if self.nodes[station]["type"] == "Input" else self.rules.layer_delay

    def _is_tested(self, station: str, target: str) -> bool:
        """Whether an integrator and a Threshold are one neuron: nothing else takes its potential."""
        takers = [b for a, b in self.edges if a == station and self.nodes[b]["type"] != "Output"]
        integrates = self.nodes[station]["type"] in ("I", "LI", "CubaLI")
        return integrates and takers == [target] and self.nodes[target]["type"] == "Threshold"

    def _at_once(self) -> dict[str, list[str]]:
        after: dict[str, list[str]] = {n: [] for n in self.stations}
        for b in self.stations:
            for a, delay in self._origins(b, 0):
                if delay + self._wait(a, b) == 0 and b not in after[a]:
                    after[a].append(b)
        return {a: sorted(followers) for a, followers in after.items()}

    def _ways_back(self) -> set[tuple[str, str]]:
        """Depth first, from the nearest to the Inputs on: edges that lead back into the walk."""
        after, back, state = self._at_once(), set(), {}

        def walk(a: str) -> None:
            state[a] = "on"
            for b in after[a]:
                if b not in state:
                    walk(b)
                elif state[b] == "on":
                    back.add((a, b))
            state[a] = "off"

        for name in self._near():
            if name not in state:
                walk(name)
        return back

    def _near(self) -> list[str]:
        """Stations by how far they lie from an Input, then by name; a Threshold right behind its integrator."""
        reached = {b: {a for a, _ in self._origins(b, 0)} for b in self.stations}
        level = sorted(n for n in self.stations if self.nodes[n]["type"] == "Input")
        made: list[str] = []
        while level:
            nearer = []
            for name in level:
                tested = [b for b in self.stations if name in reached[b] and self._is_tested(name, b)]
                made += [name, *tested]
                for held in (name, *tested):
                    nearer += sorted(
                        b for b in self.stations if held in reached[b] and b not in [*made, *level, *nearer]
                    )
            level = [n for n in nearer if n not in made]
        left = [n for n in self.stations if n not in made]
        return made + sorted(left, key=lambda b: (any(self._is_tested(a, b) for a in reached[b]), b))

    def _order(self) -> list[str]:
        after, made = self._at_once(), []
        while len(made) < len(self.stations):
            made += [
                b
                for b in self.stations
                if b not in made and all(a in made or (a, b) in self.back for a in after if b in after[a])
            ]
        return made

    def pull(self, node: str, delay: int, target: str) -> np.ndarray:
        """What leaves a node that a target sees, `delay` bursts ago."""
        values = self.nodes[node]
        if node in self.stations:
            total = delay + self._wait(node, target)
            if (node, target) in self.back:
                total = max(1, total)
            sent = self.past[node]
            at = len(sent) - 1 - total + (0 if self.done[node] else 1)
            return sent[at] if at >= 0 else self._before_first(node)
        if values["type"] == "Delay":
            bursts = np.floor(np.asarray(values["delay"]) / self.rules.dt + 0.5)
            return sum(np.where(bursts == d, self.gather(node, delay + d, target), 0) for d in self._delays(node))
        return linear(values, self.gather(node, delay, target), True)

    def gather(self, node: str, delay: int, target: str) -> np.ndarray:
        """The sum of what reaches a node."""
        parts = [self.pull(a, delay, target) for a in self.before[node]]
        shape = max((p.shape for p in parts), key=len)
        return sum(p.reshape(shape) for p in parts)

    def _before_first(self, node: str) -> np.ndarray:
        shape = self.shapes[node]
        values = self.nodes[node]
        if values["type"] in ("LI", "CubaLI") and self.rules.start == "rest":
            return np.broadcast_to(np.asarray(values.get("v_leak", 0.0), np.float64), shape)
        return np.zeros(shape)

    def burst(self, inputs: dict[str, np.ndarray]) -> None:
        """One burst."""
        self.done = dict.fromkeys(self.stations, False)
        if not hasattr(self, "shapes"):
            self._find_shapes(inputs)
        for name in self.order:
            values = self.nodes[name]
            if values["type"] == "Input":
                sent = spikes = shown = np.asarray(inputs[name], np.float64)
            else:
                x = self.gather(name, 0, name) if self.before[name] else np.zeros(self.shapes[name])
                spikes, sent, shown = self._neuron(name, values, x.reshape(self.shapes[name]))
            self.past[name].append(sent)
            self.spikes[name].append(spikes != 0)
            self.shown[name].append(shown)
            self.done[name] = True
        for name in self.outputs:
            self.shown[name].append(self.gather(name, 0, name) if self.before[name] else np.zeros(1))

    def _find_shapes(self, inputs: dict[str, np.ndarray]) -> None:
        shapes: dict[str, tuple[int, ...]] = {n: np.shape(x) for n, x in inputs.items()}
        while missing := [n for n in self.nodes if n not in shapes]:
            for n in missing:
                given = [shapes[a] for a in self.before[n] if a in shapes]
                values = self.nodes[n]
                own = [np.shape(v) for k, v in values.items() if k not in ("type", "shape")]
                if values["type"] in (*STATIONS, "Scale", "Delay"):
                    if any(np.prod(s) > 1 for s in own):
                        shapes[n] = np.broadcast_shapes(*own)
                    elif given:
                        shapes[n] = given[0]
                elif given:
                    shapes[n] = linear(values, np.zeros(given[0]), False).shape
                elif values["type"] == "Output":
                    shapes[n] = (1,)
        self.shapes = shapes

    def _neuron(self, name: str, p: dict[str, Any], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(spikes, what is sent, what a potential probe shows)."""
        rule, kind, zero = self.rules, p["type"], np.zeros_like(x)
        over = np.greater if rule.strict else np.greater_equal
        if kind == "Threshold":
            z = over(x, p["threshold"]).astype(np.float64)
            return z, z, x
        rest = np.asarray(p.get("v_leak", 0.0), np.float64) + zero
        v = self.v.get(name, rest if rule.start == "rest" else zero)

        def kept(tau: Any) -> Any:
            return np.exp(-rule.dt / tau) if rule.exponential else 1 - rule.dt / np.asarray(tau, np.float64)

        def gain(tau: Any) -> Any:
            return {
                "euler": lambda: rule.dt / tau,
                "held": lambda: 1 - np.exp(-rule.dt / tau),
                "undecayed": lambda: rule.dt / tau * np.exp(rule.dt / tau),
                "one": lambda: 1.0,
            }[rule.gain]()

        r = 1.0 if rule.gain == "one" else np.asarray(p["r"], np.float64)
        fires = kind in ("IF", "LIF", "CubaLIF")
        pending = self.late.get(name, zero)
        if fires and rule.late and rule.reset != "subtract":
            v = np.where(pending > 0, self._reset_to(p), v)
        if kind in ("I", "IF"):
            v = v + (x if rule.gain == "one" else r * rule.dt * x)
        elif kind in ("LI", "LIF"):
            v = rest + kept(p["tau"]) * (v - rest) + gain(p["tau"]) * r * x
        else:
            i, tau = self.i.get(name, zero), p["tau_syn"]
            w = p.get("w_in", 1.0) * (np.exp(-rule.dt / tau) if rule.gain == "undecayed" else gain(tau))
            new = kept(tau) * i + w * x
            v = rest + kept(p["tau_mem"]) * (v - rest) + gain(p["tau_mem"]) * r * (new if rule.current == "new" else i)
            self.i[name] = new
        if fires and rule.late and rule.reset == "subtract":
            v = v - np.where(pending > 0, p["v_threshold"], 0)
        if not fires:
            self.v[name] = v
            return zero, v, v
        z = over(v, p["v_threshold"]).astype(np.float64)
        if rule.late:
            self.late[name] = z
        elif rule.reset == "subtract":
            v = v - z * p["v_threshold"]
        else:
            v = np.where(z > 0, self._reset_to(p), v)
        self.v[name] = v
        return z, z, v

    def _reset_to(self, p: dict[str, Any]) -> Any:
        return np.asarray(p.get("v_reset", 0.0)) if self.rules.reset == "value" else 0.0
