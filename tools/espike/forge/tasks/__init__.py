"""name or path -> suite: tasks that a network is trained on and measured by (docs/forge.md, Tasks)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from espike_sim.errors import EspikeError

from .code import coded, is_code
from .draws import Draws
from .drivers import devices
from .episodes import Episodes, answered_episodes, run_episodes
from .files import digits, gestures, import_recordings, recorded, split_digits
from .levels import graded
from .signals import generated
from .tasks import PARTS, Plant, Quality, Suite, Task, join, quality

SUITES: dict[str, Callable[[], Suite]] = {
    "graded": graded, "devices": devices, "digits": digits, "gestures": gestures, "split-digits": split_digits,
}  # fmt: skip


def suites() -> dict[str, Suite]:
    """All suites that come with espike, by name."""
    return {name: make() for name, make in SUITES.items()}


def suite(name_or_path: str) -> Suite:
    """A suite by its name, of the recordings in a file or folder, or of the user's code. Raises: EspikeError."""
    if name_or_path in SUITES:
        return SUITES[name_or_path]()
    path = Path(name_or_path)
    if not path.exists():
        do = "use " + ", ".join(SUITES) + ", recordings, or a Python file or folder"
        raise EspikeError(f"suite {name_or_path!r} is unknown", do=do)
    return coded(path) if is_code(path) else recorded(path)


__all__ = [
    "PARTS", "Draws", "Episodes", "Plant", "Quality", "Suite", "Task", "answered_episodes", "generated",
    "import_recordings", "join", "quality", "run_episodes", "suite", "suites",
]  # fmt: skip
