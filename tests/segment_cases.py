"""awkward streams -> one file for every build of the segment codec; what the host makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.core import lib
from espike_sim.segment import Policy, ScaleError, Segment, Writer

F32 = NDArray[np.float32]
ALWAYS_WARM = {"hot_min_score": (1 << 32) - 1, "warm_min_score": 0}
BUFFER_FRAMES, BUFFER_BYTES = 256, 256 << 10
"""Of wasm/ttc.h."""


@dataclass(frozen=True)
class Case:
    """A stream: frame i is pushed at now = i, and touched before every `touch_every` frames."""

    frames: F32
    policy: Policy = field(default_factory=lambda: warm(8))
    touch_every: int = 0

    @property
    def capacity(self) -> int:
        """Bytes of the segment buffer, as wasm/ttc.c chooses them."""
        one, most = (
            int(lib.spk_segment_buffer_bytes(self.policy._struct(), 0, self.frames.shape[1], frames))
            for frames in (1, BUFFER_FRAMES)
        )
        return max(one, min(most, BUFFER_BYTES))

    @property
    def data(self) -> bytes:
        """The case as tests/c/segment_paths.c and tests/wasm/agree.mjs read it."""
        p, (count, length) = self.policy, self.frames.shape
        head = [p.version, p.bits[1], p.group_len, p.headroom, p.low_q8, p.drift_q8[0], p.hysteresis_frames]
        head += [p.block_frames, p.hot_min_score, p.warm_min_score, self.touch_every, self.capacity, length, count]
        return np.array(head, "<u4").tobytes() + self.frames.astype("<f4").tobytes()


@dataclass(frozen=True)
class Answer:
    """What a build made of a case: frames refused, segments, their values as bits."""

    refused: int
    segments: list[bytes]
    values: list[bytes]


def warm(bits: int, **fields: Any) -> Policy:
    """A policy under which every stream is warm, of one width."""
    return Policy(**({"bits": (8, bits, 3)} | ALWAYS_WARM | fields))


def host(case: Case) -> Answer:
    """The case by the C core on this machine."""
    writer = Writer(case.frames.shape[1], case.policy, capacity=case.capacity)
    segments: list[bytes | None] = []
    refused = 0
    for now, frame in enumerate(case.frames):
        if case.touch_every and now % case.touch_every == 0:
            writer.touch(now)
        try:
            segments.append(writer.push(frame, now))
        except ScaleError as error:
            segments.append(error.closed)
            refused += 1
    segments.append(writer.flush())
    made = [segment for segment in segments if segment is not None]
    return Answer(refused, made, [Segment(segment).decode().tobytes() for segment in made])


def pack(frames: F32, policy: Policy) -> bytes:
    """Frames that one segment takes -> it."""
    writer = Writer(frames.shape[1], policy)
    assert all(writer.push(frame) is None for frame in frames)
    return writer.flush() or b""


def write(cases: Sequence[Case], path: Path) -> Path:
    """Cases as a file."""
    path.write_bytes(b"".join(case.data for case in cases))
    return path


def read(path: Path) -> list[Answer]:
    """Answers from a file: refused, count of segments; of each its bytes and values behind their lengths in bytes."""
    data, at, answers = path.read_bytes(), 0, []

    def word() -> int:
        nonlocal at
        at += 4
        return int.from_bytes(data[at - 4 : at], "little")

    def part() -> bytes:
        nonlocal at
        count = word()
        at += count
        return data[at - count : at]

    while at < len(data):
        refused, count = word(), word()
        pairs = [(part(), part()) for _ in range(count)]
        answers.append(Answer(refused, [a for a, _ in pairs], [b for _, b in pairs]))
    return answers


def _awkward(rng: np.random.Generator, count: int, length: int) -> F32:
    """NaN, infinities, the smallest and largest numbers, zeros of either sign, among ordinary ones."""
    frames = rng.normal(size=(count, length)).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, 6e-8, 1e-5, 65504, 3e4, -1e6, 3.4e38], np.float32)
    where = rng.random(frames.shape) < 0.05
    frames[where] = rng.choice(odd, int(where.sum()))
    return frames


def cases() -> list[Case]:
    """Every width in both versions over every kind of stream."""
    rng = np.random.default_rng(20)
    made: list[Case] = []
    for length, count in ((1, 40), (7, 30), (64, 20), (65, 20), (512, 300), (1000, 40)):
        noise = rng.normal(size=(count, length)).astype(np.float32)
        drift = noise * np.exp(np.linspace(-3, 3, count))[:, None].astype(np.float32)
        sine = np.sin(np.arange(count)[:, None] / 9 + np.arange(length) / 5).astype(np.float32)
        for version in (1, 2):
            for bits in (3, 5, 7, 8):
                for frames in (noise, drift, sine, _awkward(rng, count, length)):
                    if length < 512 or frames is not noise or version == 1:
                        made.append(Case(frames, warm(bits, version=version)))
    noise = rng.normal(size=(60, 130)).astype(np.float32)
    loud = noise * np.float32(1e6)
    for version in (1, 2):
        made += [
            Case(noise, warm(8, version=version, group_len=group_len)) for group_len in (1, 3, 8, 31, 32, 33, 130, 4000)
        ]
        made += [Case(noise, warm(5, version=version, headroom=False, low_q8=0)), Case(loud, warm(7, version=version))]
        made.append(
            Case(_awkward(rng, 80, 200), warm(8, version=version, headroom=False, low_q8=0, hysteresis_frames=3))
        )
        made.append(Case(noise, warm(3, version=version, drift_q8=(150, 150, 150), low_q8=64, block_frames=7)))
        made.append(Case(noise, Policy(version=version), touch_every=17))
        made.append(Case(np.zeros((9, 33), np.float32), warm(8, version=version)))
    return made
