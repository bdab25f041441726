"""quantized connectome + stimulus -> fired ids and potentials: one neuron at a time, in plain Python.

A third author of the arithmetic, slow and free of arrays: it writes the ledgers of the golden cases and faces
the reference on random networks. `python tests/scalar_model.py CASE...` writes `3-ledger.txt` of golden cases.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espike_sim.engine import CodedStimulus
from espike_sim.quantized import QuantizedConnectome

MASK = 0xFFFFFFFF
F32_TOP = struct.unpack("<f", struct.pack("<f", 3e38))[0]
TOPS = {"int8": 32767, "fp16": 65504.0, "fp32": F32_TOP}


@dataclass
class Burst:
    """What one burst left behind."""

    fired: list[int]
    potentials: list[int] | list[float]
    events: int
    saturations: int
    weights: list[float]
    """Of the synapses that learn, in file order."""


def f32(x: float) -> float:
    """x rounded to binary32; one sum or product of two binary32 numbers in binary64 rounds as if done in binary32."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


def f16(x: float) -> float:
    """x rounded to binary16; |x| <= 65504."""
    return float(struct.unpack("<e", struct.pack("<e", x))[0])


def pcg(x: int) -> int:
    state = (x * 747796405 + 2891336453) & MASK
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & MASK
    return (word >> 22) ^ word


