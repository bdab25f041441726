"""Knocks on a table, as an accelerometer feels them: 40 samples of one channel, 0..255."""

from espike.forge.tasks import Suite


def suite() -> Suite:
    """What all tasks share; each other file here has a task."""
    return Suite(
        name="knocks",
        about="knocks on a table: how many, and which rhythm",
        channels=1,
        samples=40,
        unit=1.0,
        labels=("one", "two", "three", "even", "faster"),
        encoders=("level:48,96,144", "delta:32"),
        bursts=1,
        settle=4,
        tasks=(),
    )
