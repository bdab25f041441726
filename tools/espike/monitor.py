"""a running board -> what it does, interval by interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from espike_sim import stimulus as stimuli
from espike_sim import stimulus_spec
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError

from . import board as boards
from .board import BoardEngine
from .link import Hello, Link
from .network import Network
from .recording import Recorder
from .telemetry import StreamSegment

FLUSH_BURSTS = 128
"""Of a recording without a period: what its end may lack where the wire breaks. A block of the entropy code: a longer
segment would not code it better.
"""


@dataclass(frozen=True)
class Status:
    """What happened in one interval, and what the board counted since its reset."""

    burst: int
    bursts_per_s: float
    received: int
    """Bursts of the interval whose records came; the others were dropped."""
    fired: dict[str, int]
    """Spikes of each area that fired in the bursts received; none where a run was only attached to."""
    spikes: int
    """All spikes of the interval, as the board counted them."""
    saturations: int
    overruns: int
    link_errors: int
    """Frames that either side had to throw away."""
    dropped: int
    """Records that the board dropped because the wire was too slow."""
    stack_unused: int | None
    """Bytes of the board's stack that were never touched, None where it cannot tell."""
    burst_us_mean: float
    burst_us_most: float

    def as_json(self) -> dict[str, Any]:
        """The status as JSON values."""
        return vars(self)

    def line(self) -> str:
        """The status as a line for people."""
        quiet = "nothing fired" if self.received else f"{self.spikes} spikes"
        fired = " ".join(f"{area}={count}" for area, count in self.fired.items()) or quiet
        faults = f"saturations {self.saturations} overruns {self.overruns} link errors {self.link_errors}"
        faults += "" if self.stack_unused is None else f" stack left {self.stack_unused}"
        speed = f"{self.bursts_per_s:9.1f} bursts/s  {self.burst_us_mean:8.0f} us"
        seen = f"dropped {self.dropped}  in {self.received} bursts: {fired}"
        return f"burst {self.burst:8d}  {speed}  {faults} {seen}"


def watch(
    engine: BoardEngine,
    network: Network,
    specs: tuple[str, ...],
    *,
    bursts: int | None,
    period_us: int,
    interval_s: float,
    until: Callable[[], bool],
    recorder: Recorder | None = None,
    leaves: bool = False,
) -> Generator[Status]:
    """Run the board for `bursts` bursts (None: without end), a status per interval.

    period_us: 0 = as fast as it goes. Stimulus comes from `specs` and is made as the run goes on. until: asked all the
    time; true ends the run, and everything up to there still comes. recorder: gets the segments of the streams that
    the board was told of; nothing is dropped unless bursts have a period. leaves: once `until` is true the run, if it
    has no end, goes on without us.
    """
    flags = boards.RUN_REALTIME if period_us else 0
    flags |= boards.RUN_FIRED | boards.RUN_LOSSY if recorder is None else boards.RUN_SEGMENTS
    flags |= boards.RUN_LOSSY if period_us else 0
    window = _Window(engine, network)
    left = bursts
    try:
        while (left is None or left > 0) and not until():
            chunk = _chunk(left, period_us, interval_s, bool(specs))
            coded = _stimulus(network, specs, engine.burst, chunk)
            if recorder is not None and coded is not None:
                recorder.stimulus(engine.burst + 1, coded)
            ends = {"leave" if leaves and chunk == boards.UNTIL_STOPPED else "until": until}
            for told in engine.stream(chunk, coded, flags=flags, period_us=period_us, **ends):
                if isinstance(told, StreamSegment):
                    if recorder is not None:
                        recorder.segment(told)
                    window.add_segment(told)
                else:
                    window.add(told.burst, told.ids)
                if window.is_over(interval_s):
                    yield window.close()
            left = None if left is None else left - chunk
    except BaseException:
        with suppress(EspikeError):
            late = engine.stop()
            if recorder is not None:
                for segment in late:
                    recorder.segment(segment)
                recorder.end(engine.state)
        raise
    if recorder is not None:
        recorder.end(engine.state)
    if window.bursts:
        yield window.close()


