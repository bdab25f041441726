"""the rule of a procedural wiring, as files carry it; `procedural` draws its synapses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EspikeError

LEVELS = 16
FAN_OUT_MOST = 0xFFFF


@dataclass(frozen=True)
class Generator:
    """How the synapses of all neurons of a source area are drawn; levels: LEVELS int8 codes."""

    seed: int
    fan_out: int
    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        check(self.seed, self.fan_out, self.levels)


def generator_from_meta(meta: Any, where: str) -> Generator | None:
    """What `vars` made of a generator in a file's meta; None where there is none.

    Raises: EspikeError where it is damaged.
    """
    if meta is None:
        return None
    try:
        return Generator(int(meta["seed"]), int(meta["fan_out"]), tuple(int(level) for level in meta["levels"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EspikeError(f"a generator's description is damaged ({error})", where=where) from None


def check(seed: int, fan_out: int, levels: Sequence[int]) -> None:
    """Raises: EspikeError where one of them is out of range."""
    if not (0 <= seed < 1 << 32 and 0 <= fan_out <= FAN_OUT_MOST):
        raise EspikeError(
            f"seed {seed} or fan-out {fan_out} is out of range", where="procedural synapses",
            do=f"a seed below 2^32, {FAN_OUT_MOST} synapses of a neuron at most",
        )  # fmt: skip
    if len(levels) != LEVELS or not all(-127 <= level <= 127 for level in levels):
        raise EspikeError(f"needs {LEVELS} levels in -127..127", where="procedural synapses")


@dataclass(frozen=True)
class Wiring:
    """A generator in a connectome, where weights are floats: LEVELS of them."""

    seed: int
    fan_out: int
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        check(self.seed, self.fan_out, [0] * len(self.weights))

    def coded(self, weight: NDArray[Any], code: NDArray[Any]) -> Generator | None:
        """The generator of a projection whose synapses of these weights got these codes; None where none yields them.

        A weight that no synapse has counts as 0.
        """
        values, first = np.unique(weight.astype(np.float32), return_index=True)
        codes = dict(zip(values.tolist(), code[first].tolist(), strict=True))
        levels = tuple(int(codes.get(float(np.float32(value)), 0)) for value in self.weights)
        fits = all(-127 <= level <= 127 for level in levels)
        return Generator(self.seed, self.fan_out, levels) if fits else None


def wiring_from_meta(meta: Any, where: str) -> Wiring | None:
    """What `vars` made of a wiring in a file's meta; None where there is none.

    Raises: EspikeError where it is damaged.
    """
    if meta is None:
        return None
    try:
        return Wiring(int(meta["seed"]), int(meta["fan_out"]), tuple(float(weight) for weight in meta["weights"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EspikeError(f"a wiring's description is damaged ({error})", where=where) from None