def run(q: QuantizedConnectome, stimulus: CodedStimulus, bursts: int) -> Iterator[Burst]:
    """Yield what each of the bursts 1..bursts left behind."""
    whole = q.precision == "int8"
    store = f16 if q.precision == "fp16" else lambda x: x
    n = q.neurons
    v: list[float] = [0] * n if whole else [0.0] * n
    countdown, count = [0] * n, [0] * n
    area = [int(a) for a in q.area_of_neuron]
    weight = q.weight.tolist()
    psp = [0] * n
    rows: dict[int, list[list[int]]] = {d: [[] for _ in range(n)] for d in sorted({p.delay for p in q.projections})}
    projection_of = {}
    for p, projection in enumerate(q.projections):  # file order: a row's synapses follow projection by projection
        for i in range(int(q.projection_start[p]), int(q.projection_start[p + 1])):
            rows[projection.delay][int(q.source[i])].append(i)
            projection_of[i] = projection
    max_window = max([1, *(p.learning.window for p in q.projections if p.learning)])
    target, source = q.target.tolist(), q.source.tolist()
    factor = {p.source: p.psp_factor for p in q.projections if p.psp_factor}
    current = [0] * n if whole else [0.0] * n
    models = [q.areas[a].dynamics for a in area]

    def arrives(i: int) -> tuple[int, float]:
        """Target of a synapse and what a spike adds there."""
        w, projection, j = weight[i], projection_of[i], source[i]
        sent = v[j] if models[j] and models[j].graded else psp[j]
        if whole:
            return target[i], w * (sent if projection.psp_factor else 1) * 2**projection.shift
        return target[i], f32(w * sent) if projection.psp_factor else w

    def drive(i: int, x: float) -> int:
        """What the potential x at firing drives the synapses of neuron i with."""
        if whole:
            return max(0, min(255, (int(x) * factor.get(area[i], 0) + 32768) // 65536))
        return max(0, min(255, int(x) + (x - int(x) >= 0.5))) if x > 0 else 0

    def learn(frames: list[set[int]]) -> None:
        """Move the weights of projections that learn."""
        for i, projection in projection_of.items():
            rule = projection.learning
            if rule is None:
                continue
            window = frames[-rule.window :]
            ends = [[end in frame for frame in window] for end in (source[i], target[i])]
            if not any(map(any, ends)):
                continue
            always = len(window) == rule.window and all(map(all, ends))
            moved = weight[i] + (rule.ltp if always else rule.ltd)
            moved = moved if whole else f32(moved)
            low, high = (rule.low, rule.high) if whole else (f32(rule.low), f32(rule.high))
            weight[i] = store(min(max(moved, low), high))

    def fade(x: float, kept: float) -> float:
        """What a leak leaves of x."""
        if not whole:
            return f32(x * kept)
        y = (int(x) * int(kept) + 16384) // 32768
        return y - (x > 0) + (x < 0) if y == x and x != 0 and kept != 32768 else y

    def cut(x: float) -> tuple[float, int]:
        """x within the range of potentials, and 1 where it was not."""
        top = TOPS[q.precision]
        return (x, 0) if abs(x) <= top else (top if x > 0 else -top, 1)

    def modelled(i: int, x: float, fired_before: bool) -> tuple[float, int]:
        """A neuron with a model that got the input x: leak, current, bias, late reset -> potential, saturations."""
        m, g = models[i], int(q.current_shift[area[i]])
        late = m.late and fired_before
        old = q.reset[i].item() if late and m.reset == "value" else v[i]
        taken = q.reset[i].item() if late and m.reset == "subtract" else 0
        bias, clamped = q.bias[i].item(), 0
        if whole:
            x = x * 2 ** int(q.guard_bits[area[i]]) + bias
        if m.current:
            before = current[i]
            kept = fade(before, q.current_retained[i].item())
            now, clamped = cut(kept + x if whole else f32(f32(kept + x) + bias))
            current[i] = store(now)
            x = now if m.current == "new" else before
        if whole:
            exact = fade(old, retained[i]) + (x + 2**g // 2) // 2**g - taken
        else:
            exact = f32(fade(old, retained[i]) + x)
            exact = f32((exact if m.current else f32(exact + bias)) - taken)
        found, more = cut(exact)
        return found, clamped + more

    injected: dict[int, list[tuple[int, float]]] = {}
    for t, neuron, value in zip(stimulus.burst, stimulus.neuron, stimulus.value, strict=True):
        injected.setdefault(int(t), []).append((int(neuron), value.item()))
    power = [(int(i), x.item()) for i, x in zip(q.power_neuron, q.power_value, strict=True)]
    threshold, limit, retained = q.threshold.tolist(), q.limit.tolist(), q.retained.tolist()
    period, fire_limit, snooze = q.refractory.tolist(), q.fire_limit.tolist(), q.snooze.tolist()
    fire_draw = q.fire_draw.tolist()
    history: list[list[int]] = []

    for t in range(1, bursts + 1):
        read = [s for d in rows if 0 < d < t for i in history[t - 1 - d] for s in rows[d][i]]
        acc: dict[int, float] = {}

        def add(entries: list[tuple[int, float]], acc: dict[int, float] = acc) -> None:
            for i, x in entries:
                acc[i] = acc.get(i, 0) + x if whole else f32(acc.get(i, 0.0) + x)

        add(injected.get(t, []) + power + [arrives(s) for s in read])
        fired: list[int] = []
        saturations, at_once = 0, 0

        for i in range(n):
            if i and area[i] != area[i - 1] and 0 in rows:  # an area is done: its rows without delay
                now = [s for j in fired if area[j] == area[i - 1] for s in rows[0][j]]
                at_once += len(now)
                add([arrives(s) for s in now])
            if q.candidates_only and i not in acc:
                continue
            if not q.areas[area[i]].accumulate:
                v[i] = 0
            if countdown[i] > 0:
                countdown[i] -= 1
                if countdown[i] == 0 and fire_limit[i] and count[i] == fire_limit[i]:
                    count[i] = 0
                continue

            model = models[i]
            if model:
                x, clamped = modelled(i, acc.get(i, 0), bool(history) and i in history[-1])
            elif whole:
                x, clamped = cut(v[i] + acc.get(i, 0) * 2 ** int(q.guard_bits[area[i]]))
            else:
                x, clamped = cut(f32(v[i] + acc.get(i, 0.0)))
            saturations += clamped
            v[i] = store(x)

            if model and model.graded:
                if x != 0:
                    fired.append(i)
                continue
            if threshold[i] <= x <= limit[i]:
                if fire_limit[i] and count[i] == fire_limit[i]:
                    count[i] = 0
                    continue
                drawn = pcg((i * 2654435761 + t * 1597334677) & MASK)
                if fire_draw[i] == MASK or drawn < fire_draw[i]:
                    fired.append(i)
                    psp[i] = drive(i, x)
                    if not model:
                        v[i] = 0
                    elif not model.late and model.reset != "none":
                        to = q.reset[i].item()
                        x, clamped = (to, 0) if model.reset == "value" else cut(x - to if whole else f32(x - to))
                        v[i], saturations = store(x), saturations + clamped
                    countdown[i] = period[i]
                    if fire_limit[i]:
                        count[i] += 1
                        if count[i] == fire_limit[i]:
                            countdown[i] += snooze[i]
                    continue

            count[i] = 0
            if not model:
                v[i] = store(fade(x, retained[i]))
        history.append(fired)
        learn([set(frame) for frame in history[-max_window:]])
        learned = [w for i, w in enumerate(weight) if projection_of[i].learning]
        yield Burst(list(fired), list(v), len(read) + at_once, saturations, learned)


def bits(v: float) -> int:
    """A potential as the state hash takes it."""
    if isinstance(v, int):
        return v & MASK
    return int(struct.unpack("<I", struct.pack("<f", v + 0.0))[0])


def hashes(bursts: list[tuple[list[int], list[float]]]) -> tuple[list[list[int]], list[list[int]]]:
    """State hashes and hashes with potentials after each burst, from fired ids and potentials."""
    plain, deep = [0, 1], [0, 1]
    plain_chain, deep_chain = [], []
    for t, (fired, potentials) in enumerate(bursts, 1):
        for k in (0, 1):
            s = sum(pcg(2 * i + k) for i in fired)
            p = sum(pcg(pcg(2 * i + k) ^ bits(v)) for i, v in enumerate(potentials))
            plain[k] = pcg((plain[k] + t * 0x9E3779B1 + s) & MASK)
            deep[k] = pcg((deep[k] + t * 0x9E3779B1 + s + p) & MASK)
        plain_chain.append(list(plain))
        deep_chain.append(list(deep))
    return plain_chain, deep_chain


def main(folders: list[str]) -> None:
    """Write `3-ledger.txt` of golden cases."""
    import golden_cases

    for folder in folders:
        q, stimulus, bursts = golden_cases.load_inputs(Path(folder))
        text = golden_cases.ledger_text(q, list(run(q, stimulus, bursts)), stimulus.clamped)
        (Path(folder) / "3-ledger.txt").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
