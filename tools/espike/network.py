"""a path that a person gives -> connectome, quantized connectome or image: whatever stage the file is."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import connectome as connectome_file
from espike_sim import npzfile
from espike_sim import quantized as quantized_file
from espike_sim.connectome import Area, Connectome, area_from_meta
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import NUMBER_TYPES, QuantizedConnectome
from espike_sim.senses import Senses, senses_from_meta

from . import genome as genomes
from . import presentations, selftest, train
from .calibration import Calibration, calibrate
from .image import Packed
from .quantize import quantize

QUANTIZED_SUFFIX = ".quantized.npz"

Progress = Callable[[int, int, str], None]
"""(done, all, what)"""
CALIBRATE_SHARE = 0.33


@dataclass(frozen=True)
class Options:
    """How a genome or connectome becomes a quantized connectome; a later stage keeps what it was made with."""

    precision: str | None = None
    seed: int = 0
    extended: bool = False
    strict: bool = True
    every_neuron: bool = False
    bits: str | None = None
    """Bits of int8 weights into areas with neuron models: `4`, or `hidden=4,out=8`."""
    calibrate: Path | None = None
    """Data that int8 is fitted to."""
    calibrate_share: float = CALIBRATE_SHARE
    """Of its presentations, how many are run for that."""
    progress: Progress | None = field(default=None, compare=False)
    calibrating: Progress | None = field(default=None, compare=False)


def kind_of(path: Path) -> str:
    """What a file holds, by its first bytes: genome, connectome, quantized-connectome or image."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None
    if head == b"ESPK":
        return "image"
    if head[:2] != b"PK":
        return "genome"
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(bytes(file["meta"]))
        return str(meta["format"])
    except Exception:
        raise EspikeError("is no npz file of espike", where=str(path), do="make it with: espike grow") from None


def check_options(path: Path, kind: str, options: Options) -> None:
    """Raises: EspikeError where an option asks for something that was settled when the file was made."""
    if kind != "genome" and (options.seed or options.extended or options.every_neuron):
        what = f"is a file of a later stage ({kind}): --seed, --extended and --every-neuron are for genomes"
        raise EspikeError(what, where=str(path), do="give the genome")
    if kind in ("image", quantized_file.FORMAT) and (options.bits is not None or options.calibrate is not None):
        what = f"is quantized already ({kind}): --bits and --calibrate are for connectomes"
        raise EspikeError(what, where=str(path), do="give the connectome")


def load_connectome(path: Path, options: Options) -> Connectome:
    """A genome grown, or a connectome file read. Raises: EspikeError saying what is wrong with it."""
    kind = kind_of(path)
    check_options(path, kind, options)
    if kind == "genome":
        return genomes.develop(
            genomes.read(path),
            seed=options.seed,
            extended=options.extended,
            strict=options.strict,
            candidates_only=not options.every_neuron,
            progress=options.progress,
        )
    if kind != connectome_file.FORMAT:
        raise EspikeError(f"is neither genome nor connectome but of a later stage ({kind})", where=str(path))
    return connectome_file.load(path)


def load_quantized(path: Path, options: Options) -> QuantizedConnectome:
    """A genome, connectome or quantized connectome file -> quantized connectome.

    An image is taken by the quantized connectome beside it. Raises: EspikeError saying what is wrong.
    """
    kind = kind_of(path)
    check_options(path, kind, options)
    if kind in ("image", quantized_file.FORMAT):
        found = _beside(path) if kind == "image" else quantized_file.load(path)
        if options.precision not in (None, found.precision):
            raise EspikeError(
                f"is quantized to {found.precision} already", where=str(path), do="give its genome or connectome"
            )
        return found
    return quantized_of(load_connectome(path, options), options, str(path))


def quantized_of(c: Connectome, options: Options, where: str) -> QuantizedConnectome:
    """A connectome quantized as the options say. Raises: EspikeError where they do not fit it."""
    c = replace(c, precision=options.precision or c.precision)
    if options.bits is None and options.calibrate is None:
        return quantize(c)
    if c.precision != "int8":
        what = f"--bits and --calibrate are for int8, this is {c.precision}"
        raise EspikeError(what, where=where, do="give --precision int8")
    if not any(area.dynamics is not None for area in c.areas):
        what = "--bits and --calibrate are for trained networks, no area of this has a neuron model"
        raise EspikeError(what, where=where, do="leave them out")
    if options.bits is not None:
        c = replace(c, quantization=replace(c.quantization, bits=c.quantization.bits | _bits(c, options.bits)))
    return quantize(c, None, _calibration(c, options) if options.calibrate is not None else None)


def _bits(c: Connectome, text: str) -> dict[str, int]:
    reached = {m.target for index, m in enumerate(c.mappings) if c.mapping_start[index + 1] > c.mapping_start[index]}
    areas = [area.id for i, area in enumerate(c.areas) if i in reached and area.dynamics is not None]
    return train.parse_bits(text, areas)


