"""image + stimulus -> fire ledger, by the C core."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core import ffi, lib
from .engine import CodedStimulus, Counters
from .errors import EspikeError
from .ledger import Ledger
from .quantized import NUMBER_TYPES

KERNELS = {
    int(lib.SPK_PRECISION_INT8): "int8",
    int(lib.SPK_PRECISION_FP16): "fp16",
    int(lib.SPK_PRECISION_FP32): "fp32",
}
_IDS_PER_CALL = 1 << 22


def _aligned(data: bytes | bytearray | memoryview) -> NDArray[np.uint64]:
    copy = np.zeros((len(data) + 7) // 8, np.uint64)
    copy.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
    return copy


META_MOST = 1 << 28
"""Bytes that meta may inflate to."""


def inflated(meta: bytes) -> bytes:
    """The JSON of meta as an image stores it: as it is, or deflated (zlib). What is neither comes back as it is."""
    if meta[:1] == b"{":
        return meta
    try:
        return zlib.decompressobj().decompress(meta, META_MOST)
    except zlib.error:
        return meta


class ImageView:
    """A checked image in memory. Raises: EspikeError with the byte offset of what is wrong."""

    def __init__(self, data: bytes | bytearray | memoryview, where: str = "image") -> None:
        self._bytes = _aligned(data)
        self._pointer = ffi.cast("const uint8_t *", self._bytes.ctypes.data)
        self.view = ffi.new("spk_image_t *")
        self._expanded: tuple[Any, ...] | None = None
        error = lib.spk_image_open(self.view, self._pointer, len(data))
        if error < 0:
            raise image_error(int(error), int(self.view.error_offset), where)

    @property
    def precision(self) -> str:
        """int8, fp16 or fp32."""
        return KERNELS[int(self.view.precision)]

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""
        return int(self.view.neuron_count)

    @property
    def synapses(self) -> int:
        """Synapses of all projections."""
        return int(self.view.synapse_count)

    @property
    def total_bytes(self) -> int:
        """Bytes of the image."""
        return int(self.view.total_bytes)

    @property
    def timestep_s(self) -> float:
        """Burst period the network was made for, 0 = none."""
        return int(self.view.timestep_us) / 1e6

    @property
    def network_hash(self) -> str:
        """SHA-256 (hex) of the quantized connectome."""
        return bytes(ffi.buffer(lib.spk_image_network_hash(self.view), 32)).hex()

    @property
    def meta(self) -> bytes:
        """The JSON for people and tools."""
        begin = int(self.view.meta_offset)
        return inflated(self._bytes.view(np.uint8)[begin : begin + int(self.view.meta_bytes)].tobytes())

    def expanded(self) -> Any:
        """The core's view of this image with its rows decoded, made once; as it lies where that cannot be."""
        if self._expanded is None:
            view, expansion = ffi.new("spk_image_t *", self.view[0]), ffi.new("spk_expansion_t *")
            memory = np.empty((int(lib.spk_expansion_bytes(view)) + 7) // 8, np.uint64)
            lib.spk_expand(view, expansion, ffi.cast("void *", memory.ctypes.data), memory.nbytes)
            self._expanded = view, expansion, memory  # the last two are what the first refers to
        return self._expanded[0]

    @property
    def ram_bytes(self) -> int:
        """Bytes of arena that an engine of this image needs, on any target."""
        return int(lib.spk_engine_ram_bytes(self.view))


def image_error(code: int, offset: int, where: str) -> EspikeError:
    """The refusal of an image as one line; code and offset as the core gave them."""
    name = ffi.string(lib.spk_error_name(code)).decode()
    advice = {
        int(lib.SPK_ERROR_VERSION): "this build reads version 1: pack the network again, or update espike",
        int(lib.SPK_ERROR_PRECISION): "pack it with another --precision",
    }
    return EspikeError(f"image refused at byte {offset}: {name}", where=where, do=advice.get(code, "pack it again"))


class Host:
    """The C core's engine in host memory (implements `engine.Engine`).

    expand: decode the rows once where that is possible, which takes 4 or 8 bytes per synapse and makes bursts faster.
    """

    name = "host"

    def __init__(self, image: ImageView, *, expand: bool = True) -> None:
        self.image = image
        self._view = image.expanded() if expand else image.view
        self.network_hash = image.network_hash
        self._engine = ffi.new("spk_engine_t *")
        self._arena = np.zeros((int(lib.spk_engine_ram_bytes(self._view)) + 7) // 8 or 1, np.uint64)
        self._value_dtype = np.dtype("<i4") if image.precision == "int8" else np.dtype("<f4")
        self.reset()

    @property
    def burst(self) -> int:
        """Number of the last burst, 0 after a reset."""
        return int(self._engine.burst)

    @property
    def engine(self) -> Any:
        """The core's engine."""
        return self._engine

    def reset(self, *, track_potentials: bool = True) -> None:
        """Back to burst 0 and zero state."""
        error = lib.spk_engine_init(
            self._engine,
            self._view,
            lib.spk_batch_kernel(self.image.view.precision),
            ffi.cast("void *", self._arena.ctypes.data),
            self._arena.nbytes,
            int(track_potentials),
        )
        if error < 0:
            raise EspikeError(f"engine refused: {ffi.string(lib.spk_error_name(error)).decode()}", where="host")

    def run(self, bursts: int, stimulus: CodedStimulus | None = None) -> Ledger:
        """Run `bursts` more bursts; many per call, without the interpreter lock."""
        first = self.burst + 1
        if stimulus is not None:
            stimulus.check_order()
        part = stimulus.between(first, first + bursts - 1) if stimulus is not None else None
        keep = self._batch(bursts, part)
        batch, start, hashes, potential_hashes = keep["batch"], keep["start"], keep["hashes"], keep["p_hashes"]
        ids: list[NDArray[np.uint32]] = []
        done = 0
        buffer = np.empty(max(self.image.neurons, min(_IDS_PER_CALL, bursts * self.image.neurons)), np.uint32)
        total = 0
        while done < bursts:
            batch.ids, batch.ids_capacity, batch.ids_count = _u32(buffer), len(buffer), 0
            batch.start = ffi.cast("int64_t *", start.ctypes.data + 8 * done)
            batch.hashes = ffi.cast("uint32_t *", hashes.ctypes.data + 8 * done)
            batch.potential_hashes = ffi.cast("uint32_t *", potential_hashes.ctypes.data + 8 * done)
            ran = int(lib.spk_batch_run(self._engine, batch, bursts - done))
            if ran < 0:
                raise self._stimulus_error(ran, part, int(batch.stimulus_next))
            start[done + 1 : done + ran + 1] += total
            start[done] = total
            total += int(batch.ids_count)
            ids.append(buffer[: int(batch.ids_count)].copy())
            done += ran
        return Ledger(
            first_burst=first,
            neurons=self.image.neurons,
            start=start,
            ids=np.concatenate(ids) if ids else np.zeros(0, np.uint32),
            hashes=hashes,
            potential_hashes=potential_hashes if self._engine.track_potentials else None,
            network_hash=self.network_hash,
        )

    def advance(self, bursts: int) -> None:
        """Run `bursts` more bursts without stimulus and without keeping a ledger."""
        hashes = np.empty((2, bursts, 2), np.uint32)
        batch = ffi.new("spk_batch_t *")
        batch.hashes, batch.potential_hashes = _u32(hashes[0]), _u32(hashes[1])
        lib.spk_batch_run(self._engine, batch, bursts)

    def _batch(self, bursts: int, part: CodedStimulus | None) -> dict[str, Any]:
        batch = ffi.new("spk_batch_t *")
        kept: dict[str, Any] = {"batch": batch}
        if part is not None and len(part.burst):
            kept["burst"] = np.ascontiguousarray(part.burst, np.int64)
            kept["neuron"] = np.ascontiguousarray(part.neuron, np.uint32)
            kept["value"] = np.ascontiguousarray(part.value.astype(self._value_dtype)).view(np.uint32)
            batch.stimulus_burst = ffi.cast("const int64_t *", kept["burst"].ctypes.data)
            batch.stimulus_neuron = _u32(kept["neuron"])
            batch.stimulus_value = _u32(kept["value"])
            batch.stimulus_count = len(kept["burst"])
        kept["start"] = np.zeros(bursts + 1, np.int64)
        kept["hashes"] = np.zeros((bursts, 2), np.uint32)
        kept["p_hashes"] = np.zeros((bursts, 2), np.uint32)
        return kept

    def _stimulus_error(self, code: int, part: CodedStimulus | None, index: int) -> EspikeError:
        text = ffi.string(lib.spk_error_name(code)).decode()
        if part is None:
            return EspikeError(text, where="host")
        entry = f"burst {part.burst[index]}, neuron {part.neuron[index]}, value {part.value[index]}"
        return EspikeError(f"stimulus refused ({entry}): {text}", where="host")

    @property
    def state_hash(self) -> tuple[int, int]:
        """Both lanes of the state hash after the last burst."""
        return int(self._engine.hash[0]), int(self._engine.hash[1])

    def potentials(self) -> NDArray[Any]:
        """int16 or float32 (neurons,): a copy of every potential after the last burst."""
        dtype = np.dtype(NUMBER_TYPES[self.image.precision].potential)
        raw = ffi.buffer(ffi.cast("uint8_t *", self._engine.potential), self.image.neurons * dtype.itemsize)
        values: NDArray[Any] = np.frombuffer(raw, dtype)
        return values.copy() if dtype.kind == "i" else values + dtype.type(0)

    def counters(self) -> Counters:
        """Counts since the reset."""
        c = self._engine.counters
        return Counters(bursts=self.burst, fired=int(c.fired), events=int(c.events), saturations=int(c.saturations))

    def close(self) -> None:
        """Nothing to give back but memory."""


def run_copies(
    image: ImageView, bursts: int, stimuli: Sequence[CodedStimulus | None], *, threads: int = 1
) -> list[Ledger]:
    """Run a network from its reset once per stimulus: copies of its state over one image -> their ledgers, in order.

    threads: how many copies run at a time; ledgers do not depend on it. Raises: EspikeError where a stimulus does not
    fit the network, or threads is below 1.
    """
    if threads < 1:
        raise EspikeError(f"cannot run on {threads} threads", where="host", do="use 1 or more")
    image.expanded()  # once, before threads share it

    def one(stimulus: CodedStimulus | None) -> Ledger:
        return Host(image).run(bursts, stimulus)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, stimuli))


def _u32(array: NDArray[np.uint32]) -> Any:
    return ffi.cast("uint32_t *", array.ctypes.data)
