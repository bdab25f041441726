"""answers -> motion -> raw samples: a cart that balances a pole, and a car that follows a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .draws import I64, Draws
from .signals import CHANNELS, SAMPLES, TOP
from .tasks import I32, Plant

MIDDLE = 128
"""The raw value of 0."""


def _sampled(values: I64, draws: Draws, noise: int) -> I32:
    """int32 (samples, channels) of (..., values), with noise on those; further channels are quiet."""
    raw = np.zeros((SAMPLES, CHANNELS), np.int64)
    count = values.shape[-1]
    raw[:, :count] = values + draws.near(noise, SAMPLES, count)
    return np.clip(raw, 0, TOP).astype(np.int32)


@dataclass
class Judged:
    """What a plant without registers counts: an answer that is one of its classes, or none, is a call that is well."""

    classes: int
    calls_ok: int = 0
    calls_failed: int = 0
    violations: int = 0
    stopped: str = ""

    def taken(self, answer: int) -> int:
        """The answer, -1 where it is none of the classes."""
        known = -1 <= answer < self.classes
        self.calls_ok, self.calls_failed = self.calls_ok + known, self.calls_failed + (not known)
        return answer if known else -1

    def close(self) -> None:
        """Nothing was started."""


# ---- cart and pole

PUSHES = (-10.0, 10.0)
"""N, of the answers left and right; none is 0."""
STAND = 200
"""Decisions that an episode takes."""
SECONDS = 0.02
"""Of a decision."""
FULL_SCALE = (2.4, 2.5, 0.21, 2.5)
"""m, m/s, rad, rad/s: a state of so much is 127 raw steps from the middle."""
GAINS = (4, 9, 7, 19)
"""Of the raw states: the LQR gains of the model in raw steps, rounded, in proportion."""
LIMITS = (2.4, 0.2095)
"""m and rad, beyond which the pole counts as fallen."""


@dataclass
class CartPole(Judged):
    """A pole on a cart (Barto, Sutton and Anderson, IEEE Trans. SMC 13, 1983), sine and cosine by their first terms.

    Sums, products and quotients of doubles alone: the same on every machine.
    """

    classes: int = 2
    seed: int = 0
    state: tuple[float, ...] = ()  # position m, speed m/s, angle rad, rate rad/s
    stood: int = 0

    def __post_init__(self) -> None:
        self.draws = Draws("cart-pole", self.seed)
        spread = (0.6, 0.4, 0.08, 0.4)
        self.state = tuple(
            s * v / 1000 for s, v in zip(spread, (self.draws.below(2001, 4) - 1000).tolist(), strict=True)
        )

    @property
    def done(self) -> bool:
        """Fallen, or stood for long enough?"""
        return self.stood >= STAND or self._fallen()

    @property
    def solved(self) -> bool:
        """Did it stand for STAND decisions?"""
        return self.stood >= STAND

    def score(self) -> float:
        """The share of STAND decisions that it stood."""
        return self.stood / STAND

    def _fallen(self) -> bool:
        return abs(self.state[0]) > LIMITS[0] or abs(self.state[2]) > LIMITS[1]

    def sense(self) -> I32:
        """The four states on channels 0..3, as they stand, for all samples."""
        raw = [MIDDLE + int(127 * value / full) for value, full in zip(self.state, FULL_SCALE, strict=True)]
        return _sampled(np.array(raw, np.int64), self.draws, 2)

    def act(self, answer: int) -> None:
        """0: push left, 1: right, -1: do not push."""
        answer = self.taken(answer)
        self.state = _moved(self.state, PUSHES[answer] if answer >= 0 else 0.0)
        self.stood += not self._fallen()


def _moved(state: tuple[float, ...], force: float) -> tuple[float, ...]:
    """A decision later, by one Euler step: cart of 1 kg, pole of 0.1 kg whose middle is 0.5 m up, 9.8 m/s^2."""
    x, speed, angle, rate = state
    square = angle * angle
    sine, cosine = angle * (1 - square / 6), 1 - square / 2 + square * square / 24
    push = (force + 0.05 * rate * rate * sine) / 1.1
    turning = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine * cosine / 1.1))
    moving = push - 0.05 * turning * cosine / 1.1
    return x + SECONDS * speed, speed + SECONDS * moving, angle + SECONDS * rate, rate + SECONDS * turning


def balance(raw: I32) -> int:
    """The teacher: right where the weighed states are above 0."""
    means = raw[:, :4].astype(np.int64).sum(axis=0) - MIDDLE * SAMPLES
    return int(means @ np.array(GAINS) > 0)


# ---- a car on a line

SENSORS_MM = (-30, -15, 0, 15, 30)
REACH_MM = 22
"""A sensor sees a line nearer than this, the brighter the nearer."""
AHEAD_MM = 80
"""The sensors are so far ahead of the axle: they see where the car is heading as well."""
LANE_MM, LAP_MM = 40, 4000
NEAR_MM = 8
FORWARD_MM = 2
"""Per sample."""
TURNS = (-7, 0, 7)
"""Milliradian per sample of the answers left, straight and right; none goes straight."""
BEND_MOST = 150
"""Milliradian per 100 mm, of a track's bends to either side."""


