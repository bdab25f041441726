"""name or path -> suite: tasks that a network is trained on and measured by (docs/forge.md, Tasks)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from espike_sim.errors import EspikeError

from .drivers import devices
from .episodes import Episodes, answered_episodes, run_episodes
from .files import digits, gestures, import_recordings, recorded, split_digits
from .levels import graded
from .tasks import PARTS, Plant, Quality, Suite, Task, join, quality

SUITES: dict[str, Callable[[], Suite]] = {
    "graded": graded, "devices": devices, "digits": digits, "gestures": gestures, "split-digits": split_digits,
}  # fmt: skip


def suites() -> dict[str, Suite]:
    """All suites that come with espike, by name."""
    return {name: make() for name, make in SUITES.items()}


def suite(name_or_path: str) -> Suite:
    """A suite by its name, or of the recordings in a file or folder. Raises: EspikeError where there is none."""
    if name_or_path in SUITES:
        return SUITES[name_or_path]()
    path = Path(name_or_path)
    if not path.exists():
        do = "use " + ", ".join(SUITES) + ", or a file or folder of recordings"
        raise EspikeError(f"suite {name_or_path!r} is unknown", do=do)
    return recorded(path)


__all__ = [
    "PARTS", "Episodes", "Plant", "Quality", "Suite", "Task", "answered_episodes", "import_recordings", "join",
    "quality", "run_episodes", "suite", "suites",
]  # fmt: skip
