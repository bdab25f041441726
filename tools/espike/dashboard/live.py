"""board -> what it says while it runs, gathered by a thread: statuses, the last bursts, a log."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from espike_sim.errors import EspikeError

from .. import board as boards
from .. import engines, monitor
from ..boards import Running, running
from ..link import Hello, State
from ..network import Network

BURSTS, STATUSES, LINES = 400, 240, 200
"""That are kept."""
INTERVAL_S = 0.5


class _Tapped(boards.BoardEngine):
    """A board whose records are looked at on their way to the monitor."""

    def __init__(self, target: Running, watch: Watch) -> None:
        super().__init__(target, owns=False)
        self._watch = watch

    def stream(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        for told in super().stream(*arguments, **options):
            if isinstance(told, boards.Record):
                self._watch.bursts.append((told.burst, told.ids))
            yield told


class Watch:
    """Looks on at one board, in a thread of its own, until it is closed; what it keeps has a bound.

    A board that runs is left running. One at rest is asked for its state; `run` makes it run, `stop` ends any run.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.hello: Hello | None = None
        self.state: State | None = None
        self.network: Network | None = None
        self.statuses: deque[monitor.Status] = deque(maxlen=STATUSES)
        self.bursts: deque[tuple[int, list[int]]] = deque(maxlen=BURSTS)
        self.log: deque[str] = deque(maxlen=LINES)
        self._wanted: tuple[tuple[str, ...], int] | None = None
        self._wake, self._end, self._halt = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"watch {target}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Does it still look?"""
        return self._thread.is_alive()

    def run(self, stimuli: tuple[str, ...], period_us: int) -> None:
        """Have a board that is at rest run from burst 0, a burst a period."""
        self._wanted = (stimuli, period_us)
        self._wake.set()

    def stop(self) -> None:
        """End the board's run."""
        self._wanted = None
        self._halt.set()
        self._wake.set()

    def close(self, timeout_s: float = 10.0) -> None:
        """Look no more; a run goes on, but not one with stimulus from here, or of a board that was started here."""
        self._end.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _say(self, text: str) -> None:
        self.log.append(f"{datetime.now(UTC):%H:%M:%S} {text}")

    def _is_over(self) -> bool:
        return self._end.is_set() or self._halt.is_set()

    def _look(self) -> None:
        try:
            with running(self.target) as target:
                while not self._end.is_set():
                    self._once(target)
        except EspikeError as error:
            self._say(str(error))
        except Exception as error:  # whatever it is, the page shall say it
            self._say(f"{type(error).__name__}: {error}")

    def _once(self, target: Running) -> None:
        """Until what the board does changes."""
        before, self.hello = self.hello, target.link.hello()
        if self._halt.is_set():
            self._halt.clear()
            self.hello = boards.attach(target)
            self._say("stopped")
        self.state = target.link.state() if self.hello.has_image else None
        if before is None or before.network_hash != self.hello.network_hash:
            self._meet(target, self.hello)
        if self.hello.running:
            self._say("it runs, and is only looked at: its records go to whoever began the run")
            self._take(monitor.attach(target.link, self.hello, interval_s=INTERVAL_S, until=self._is_over))
        elif self._wanted is not None:
            self._run(target, *self._wanted)
        else:
            self._wake.wait(1.0)
            self._wake.clear()

    def _meet(self, target: Running, hello: Hello) -> None:
        self.bursts.clear()  # before: who has the network has no bursts of another
        self.network = engines.network_of(target) if hello.has_image else None
        areas = ", ".join(f"{area.id} {area.count}" for area in self.network.areas) if self.network else ""
        holds = f"network {hello.network_hash[:12]}, neurons: {areas}" if areas else "no network: flash a model"
        self._say(f"{hello.board}, started by {hello.reset_cause}: {holds}")

    def _run(self, target: Running, stimuli: tuple[str, ...], period_us: int) -> None:
        self._wanted = None
        if self.network is None:
            self._say("nothing runs: the board holds no network")
            return
        self.bursts.clear()
        self.statuses.clear()
        self._say(f"runs, {period_us} us a burst{' with ' if stimuli else ''}{' '.join(stimuli)}")
        engine = _Tapped(target, self)
        try:
            self._take(monitor.watch(
                engine, self.network, stimuli, bursts=None, period_us=period_us, interval_s=INTERVAL_S,
                until=self._is_over, leaves=not stimuli,
            ))  # fmt: skip
        except EspikeError as error:
            self._say(str(error))

    def _take(self, statuses: Any) -> None:
        with closing(statuses):
            for status in statuses:
                self.statuses.append(status)
