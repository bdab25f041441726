"""host -> system/host/* metrics: a thread samples processor, memory and disk; the run's own thread writes them."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from .registry import Metric, Registry

try:
    import psutil
except ImportError:  # a run goes on without it
    psutil = None

KEPT = 1000
"""Samples."""
PERIOD_S, LOG_S = 1.0, 5.0
PHASE = "system"
"""Of the rows, which belong to no phase of the run."""


@dataclass(frozen=True)
class Sample:
    """The machine and this process at one moment."""

    cpu_percent: float
    ram_bytes: int
    rss_bytes: int
    disk_free_bytes: int


@dataclass(frozen=True)
class Summary:
    """Of some samples."""

    count: int
    average: Sample
    largest: Sample


class Monitor:
    """Samples in a thread of its own, which touches neither files nor registry: a run may fork at any moment."""

    def __init__(self, folder: Path, period_s: float = PERIOD_S) -> None:
        self.folder, self.period_s = folder, period_s
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Idempotent; nothing where psutil is missing."""
        if self._thread is None and psutil is not None:
            psutil.cpu_percent()  # the first call has nothing to compare with
            self._end.clear()
            self._thread = threading.Thread(target=self._sample, name="forge-monitor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread, which takes one sample at most. Idempotent."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.samples.append(sample(process, self.folder))
            if self._end.wait(self.period_s):
                return

    def summary(self) -> Summary | None:
        """Averages and maxima; None: no sample."""
        return summary(list(self.samples))


def sample(process: psutil.Process, folder: Path) -> Sample:
    """One sample; processor time is that since the last one."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(folder))
    return Sample(psutil.cpu_percent(), memory.total - memory.available, process.memory_info().rss, disk.free)


def summary(samples: Sequence[Sample]) -> Summary | None:
    """Averages and maxima of samples; of bytes whole ones."""
    if not samples:
        return None
    average = Sample(
        fmean(s.cpu_percent for s in samples),
        round(fmean(s.ram_bytes for s in samples)),
        round(fmean(s.rss_bytes for s in samples)),
        round(fmean(s.disk_free_bytes for s in samples)),
    )
    largest = Sample(
        max(s.cpu_percent for s in samples),
        max(s.ram_bytes for s in samples),
        max(s.rss_bytes for s in samples),
        max(s.disk_free_bytes for s in samples),
    )
    return Summary(len(samples), average, largest)


class HostLog:
    """Writes a run's `system/host/*`, in the thread and the process that made it, every few seconds."""

    def __init__(self, registry: Registry, run: str, monitor: Monitor, every_s: float = LOG_S) -> None:
        self._registry, self._run, self._monitor, self._every_s = registry, run, monitor, every_s
        self._owner, self._last = (os.getpid(), threading.get_ident()), time.monotonic()

    def beat(self) -> None:
        """Write where it is time; phases call this whenever they say something."""
        if time.monotonic() - self._last >= self._every_s:
            self.write()

    def write(self) -> None:
        """Write averages and maxima of what was sampled so far."""
        found = self._monitor.summary()
        if found is None or (os.getpid(), threading.get_ident()) != self._owner:
            return
        self._last = time.monotonic()
        values: dict[str, int | float] = {
            "cpu_percent": found.average.cpu_percent, "ram_bytes": found.largest.ram_bytes,
            "rss_bytes": found.average.rss_bytes, "rss_max_bytes": found.largest.rss_bytes,
            "disk_free_bytes": self._monitor.samples[-1].disk_free_bytes, "cores": os.cpu_count() or 1,
        }  # fmt: skip
        about = {"samples": found.count}
        rows = [Metric(f"system/host/{name}", value, "host", (), about) for name, value in values.items()]
        self._registry.metric(self._run, PHASE, *rows)


@contextmanager
def monitored(registry: Registry, run: str) -> Iterator[HostLog]:
    """Sample the host while a run goes on; what is sampled last is written at the end."""
    monitor = Monitor(registry.folder)
    monitor.start()
    log = HostLog(registry, run, monitor)
    try:
        yield log
    finally:
        monitor.stop()
        log.write()
