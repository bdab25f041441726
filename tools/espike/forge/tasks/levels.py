"""levels -> the suite `graded`: ten tasks of rising difficulty that one network can take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from espike.train import Examples

from . import control, signals
from .control import CartPole, LineCar, maker
from .episodes import taught
from .files import DIGITS, GESTURES, drawn, load_example, parted
from .signals import BINS, CHANNELS, SAMPLES, TOP, generated
from .tasks import I32, Plant, Suite, Task

LABELS = tuple("0123456789")
ROW_SAMPLES = 2
"""That a row of pixels lasts; then it is quiet."""
GESTURE_MOST = 2048
"""Raw steps (8 units of the recording) that become the ends of a channel."""


def _rows(raw: I32) -> I32:
    """Images of 8 x 8 pixels, 0..16, as (n, samples, channels): row by row."""
    made = np.zeros((len(raw), SAMPLES, CHANNELS), np.int32)
    rows = np.repeat(raw.reshape(-1, 8, CHANNELS) * TOP // 16, ROW_SAMPLES, axis=1)
    made[:, : rows.shape[1]] = rows
    return made


def _pieces(examples: Examples) -> Examples:
    """Recordings cut into pieces of 20 samples, channels 0..5, rescaled to 0..255."""
    series, samples, channels = examples.raw.shape
    scaled = np.clip((examples.raw + GESTURE_MOST) * (TOP + 1) // (2 * GESTURE_MOST), 0, TOP)
    pieces = scaled.reshape(series * (samples // SAMPLES), SAMPLES, channels)
    raw = np.zeros((len(pieces), SAMPLES, CHANNELS), np.int32)
    raw[:, :, :channels] = pieces
    return Examples(raw, np.repeat(examples.label, samples // SAMPLES))


def _digits(level: int) -> Task:
    parts = {part: Examples(_rows(e.raw), e.label) for part, e in parted(load_example(DIGITS)).items()}
    return Task(
        "digits-rows", level, "digits, a row of pixels after the other", tuple(range(10)), drawn("digits-rows", parts)
    )


def _gestures(level: int) -> Task:
    """Parts are cut from different recordings."""
    parts = {part: _pieces(e) for part, e in parted(load_example(GESTURES)).items()}
    return Task("gestures", level, "activities of a watch, two seconds each", tuple(range(4)), drawn("gestures", parts))


def _generated(level: int, name: str, about: str, make: signals.Make, classes: int) -> Task:
    return Task(name, level, about, tuple(range(classes)), generated(name, make, classes))


def _closed(
    level: int, name: str, about: str, make: Callable[[int], Plant], teacher: Callable[[I32], int], classes: int
) -> Task:
    answers = tuple(range(classes))
    return Task(name, level, about, answers, taught(name, make, teacher, answers), make, teacher)


def graded() -> Suite:
    """Levels 1 to 10; 8 channels, 20 samples, 0..255, answers "0".."9"."""
    tasks = (
        _generated(1, "pattern", "which of four patterns is in the noise", signals.pattern, len(signals.PATTERNS)),
        _generated(2, "sequence", "the order of two events", signals.sequence, len(signals.ORDERS)),
        _generated(3, "timing", "the time between two pulses", signals.timing, len(signals.INTERVALS)),
        _generated(4, "match", "is the probe what the cue was", signals.match, 2),
        _generated(5, "noisy", "which of eight prototypes, with noise and losses", signals.noisy, signals.PROTOTYPES),
        _digits(6),
        _gestures(7),
        Task(
            "mackey-glass", 8, "the bin of a chaotic series' coming value", tuple(range(BINS)),
            signals.mackey_glass, numbers=signals.bin_centres(),
        ),
        _closed(9, "cart-pole", "a cart balances a pole: left, right", maker(CartPole), control.balance, 2),
        _closed(10, "line", "a car follows a line: left, straight, right", maker(LineCar), control.steer, 3),
    )  # fmt: skip
    return Suite(
        name="graded",
        about="ten levels, from patterns to closed loops",
        channels=CHANNELS,
        samples=SAMPLES,
        unit=1.0,
        labels=LABELS,
        encoders=("level:96,160,208", "population:8,0,255"),
        bursts=1,
        settle=2,
        tasks=tasks,
    )
