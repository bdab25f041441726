"""quantized connectome + stimulus -> work of each burst of a run, by running it on the host.

What fired, rested, moved and was reached is followed neuron by neuron, so that a prediction can be held against
instructions that were counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome

from . import work
from .work import BLOCK, AreaLoad, AreaShape, Counts, Load

Bools = NDArray[np.bool_]


@dataclass
class _State:
    """What a burst needs of those before."""

    potentials: NDArray[Any]
    fired: list[Bools]
    """Fire queues, the newest first."""
    countdown: NDArray[np.int64]
    count: NDArray[np.int64]
    busy: list[Bools] = field(default_factory=list)
    """Per area, per block."""


def run(q: QuantizedConnectome, view: ImageView, bursts: int, stimulus: CodedStimulus | None) -> list[Counts]:
    """The work of each of `bursts` bursts from a reset; `view`: the image of `q`."""
    shape, host = work.read(view), Host(view)
    order = sorted(range(len(q.projections)), key=lambda p: q.projections[p].source)
    state = _State(host.potentials(), [np.zeros(q.neurons, np.bool_)], np.zeros(q.neurons, np.int64),
                   np.zeros(q.neurons, np.int64))  # fmt: skip
    state.busy = [np.ones(-(-area.count // BLOCK), np.bool_) for area in shape.areas]
    frames = max([shape.delay_most, *(p.window for p in shape.projections)]) + 1
    found = []
    for burst in range(1, bursts + 1):
        part = stimulus.between(burst, burst) if stimulus is not None else None
        ledger = host.run(1, part)
        now = np.zeros(q.neurons, np.bool_)
        now[ledger.ids] = True
        after = host.potentials()
        given = part.neuron if part is not None else np.zeros(0, np.uint32)
        found.append(work.counts(shape, _load(q, shape, order, state, now, after, given)))
        state.potentials, state.fired = after, [now, *state.fired][:frames]
    return found


def _load(
    q: QuantizedConnectome, shape: work.Shape, order: list[int], state: _State, now: Bools, after: NDArray[Any],
    given: NDArray[np.uint32],
) -> Load:  # fmt: skip
    queues = {delay: now if delay == 0 else _frame(state, delay - 1, now) for delay in range(shape.delay_most + 1)}
    reached = np.zeros(q.neurons, np.bool_)
    touched = np.zeros(len(shape.areas), np.bool_)
    rows, events, visited, moved = (np.zeros(len(order)) for _ in range(4))
    for i, (p, s) in enumerate(zip(order, shape.projections, strict=True)):
        part = slice(int(q.projection_start[p]), int(q.projection_start[p + 1]))
        source, queue = q.source[part], queues[s.delay]
        sends = queue[source]
        rows[i], events[i] = len(np.unique(source[sends])), np.count_nonzero(sends)
        reached[q.target[part][sends]] = True
        area = shape.areas[s.source]
        touched[s.target] |= bool(queue[area.first : area.first + area.count].any())
        if s.window:
            any_of = np.any([_frame(state, age - 1, now) if age else now for age in range(s.window)], axis=0)
            one = any_of[source] | any_of[q.target[part]]
            target = shape.areas[s.target]
            words = slice(target.first // 32 * 32, -(-(target.first + target.count) // 32) * 32)
            whole = bool(any_of[words].any())
            visited[i] = len(source) if whole else np.count_nonzero(any_of[source])
            moved[i] = np.count_nonzero(one)
    for ids in (q.power_neuron, given):
        reached[ids] = True
        touched[q.area_of_neuron[ids]] = True
    areas = [_area(q, shape, i, state, (now, reached, after), bool(touched[i])) for i in range(len(shape.areas))]
    delays = range(0 if shape.has_delay_zero else 1, shape.delay_most + 1)
    sent = {d: [float(queues[d][a.first : a.first + a.count].sum()) for a in shape.areas] for d in delays}
    chance = {d: [float(count > 0) for count in sent[d]] for d in delays}
    any_before = float(state.fired[0].any())
    return Load(areas, sent, rows, events, float(now.any()), any_before, moved, visited, chance)


def _frame(state: _State, age: int, now: Bools) -> Bools:
    return state.fired[age] if age < len(state.fired) else np.zeros_like(now)


def _area(
    q: QuantizedConnectome, shape: work.Shape, index: int, state: _State, happened: tuple[Bools, Bools, NDArray[Any]],
    touched: bool,
) -> AreaLoad:  # fmt: skip
    """The update of one area; moves its counters and busy blocks on."""
    area = shape.areas[index]
    part = slice(area.first, area.first + area.count)
    now, reached, after = (values[part] for values in happened)
    busy = state.busy[index]
    load = AreaLoad(fired=float(now.sum()))
    if not (touched or busy.any()):
        return load
    block = np.arange(area.count) // BLOCK
    whole = block < area.whole_blocks
    input_in = np.bincount(block, weights=reached, minlength=len(busy)) > 0
    checks = (area.keeps | ~busy)[: area.whole_blocks]
    updated = input_in[: area.whole_blocks] | ~checks
    load.updated, load.blocks_checked = 1, float(checks.sum())
    runs = np.append(updated, np.ones(len(busy) - area.whole_blocks, np.bool_))
    short = whole & area.plain
    load.blocks_plain = float(updated.sum()) if area.plain else 0
    load.spans = float(runs.sum()) - load.blocks_plain
    one_by_one = runs[block] & ~short
    taken = one_by_one & reached if shape.candidates_only else one_by_one
    load.skipped = float((one_by_one & ~taken).sum())
    rests = taken & (state.countdown[part] > 0)
    load.resting, load.processed = float(rests.sum()), float((taken & ~rests).sum())
    load.fired_plain = float((now & short).sum())
    still = ~reached & (state.potentials[part] == 0) & runs[block] & ~rests & (taken | short)
    load.still = float(still.sum())
    _count_down(q, part, state, taken & ~rests, rests, now)
    moved = after != state.potentials[part]
    active = (now | (moved | reached) & one_by_one | rests | ((after != 0) & short)) & runs[block]
    state.busy[index] = _busy(active, busy, runs, block, area, candidates_only=shape.candidates_only)
    return load


def _busy(
    active: Bools, busy: Bools, runs: Bools, block: NDArray[np.int64], area: AreaShape, *, candidates_only: bool
) -> Bools:
    """Blocks that another burst without input would change."""
    if candidates_only:
        return busy & ~runs
    found = np.bincount(block, weights=active, minlength=len(busy)) > 0
    return np.where(runs, found, busy & ~np.bool_(area.keeps))


def _count_down(q: QuantizedConnectome, part: slice, state: _State, processed: Bools, rests: Bools, now: Bools) -> None:
    """Refractory periods and consecutive firing of one area: docs/numbers.md, One burst of one neuron."""
    countdown, count = state.countdown[part], state.count[part]
    limit = q.fire_limit[part].astype(np.int64)
    over = (limit > 0) & (count >= limit)
    count[rests & (countdown == 1) & over] = 0
    countdown[rests] -= 1
    count[processed & ~now] = 0
    count[processed & now & (limit > 0)] += 1
    over = (limit > 0) & (count >= limit)
    countdown[processed & now] = q.refractory[part][processed & now]
    countdown[processed & now & over] += q.snooze[part][processed & now & over]