def _calibration(c: Connectome, options: Options) -> Calibration:
    """What the network does with some of the presentations that it was trained on."""
    assert options.calibrate is not None
    given = presentations.load(options.calibrate, c, "train").part(options.calibrate_share)
    tell, count = options.calibrating, len(given)

    def step(done: int) -> None:
        if tell is not None:
            tell(done, count, "calibrating")

    return calibrate(c, given.stimuli(), given.bursts, count, step)


def precision_of(path: Path, options: Options) -> str:
    """The precision at which a file's network would run. Raises: EspikeError as `load_quantized`."""
    if kind_of(path) == "image":
        return load_image(path).precision
    return load_quantized(path, replace(options, bits=None, calibrate=None)).precision


def _beside(path: Path) -> QuantizedConnectome:
    view = load_image(path)
    beside = quantized_path(path)
    if not beside.exists():
        raise EspikeError(
            f"{beside.name} is missing beside the image", where=str(path), do="give the genome, or pack it again"
        )
    found = quantized_file.load(beside)
    if found.hash != view.network_hash:
        raise EspikeError(f"is not the network of {path.name}", where=str(beside), do="pack it again")
    return found


def quantized_path(image: Path) -> Path:
    """Where `pack` puts the quantized connectome of an image."""
    return image.with_name(image.name.removesuffix(".spk") + QUANTIZED_SUFFIX)


def load_image(path: Path) -> ImageView:
    """Read and check an image file. Raises: EspikeError with the byte offset of what is wrong."""
    try:
        return ImageView(path.read_bytes(), str(path))
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None


def image_bytes(path: Path, options: Options) -> bytes:
    """An image file's image, or what anything else packs into. Raises: EspikeError."""
    if kind_of(path) != "image":
        return packed_view(load_quantized(path, options))[0].data
    check_options(path, "image", options)
    return path.read_bytes()[: load_image(path).total_bytes]


def image_path(path: Path) -> Path:
    """The image that a network file is packed into by default: its own name with the suffix .spk."""
    for suffix in (QUANTIZED_SUFFIX, ".npz", ".json", ".spk"):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + ".spk")
    return path.with_name(path.name + ".spk")


def write_packed(packed: Packed, quantized: QuantizedConnectome, path: Path) -> Path:
    """Write an image and the quantized connectome beside it -> path of the latter.

    The image is written first, under another name, and takes its own last. Raises: EspikeError where either fails.
    """
    beside = quantized_path(path)
    waiting = path.with_name(f".{path.name}.new")
    if path.is_dir():
        raise EspikeError("is a folder", where=str(path))
    try:
        npzfile.write_atomic(waiting, packed.data)
        quantized_file.save(quantized, beside)
        waiting.replace(path)
    except OSError as error:
        raise EspikeError(f"cannot write: {error.strerror}", where=str(path)) from None
    except EspikeError as error:
        raise EspikeError(error.what, where=str(path)) from None
    finally:
        waiting.unlink(missing_ok=True)
    return beside


@dataclass(frozen=True)
class Network:
    """What an image says of itself: enough to make a stimulus for it and to name its neurons."""

    precision: str
    areas: tuple[Area, ...]
    scale_of_neuron: NDArray[np.float64]  # (neurons,)
    stimulus_limit: NDArray[Any]  # (areas,)
    senses: Senses | None = None
    """How it is presented samples."""

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""
        return sum(area.count for area in self.areas)

    @cached_property
    def area_of_neuron(self) -> NDArray[np.int32]:
        """int32 (neurons,): area index."""
        return np.repeat(np.arange(len(self.areas), dtype=np.int32), [area.count for area in self.areas])


def describe(areas: tuple[Area, ...], neuron: int) -> str:
    """A neuron as area and coordinates."""
    for area in areas:
        if area.first <= neuron < area.first + area.count:
            x, y, z, k = area.coordinates(neuron)
            return f"{area.id} ({x}, {y}, {z})" + (f" neuron {k}" if area.neurons_per_voxel > 1 else "")
    return f"neuron {neuron}"


def read_network(meta: bytes, precision: str, where: str) -> Network:
    """The network that an image's meta describes. Raises: EspikeError where it is not espike's."""
    try:
        values = json.loads(meta)
        areas = tuple(area_from_meta(area, where) for area in values["areas"])
        scale = np.array(values["scale"], np.float64)
        limit = np.array(values["stimulus_limit"], NUMBER_TYPES[precision].input)
        if not len(areas) == len(scale) == len(limit):
            raise ValueError
        counts = [area.count for area in areas]
        scale = np.repeat(scale, counts)
        if "neuron_scale" in values:
            scale = np.frombuffer(zlib.decompress(base64.b64decode(values["neuron_scale"])), "<f4").astype(np.float64)
        if len(scale) != sum(counts):
            raise ValueError
        senses = senses_from_meta(values.get("senses"), where)
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error):
        raise EspikeError("the image's meta is not espike's", where=where, do="pack it again") from None
    return Network(precision, areas, scale, limit, senses)


def packed_view(quantized: QuantizedConnectome, optimize: str = "size") -> tuple[Packed, ImageView]:
    """A quantized connectome as image bytes, and their checked view; optimize: what row codecs are chosen by."""
    packed = selftest.pack(quantized, optimize=optimize)
    return packed, ImageView(packed.data)
