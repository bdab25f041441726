"""frames -> scales and codes of segments: a slow writer of docs/segment.md, Quantizing, in numpy scalars."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
f32 = np.float32
HALVES = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
"""Every finite binary16 from 0 up."""
LARGEST = np.finfo(np.float32).max
SMALLEST = np.finfo(np.float32).smallest_normal


@dataclass
class Coded:
    """A segment before it is bytes. limits: what each group takes."""

    bits: int
    scales: list[np.float32]
    limits: list[np.float32]
    lowest: np.float32
    float_scales: bool
    rows: list[list[int]] = field(default_factory=list)
    asked: int = 0

    def version_1(self, group_len: int) -> bytes:
        """The bytes of version 1."""
        tensor_len = len(self.rows[0])
        head = struct.pack("<4sBBIIII", b"TQTC", 1, self.bits, group_len, tensor_len, len(self.rows), len(self.scales))
        size = (tensor_len * self.bits + 7) // 8
        data = b"".join(
            sum(code << i * self.bits for i, code in enumerate(row)).to_bytes(size, "little") for row in self.rows
        )
        scales = np.array(self.scales, np.float32).astype("<f2").tobytes()
        return head + scales + struct.pack("<I", len(data)) + data


class Refused(Exception):
    """Version 1 cannot hold a group's scale."""


def to_half(scale: np.float32, up: bool) -> np.float32:
    """The next positive binary16 at or above, or the nearest (ties away from zero); infinite where there is none."""
    at = int(np.searchsorted(HALVES, scale))
    above = HALVES[at] if at < len(HALVES) else f32(65536)
    if up:
        found = max(above, HALVES[1])
    else:
        below = HALVES[at - 1] if at else above
        found = above if float(above) - float(scale) <= float(scale) - float(below) else below
    return f32(np.inf) if found == 65536 else found


class SlowWriter:
    """One stream under a policy; `closed` are the segments that ended."""

    def __init__(self, tensor_len: int, policy: Any, most_frames: int = 1 << 62) -> None:
        self.policy, self.most_frames = policy, most_frames
        self.starts = list(range(0, tensor_len, policy.group_len))
        self.open: Coded | None = None
        self.carried: list[np.float32] | None = None
        self.closed: list[Coded] = []

    def push(self, frame: F32, tier: int = 2) -> None:
        """Add a frame. Raises: Refused."""
        with np.errstate(all="ignore"):
            values = np.where(np.isfinite(frame), frame, f32(0))
            maxima = [f32(np.max(np.abs(part))) for part in np.split(values, self.starts[1:])]
            if self.open is not None and not self._takes(self.open, maxima, tier):
                self.carried = self.open.limits
                self.closed.append(self.open)
                self.open = None
            if self.open is None:
                carried, self.carried = self.carried, None
                self.open = self._begin(maxima, tier, carried)
            self.open.rows.append(self._codes(self.open, values))

    def flush(self) -> None:
        """End the open segment."""
        if self.open is not None:
            self.closed.append(self.open)
        self.open = self.carried = None

    def _takes(self, now: Coded, maxima: list[np.float32], tier: int) -> bool:
        policy = self.policy
        if policy.bits[tier] != now.bits or len(now.rows) == self.most_frames:
            return False
        rises = any(most > limit for most, limit in zip(maxima, now.limits, strict=True))
        asks = rises or 0 < max(maxima) < now.lowest
        if (rises and policy.headroom) or (asks and now.asked + 1 >= policy.hysteresis_frames):
            return False
        now.asked = now.asked + 1 if asks else 0
        return True

    def _begin(self, maxima: list[np.float32], tier: int, carried: list[np.float32] | None) -> Coded:
        policy = self.policy
        bits = policy.bits[tier]
        qmax = f32((1 << bits - 1) - 1)
        factor = f32(1) + f32(policy.drift_q8[tier]) / f32(256)
        if policy.headroom and carried is not None:
            most = max(maxima) * f32(1.375 if factor * f32(1.375) * f32(policy.low_q8) < 255 else 1)
            held = [min(limit / factor * f32(63 / 64), most) for limit in carried]
            maxima = [max(pair) for pair in zip(maxima, held, strict=True)]

        wanted = [most / qmax * factor if policy.headroom else most / qmax for most in maxima]
        scales = [to_half(s, policy.headroom) if m > 0 else f32(0) for s, m in zip(wanted, maxima, strict=True)]
        floats = not all(self._holds(s, qmax, m) for s, m in zip(scales, maxima, strict=True) if m > 0)
        if floats and policy.version == 1:
            raise Refused
        if floats:
            top = np.nextafter(LARGEST / qmax, f32(0))
            scales = [min(max(s, SMALLEST), top) if m > 0 else f32(0) for s, m in zip(wanted, maxima, strict=True)]
        largest = max(scales)
        if policy.headroom:
            scales = [scale if scale > 0 else largest for scale in scales]
            limits = [max(scale * qmax, most) for scale, most in zip(scales, maxima, strict=True)]
        else:
            limits = [scale * qmax * factor for scale in scales]
        return Coded(bits, scales, limits, largest * qmax * (f32(policy.low_q8) / f32(256)), floats)

    def _holds(self, scale: np.float32, qmax: np.float32, most: np.float32) -> bool:
        low = f32(self.policy.low_q8) / f32(256)
        return bool(np.isfinite(scale)) and (not self.policy.headroom or bool(scale * qmax * low <= most))

    def _codes(self, now: Coded, values: F32) -> list[int]:
        qmax = (1 << now.bits - 1) - 1
        scale = np.array(now.scales, np.float32)[np.arange(len(values)) // self.policy.group_len]
        inverse = np.where(scale > 0, f32(1) / scale, f32(0)).astype(np.float32)
        steps = np.minimum(np.trunc(np.abs(values) * inverse + f32(0.5)), f32(qmax)).astype(np.int64)
        return [int(code) for code in np.where(values < 0, qmax - steps, qmax + steps)]
