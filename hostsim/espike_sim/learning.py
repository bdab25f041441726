"""learning rule of a projection: FEAGI's windowed plasticity (docs/numbers.md, Learning)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import EspikeError

WINDOW_MOST = 1024
DELAY_MOST = 1024


@dataclass(frozen=True)
class Learning:
    """How the weights of a projection move after each burst, in weight units (int8: codes).

    Over the last `window` bursts, the present one included: source and target fired in each of them: weight + ltp;
    neither fired in any: unchanged; else weight + ltd. Then the weight is cut to low..high.
    """

    window: int
    ltp: float
    ltd: float
    low: float
    high: float

    def check(self, where: str) -> None:
        """Raises: EspikeError where a number makes no sense."""
        if not 1 <= self.window <= WINDOW_MOST:
            raise EspikeError(f"a plasticity window of {self.window} bursts", where=where, do=f"use 1..{WINDOW_MOST}")
        if not self.low <= self.high:
            raise EspikeError(f"plastic weights are cut to {self.low}..{self.high}", where=where)


def check_delay(delay: int, source: int, target: int, where: str) -> None:
    """Raises: EspikeError where a delay is out of range, or 0 to an area that is not behind its source."""
    if not 0 <= delay <= DELAY_MOST:
        raise EspikeError(f"a delay of {delay} bursts", where=where, do=f"use 0..{DELAY_MOST}")
    if delay == 0 and target <= source:
        raise EspikeError(
            "delay 0 leads back", where=where, do="give it a delay of 1, or put the target area behind the source area"
        )


def learning_from_meta(meta: Any) -> Learning | None:
    """The rule that `vars` described, None where there is none. Raises: KeyError, TypeError, ValueError."""
    if meta is None:
        return None
    numbers = [meta[name] for name in ("ltp", "ltd", "low", "high")]
    if not all(type(number) in (int, float) for number in numbers):
        raise ValueError("learning holds what is no number")
    return Learning(int(meta["window"]), *numbers)
