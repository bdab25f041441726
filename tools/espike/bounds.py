"""connectome -> connectome within the ranges of its genome; what lies outside is refused, or clamped and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import RANGES, Area, Connectome
from espike_sim.errors import EspikeError


def is_core(area: Area) -> bool:
    """Is this one of the core areas, which no range is meant for?"""
    return area.group.upper() == "CORE"


def within_ranges(c: Connectome) -> tuple[Connectome, dict[str, dict[str, int]]]:
    """The connectome with thresholds in threshold_min..max and limits in the membrane's range, and counts per area.

    A threshold outside is clamped. A limit above membrane_potential_max becomes none: a potential that stays in the
    range never passes it. Core areas keep what they have. Raises: EspikeError naming area, value and range where the
    genome sets strict_bounds.
    """
    asked = c.quantization.ranges
    counts: dict[str, dict[str, int]] = {}
    if not asked:
        return c, counts
    highest, low, high = (
        asked.get(name, bound) for name, bound in zip(RANGES[1:], (np.inf, -np.inf, np.inf), strict=True)
    )
    threshold, limit = c.threshold.copy(), c.limit.copy()
    for area in c.areas:
        if is_core(area):
            continue
        part = slice(area.first, area.first + area.count)
        outside = (threshold[part] < np.float32(low)) | (threshold[part] > np.float32(high))
        beyond = np.isfinite(limit[part]) & (limit[part] > np.float32(highest))
        if c.quantization.strict_bounds:
            _refuse(area, "threshold", threshold[part][outside], f"{low:g}..{high:g}")
            _refuse(area, "limit", limit[part][beyond], f"the membrane's range, up to {highest:g}")
        counts[area.id] = {
            "thresholds_clamped": int(np.count_nonzero(outside)),
            "limits_beyond_range": int(np.count_nonzero(beyond)),
        }
        threshold[part] = np.clip(threshold[part], np.float32(low), np.float32(high))
        limit[part][beyond] = np.inf
    return replace(c, threshold=threshold, limit=limit), counts


def _refuse(area: Area, what: str, values: NDArray[np.float32], bounds: str) -> None:
    if values.size:
        raise EspikeError(
            f"{what} {values[0]:g} leaves {bounds}",
            where=f"area {area.id}",
            do="change it, or physiology.quantization.ranges, or turn strict_bounds off",
        )