def attach(link: Link, hello: Hello, *, interval_s: float, until: Callable[[], bool]) -> Generator[Status]:
    """Look on while a board runs, without touching its run: a status per interval, until the run or `until` ends it."""
    us = 1e6 / hello.cycles_hz
    before, begin = link.state(), time.monotonic()
    while before.running and not until():
        time.sleep(min(interval_s, 0.1))
        seconds = time.monotonic() - begin
        if seconds < interval_s:
            continue
        state = link.state()
        yield Status(
            burst=state.burst,
            bursts_per_s=round((state.burst - before.burst) / seconds, 3),
            received=0,
            fired={},
            spikes=state.fired - before.fired,
            saturations=state.saturations,
            overruns=state.overruns,
            link_errors=state.link_errors + link.bad_frames,
            dropped=state.dropped,
            stack_unused=state.stack_unused,
            burst_us_mean=round(state.cycles_total * us / max(state.burst, 1), 3),
            burst_us_most=round(state.cycles_most * us, 3),
        )
        before, begin = state, time.monotonic()


def flush_bursts(period_us: int, interval_s: float) -> int:
    """Bursts after which a board should send what it has, so that a status sees the most of its interval."""
    return max(1, round(interval_s * 1e6 / period_us / 4)) if period_us else FLUSH_BURSTS


def _chunk(left: int | None, period_us: int, interval_s: float, has_stimulus: bool) -> int:
    """Bursts per request: endless where nothing needs to be sent along."""
    if left is None and not has_stimulus:
        return boards.UNTIL_STOPPED
    about = max(1, int(interval_s * 1e6 / period_us)) if period_us else 200
    most = about if has_stimulus else 1 << 31
    return min(most, left) if left is not None else most


def _stimulus(network: Network, specs: tuple[str, ...], burst: int, bursts: int) -> CodedStimulus | None:
    if not specs:
        return None
    return stimuli.code(stimulus_spec.parse(specs, network, bursts, burst + 1), network)


class _Window:
    """Collects records until an interval is over."""

    def __init__(self, engine: BoardEngine, network: Network) -> None:
        self._engine, self._network = engine, network
        self._firsts = np.array([area.first for area in network.areas])
        self._open(engine.burst)

    def _open(self, burst: int) -> None:
        self.begin = time.monotonic()
        self.bursts = 0
        self._asked = False
        self._from = self._last = burst
        self._fired = np.zeros(len(self._firsts), np.int64)
        self._counted = self._engine.state.fired

    def add(self, burst: int, ids: list[int]) -> None:
        """One record."""
        self.bursts += 1
        self._last = max(self._last, burst)
        if ids:
            np.add.at(self._fired, np.searchsorted(self._firsts, ids, side="right") - 1, 1)

    def add_segment(self, segment: StreamSegment) -> None:
        """A segment of a stream; those of fired ids count."""
        self._last = max(self._last, segment.first_burst + segment.segment.frames - 1)
        for i, ids in enumerate(segment.segment.sets() if segment.stream.source == "fired" else []):
            self.add(segment.first_burst + i, ids.tolist())

    def is_over(self, interval_s: float) -> bool:
        """Has the interval passed? Asks for the board's counters in time."""
        age = time.monotonic() - self.begin
        if not self._asked and age >= 0.8 * interval_s:
            self._asked = True
            self._engine.ask_state()
        return age >= interval_s

    def close(self) -> Status:
        """The interval's status; the next interval begins."""
        seconds = max(time.monotonic() - self.begin, 1e-9)
        state = self._engine.state
        us = 1e6 / self._engine.hello.cycles_hz
        status = Status(
            burst=self._last,
            bursts_per_s=round((self._last - self._from) / seconds, 3),
            received=self.bursts,
            fired={area.id: int(count) for area, count in zip(self._network.areas, self._fired, strict=True) if count},
            spikes=max(state.fired - self._counted, 0),
            saturations=state.saturations,
            overruns=state.overruns,
            link_errors=state.link_errors + self._engine.bad_frames,
            dropped=state.dropped,
            stack_unused=state.stack_unused,
            burst_us_mean=round(state.cycles_total * us / max(state.burst, 1), 3),
            burst_us_most=round(state.cycles_most * us, 3),
        )
        self._open(self._last)
        return status
