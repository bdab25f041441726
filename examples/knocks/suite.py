"""Knocks, as an accelerometer feels them: 40 samples of one channel, 0..255."""

from espike.forge.tasks import Suite


def suite() -> Suite:
    """What all tasks share; each other file here has a task."""
    return Suite(
        name="knocks",
        about="knocks: on what, and in which rhythm",
        channels=1,
        samples=40,
        unit=1.0,
        labels=("cushion", "wood", "glass", "even", "faster"),
        encoders=("level:40,80,120,160", "delta:24"),
        bursts=1,
        settle=4,
        tasks=(),
    )