@dataclass
class LineCar(Judged):
    """A car on a line of bends, in coordinates of the line and in integers; it begins near it."""

    classes: int = 3
    seed: int = 0
    side: int = 0  # 1/1000 mm, to the right of the line
    heading: int = 0  # milliradian, to the right of it
    gone: int = 0  # mm
    turn: int = 0  # milliradian per sample
    bends: list[int] = field(default_factory=list)  # milliradian per 100 mm, to the right

    def __post_init__(self) -> None:
        self.draws = Draws("line", self.seed)
        self.bends = np.repeat(self.draws.near(BEND_MOST, LAP_MM // 200), 2).tolist()
        self.side, self.heading = (int(v) for v in (1000 * self.draws.near(12, 1)[0], self.draws.near(80, 1)[0]))

    @property
    def done(self) -> bool:
        """Off the lane, or round?"""
        return self.gone >= LAP_MM or self._lost()

    @property
    def solved(self) -> bool:
        """Did it finish the lap within the lane?"""
        return self.gone >= LAP_MM and not self._lost()

    def score(self) -> float:
        """The share of the lap that it went."""
        return min(1.0, self.gone / LAP_MM)

    def _lost(self) -> bool:
        return abs(self.side) > 1000 * LANE_MM

    def sense(self) -> I32:
        """The five reflectance sensors, left to right, on channels 0..4, while it drives on."""
        sides = np.zeros((SAMPLES, 1), np.int64)
        for sample in range(SAMPLES):
            if not self.done:
                bend = self.bends[self.gone // 100 % len(self.bends)]
                before, self.gone = self.gone, self.gone + FORWARD_MM
                turned = bend * self.gone // 100 - bend * before // 100
                self.heading += self.turn - turned
                self.side += self.heading * FORWARD_MM
            sides[sample] = self.side + AHEAD_MM * self.heading
        away = np.abs(sides + 1000 * np.array(SENSORS_MM))
        return _sampled(np.maximum(0, 240 - 240 * away // (1000 * REACH_MM)), self.draws, 6)

    def act(self, answer: int) -> None:
        """0: left, 1: straight, 2: right, -1: straight."""
        answer = self.taken(answer)
        self.turn = TURNS[answer] if answer >= 0 else 0


def steer(raw: I32) -> int:
    """The teacher: towards the line, by the centre of light of the last five samples; straight near it."""
    light = raw[-5:, : len(SENSORS_MM)].astype(np.int64).sum(axis=0)
    light = np.maximum(0, light - light.max() // 5)
    line_mm = int(light @ np.array(SENSORS_MM)) // max(1, int(light.sum()))
    return 0 if line_mm < -NEAR_MM else 2 if line_mm > NEAR_MM else 1


def maker(kind: type[CartPole] | type[LineCar]) -> Callable[[int], Plant]:
    """seed -> plant."""
    return lambda seed: kind(seed=seed)
