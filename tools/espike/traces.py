"""seeds and recordings -> an hour of frames: the traces that the segment figures are measured on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import stimulus as stimuli
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView

from . import network
from .image import pack
from .toolchain import ROOT

F32 = NDArray[np.float32]
Progress = Callable[[int, int], None]

NAMES = ("telemetry", "imu")
GENOME = ROOT / "examples" / "genomes" / "reservoir.json"
BURSTS_PER_S = 25
IMU_HZ = 10
IMU_BUNDLE = 256
"""Samples of each channel in a frame."""
BASIC_MOTIONS = ROOT.parent / "shared" / "data" / "nir" / "np_basicmotions_lif_zero.npz"


@dataclass(frozen=True)
class Trace:
    """Frames over time: float32 (frames, tensor_len), and how they should be grouped."""

    frames: F32
    group_len: int
    meta: dict[str, Any] = field(default_factory=dict)


def make(name: str, seconds: int = 3600, progress: Progress | None = None) -> Trace:
    """The trace of a name. Raises: EspikeError where what it is made of is not on this machine."""
    return _telemetry(seconds, progress) if name == "telemetry" else _imu(seconds)


def available(name: str) -> bool:
    """Can the trace be made on this machine?"""
    return name == "telemetry" or _imu_source() is not None


def bundle(frames: F32, count: int) -> F32:
    """`count` frames in one, the last ones dropped where they do not fill it: small frames waste bits and scales."""
    whole = len(frames) // count * count
    return np.ascontiguousarray(frames[:whole].reshape(-1, count * frames.shape[1]))


def _telemetry(seconds: int, progress: Progress | None) -> Trace:
    """Potentials (codes) of every neuron of the example reservoir, a frame per burst; input comes and goes."""
    quantized = network.load_quantized(GENOME, network.Options(None, 0, False, True, False))
    bursts = seconds * BURSTS_PER_S
    host = Host(ImageView(pack(quantized).data))
    host.reset(track_potentials=False)
    try:
        out = np.empty((bursts, quantized.neurons), np.float32)
    except MemoryError:
        raise EspikeError(f"{seconds} s of frames do not fit memory", do="ask for fewer") from None
    inputs = stimuli.find_areas("input", quantized)
    chunk = 60 * BURSTS_PER_S
    for first in range(1, bursts + 1, chunk):
        rate = (0.01, 0.05, 0.2)[first // chunk % 3]  # a minute each
        count = min(chunk, bursts + 1 - first)
        parts = [stimuli.poisson(area, rate, 1.0, count, seed=7, first_burst=first) for area in inputs]
        coded = stimuli.code(stimuli.merge(parts), quantized)
        for burst in range(first, first + count):
            host.run(1, coded.between(burst, burst))
            out[burst - 1] = host.potentials()
        if progress is not None:
            progress(first + count - 1, bursts)
    about = f"potentials of {GENOME.name}, {BURSTS_PER_S} bursts/s, input rate 0.01, 0.05, 0.2 by the minute"
    return Trace(out, 64, {"about": about, "seconds": seconds, "network": quantized.hash})


def _imu_source() -> Path | None:
    """Where real recordings lie: beside the project, or in an installed seglearn."""
    if BASIC_MOTIONS.exists():
        return BASIC_MOTIONS
    found = importlib.util.find_spec("seglearn")
    folders = found.submodule_search_locations or [] if found is not None else []
    places = [Path(folder) / "data" / "watch_dataset.npy" for folder in folders]
    return next((place for place in places if place.exists()), None)


def _imu(seconds: int) -> Trace:
    """Accelerometer and gyroscope, six channels: recordings one after the other, again and again, each time with a gain
    of 0.9..1.1 per channel, an offset that wanders by 0.1 % of the channel's deviation per sample step of 10 s, and
    noise of 1 % of it; a frame is IMU_BUNDLE samples, channel by channel.
    """
    source = _imu_source()
    if source is None:
        raise EspikeError("no IMU recordings on this machine", do="run: pip install --no-deps seglearn")
    recorded = _recordings(source)
    random = np.random.default_rng(11)
    deviation = np.concatenate(recorded).std(axis=0)
    pieces: list[NDArray[np.float64]] = []
    offset = np.zeros(recorded[0].shape[1])
    have, need = 0, seconds * IMU_HZ
    while have < need:
        for piece in recorded:
            gain = random.uniform(0.9, 1.1, piece.shape[1])
            offset += 0.001 * deviation * random.standard_normal(piece.shape[1]) * len(piece) / 100
            noise = 0.01 * deviation * random.standard_normal(piece.shape)
            pieces.append(piece * gain + offset + noise)
            have += len(piece)
    samples = np.concatenate(pieces)[:need].astype(np.float32)
    whole = len(samples) // IMU_BUNDLE * IMU_BUNDLE
    if not whole:
        raise EspikeError(f"{seconds} s fill no frame", do=f"ask for {IMU_BUNDLE // IMU_HZ + 1} s or more")
    frames = samples[:whole].reshape(-1, IMU_BUNDLE, samples.shape[1]).transpose(0, 2, 1)
    about = f"{source.name}, repeated with gain 0.9..1.1, wandering offset, 1 % noise; {IMU_BUNDLE} samples a frame"
    meta = {"about": about, "seconds": seconds, "hz": IMU_HZ, "channels": samples.shape[1]}
    return Trace(np.ascontiguousarray(frames.reshape(len(frames), -1)), IMU_BUNDLE, meta)


def _recordings(source: Path) -> list[NDArray[np.float64]]:
    """Recordings float64 (samples, 6)."""
    if source.suffix == ".npz":
        with np.load(source) as file:
            return [sample.T.astype(np.float64) for sample in file["raw"]]
    watch = np.load(source, allow_pickle=True).item()  # seglearn keeps a dict of object arrays: its own file, not input
    return [np.asarray(x, np.float64)[::5, :6] for x in watch["X"]]  # 50 Hz -> 10 Hz
