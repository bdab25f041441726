"""seed -> policy and frames: streams of every temper for the tests of segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.segment import WIDTHS, Kind, Policy, ScaleError, Segment, Writer

F32 = NDArray[np.float32]
TEMPERS = ("noise", "walk", "drift", "jumps", "silent", "steps", "wild", "tiny", "huge", "mixed")
ODD = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-44, 1e-38, 6e-8, 3e-5, 65504, -1e6, 3.4e38], np.float32)


def frames(rng: np.random.Generator, temper: str, count: int, length: int) -> F32:
    """float32 (count, length) of one temper."""
    noise = rng.normal(size=(count, length))
    if temper == "walk":
        noise = np.cumsum(noise, axis=0)
    elif temper == "drift":
        noise *= np.exp(np.linspace(0, rng.normal() * 4, count))[:, None]
    elif temper == "jumps":
        noise *= 10.0 ** rng.integers(-3, 4, size=(count, 1))
    elif temper == "silent":
        noise *= rng.random((count, length)) < 0.05
        noise[rng.random(count) < 0.5] = 0
    elif temper == "steps":
        noise = np.round(noise * 3) * 0.5 + 0 * noise
    elif temper == "tiny":
        noise *= 10.0 ** rng.uniform(-46, -36)
    elif temper == "huge":
        noise = np.clip(noise * 10.0 ** rng.uniform(34, 38.5), -3.4e38, 3.4e38)
    elif temper == "mixed":
        noise *= 10.0 ** rng.uniform(-7, 5, size=length)
    out = noise.astype(np.float32)
    if temper == "wild":
        where = rng.random(out.shape) < 0.1
        out[where] = rng.choice(ODD, int(where.sum()))
    return out


def group_len(rng: np.random.Generator, length: int) -> int:
    """Small, ordinary, about the length, or the largest there is."""
    choices = [1, 3, 8, 32, 33, 64, length, length + 1, max(1, length // 2), 4000, (1 << 32) - 1]
    return int(rng.choice(choices))


def policy(rng: np.random.Generator, version: int, bits: int, length: int, **fields: Any) -> Policy:
    """The defaults, with what does not touch the bound chosen at random."""
    made = {"group_len": group_len(rng, length), "block_frames": int(rng.choice([1, 2, 5, 128, 65535]))}
    return Policy(version=version, **(made | {"measure_frames": int(rng.integers(0, 3))} | fields)).fixed(bits)


def odd_policy(rng: np.random.Generator, version: int, bits: int, length: int) -> Policy:
    """Any policy at all."""
    drift = int(rng.choice([0, 1, 26, 128, 255, 1000, 65535]))
    plain = bool(rng.integers(2))
    low = 0 if plain and rng.integers(2) else int(rng.integers(0, min(256, 65000 // (256 + drift)) + 1))
    fields = {"headroom": not plain, "drift_q8": (drift,) * 3, "low_q8": low}
    return policy(rng, version, bits, length, hysteresis_frames=int(rng.choice([1, 1, 2, 5, 255])), **fields)


@dataclass(frozen=True)
class Stream:
    """A policy and the frames under it."""

    temper: str
    policy: Policy
    frames: F32


def streams(seed: int, count: int, *, length: int = 70, frames_most: int = 25, odd: bool = False) -> Iterator[Stream]:
    """Streams of both versions, every width and temper in turn, of up to so many frames of up to `length` values."""
    rng = np.random.default_rng(seed)
    choose = odd_policy if odd else policy
    for i in range(count):
        n = int(rng.choice([1, 7, 8, 31, 32, 33, 64, int(rng.integers(1, length + 1))]))
        version, bits, temper = 1 + i % 2, WIDTHS[i // 2 % 4], TEMPERS[i % len(TEMPERS)]
        if i % 40 == 13:
            n = 10 * length
        made = frames(rng, temper, int(rng.integers(1, frames_most + 1)), n)
        yield Stream(temper, choose(rng, version, bits, n), made)


def write(array: NDArray[Any], how: Policy, kind: Kind = "quantized") -> Iterator[tuple[bytes, NDArray[Any]]]:
    """Every segment of a stream with the frames it was given; frames that version 1 refuses are left out."""
    writer = Writer(array.shape[1], how, kind=kind)
    held: list[int] = []
    for i, frame in enumerate(array):
        try:
            closed = writer.push(frame)
            taken = [i]
        except ScaleError as error:
            closed, taken = error.closed, []
        if closed is not None:
            yield closed, array[held]
            held = []
        held += taken
    last = writer.flush()
    if last is not None:
        yield last, array[held]


def bounds(segment: Segment) -> NDArray[np.float64]:
    """float64 (tensor_len,): the bound of each value."""
    return segment.bounds.astype(np.float64)[np.arange(segment.tensor_len) // segment.group_len]
