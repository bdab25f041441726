"""weights in codes + what inputs do -> int8 codes whose sums err least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rounding import WEIGHT_MOST, to_nearest

F64 = NDArray[np.float64]

FLIPS_MOST = 200
"""Codes of a neuron that are moved at most."""


def flip(exact: F64, present: NDArray[np.bool_], moment: F64) -> tuple[NDArray[np.int16], F64]:
    """Codes near `exact`, moved by one while that lowers e' H e; and what remains of it.

    exact: float64 (targets, sources) weights in codes; present: bool, pairs with a synapse, others stay 0; moment:
    float64 (sources, sources) H, the second moment of the inputs as a neuron's leak sees them; e: codes - exact.
    Returns int16 (targets, sources) within -127..127, float64 (targets,). Greedy, the best code of each neuron first.
    """
    code = np.clip(to_nearest(exact), -WEIGHT_MOST, WEIGHT_MOST).astype(np.float64)
    error = code - exact
    slope = error @ moment  # half the gradient
    own = np.diag(moment)
    for _ in range(FLIPS_MOST):
        move = -np.sign(slope)
        gain = np.where(present & (np.abs(code + move) <= WEIGHT_MOST), own - 2 * np.abs(slope), 0)
        at = np.argmin(gain, axis=1)
        rows = np.flatnonzero(gain[np.arange(len(gain)), at] < -1e-12)
        if not rows.size:
            break
        columns = at[rows]
        step = move[rows, columns]
        code[rows, columns] += step
        error[rows, columns] += step
        slope[rows] += step[:, None] * moment[columns]
    return code.astype(np.int16), np.asarray(np.einsum("ij,ij->i", slope, error))
