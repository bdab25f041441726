"""frames -> figures of the segment codec: time, bytes, error; on the host, in WebAssembly, on rv32imc."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espike_sim._build import FLAGS as MODULE_FLAGS
from espike_sim.core import ffi
from espike_sim.errors import EspikeError
from espike_sim.segment import Policy, decode, encode

from .. import segment_bench, toolchain, traces, wasm
from . import instructions

F32 = NDArray[np.float32]

HERE = Path(__file__).resolve().parent
WIDTHS = (8, 7, 5, 3)
DIM, FRAMES = 512, 1000
BUNDLE = 8
"""Frames of the telemetry trace that are one frame of version 1: 173 values alone would waste bits."""


def times(folder: Path) -> dict[str, float] | None:
    """Nanoseconds of `segment.c` by name; None without a C compiler."""
    if shutil.which("cc") is None:
        return None
    program = folder / "segment"
    sources = [*toolchain.core_sources(), HERE / "segment.c"]
    include = [f"-I{toolchain.CORE / 'include'}", f"-I{toolchain.CORE / 'src'}"]
    flags = [*MODULE_FLAGS, "-D_GNU_SOURCE", *toolchain.WARNINGS, *include]
    toolchain.run(["cc", *flags, *sources, "-o", program], where="bench segment")
    lines = toolchain.run([program], where="bench segment").splitlines()
    return {name: float(number) for name, number in map(str.split, lines)}


def uniform(frames: int) -> F32:
    """Frames of 512 values in -0.99..0.99."""
    return np.random.default_rng(4).uniform(-0.99, 0.99, (frames, DIM)).astype(np.float32)


def ratio(bits: int, frames: int) -> float:
    """Raw bytes over the bytes of one version-1 segment; a single frame has groups of 256."""
    values = np.repeat(uniform(1), frames, axis=0)
    made = encode(values, Policy(group_len=256 if frames == 1 else 64), bits=bits)
    return values.nbytes / sum(map(len, made))


def walk() -> F32:
    """Channels that start at N(0, 1) and move by 0.01 * N(0, 1) a frame."""
    random = np.random.default_rng(1)
    start = random.standard_normal(DIM)
    steps = 0.01 * random.standard_normal((FRAMES - 1, DIM))
    out: F32 = (start + np.concatenate([np.zeros((1, DIM)), np.cumsum(steps, axis=0)])).astype(np.float32)
    return out


def gauss() -> F32:
    """N(0, 1), each value on its own: nothing to predict."""
    return np.random.default_rng(2).standard_normal((FRAMES, DIM)).astype(np.float32)


def spike() -> F32:
    """Leaky membranes with a noisy drive, a threshold and a reset; one channel in ten is active, the others are 0."""
    random = np.random.default_rng(3)
    active = random.random(DIM) < 0.1
    drive = random.random(DIM) * 0.1 + 0.03
    potential = np.zeros(DIM)
    out = np.empty((FRAMES, DIM), np.float32)
    for frame in out:
        noise = 0.03 * random.standard_normal(DIM)
        potential = 0.95 * potential + np.where(active, drive + noise, 0)
        frame[:] = potential
        potential[potential > 1] = 0
    return out


SETS = {"walk": walk, "gauss": gauss, "spike": spike}


def set_ratio(name: str, version: int) -> float:
    """Raw bytes over segments at 8 bits, default policy, frame by frame."""
    values = SETS[name]()
    return values.nbytes / sum(map(len, encode(values, Policy(version=version), bits=8)))


@cache
def _against_peers(name: str) -> dict[str, float]:
    """Ratio of every codec at 8 bits on a set or a trace."""
    if name in SETS:
        frames, group_len = SETS[name](), 64
    else:
        trace = _trace(name)
        if trace is None:
            return {}
        frames, group_len = trace.frames[:36_000], trace.group_len
    return {row.codec: row.ratio for row in segment_bench.compare(frames, group_len, (8,))}


def over_peer(peer: str, name: str) -> float | None:
    """Ratio of version 2 at 8 bits over a peer's in the same run; None where it is not installed.

    The peer gets codes of one scale per group for all frames, so a slightly smaller error than a stream's.
    """
    found = _against_peers(name)
    return found["segment 2"] / found[f"q + {peer}"] if f"q + {peer}" in found else None


@cache
def _trace(name: str) -> traces.Trace | None:
    return traces.make(name) if traces.available(name) else None


def _version_1(name: str) -> tuple[F32, int] | None:
    trace = _trace(name)
    if trace is None:
        return None
    return (
        (traces.bundle(trace.frames, BUNDLE), trace.group_len)
        if name == "telemetry"
        else (trace.frames, trace.group_len)
    )


def hour_ratio(name: str, bits: int) -> float | None:
    """An hour's trace in version 1, all bytes counted; None where its recordings are missing."""
    found = _version_1(name)
    if found is None:
        return None
    frames, group_len = found
    return frames.nbytes / sum(map(len, encode(frames, Policy(group_len=group_len), bits=bits)))


def hour_ratio_2(name: str, bits: int) -> float | None:
    """The same in version 2, which needs no bundles."""
    trace = _trace(name)
    if trace is None:
        return None
    made = encode(trace.frames, Policy(version=2, group_len=trace.group_len), bits=bits)
    return trace.frames.nbytes / sum(map(len, made))


def worst_error(bits: int) -> float:
    """Largest error of a frame over its largest value, over the three sets and the traces that are here."""
    sets = [(make(), 64) for make in SETS.values()]
    sets += [found for name in traces.NAMES if (found := _version_1(name)) is not None]
    told = [
        segment_bench.relative_error(frames, decode(encode(frames, Policy(group_len=group_len), bits=bits)))
        for frames, group_len in sets
    ]
    return max(told)


def wasm_bytes(*, core: bool) -> int | None:
    """Bytes of the segment module, or of the whole core's; None without clang and lld."""
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        return None
    return (wasm.core_module() if core else wasm.module()).stat().st_size


def wasm_push_us(*, simd: bool) -> float | None:
    """Microseconds of a push of 512 floats at 8 bits in node; None without node, clang or lld."""
    if any(shutil.which(program) is None for program in ("clang", "wasm-ld", "node")):
        return None
    command = ["node", wasm.SOURCE / "bench.mjs", wasm.module(simd=simd), "8", "1"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EspikeError("node could not run the module", where="bench wasm")
    return float(json.loads(done.stdout)["push_us"])


def rv32_push(folder: Path, version: int = 1) -> float:
    """Instructions per int16 value of a push at 8 bits on rv32imc: 100 frames of 512, the segment's begin included."""
    target = instructions.RV32
    sources = [*toolchain.core_sources(), HERE / "segment_push.c"]
    coding = "NULL" if version == 1 else "spk_segment_version_2()"
    program = target.compile(sources, folder / f"segment{version}_push.elf", [*target.flags, f"-DCODING={coding}"])
    return int(target.run(program).split()[0], 16) / (100 * DIM)


def state_bytes() -> int:
    """sizeof a writer on this machine."""
    return int(ffi.sizeof("spk_segment_writer_t"))
