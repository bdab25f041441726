"""image + raw samples -> answers, by the C core on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core import error_name, ffi, lib
from .errors import EspikeError
from .host import Host


@dataclass(frozen=True)
class Answer:
    """What a presentation led to."""

    answer: int
    """Which of the neurons that the decoder reads, from 0; -1: none."""
    values: NDArray[Any]  # (neurons read,) int64 spikes, bursts or potentials; float32 potentials of fp32 and fp16
    bursts: int | None = None
    """Bursts that were run; None: not known."""


class HostSenses:
    """The senses of an image, beside a host engine of it.

    Raises: EspikeError where the image has none, or rows are expanded into it so that another engine runs it.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        view = host.image.view
        self._ram = np.zeros(int(lib.spk_senses_ram_bytes(view)) // 4 or 1, np.uint32)
        self._senses = ffi.new("spk_senses_t *")
        error = lib.spk_senses_init(self._senses, view, ffi.cast("void *", self._ram.ctypes.data), self._ram.nbytes)
        if error < 0:
            raise EspikeError(f"the image has no senses that can be run: {error_name(error)}", where="host")
        self.channels = int(lib.spk_senses_channels(view))
        self.potentials = int(view.senses[21]) > 1

    def present(self, raw: NDArray[Any]) -> Answer:
        """One presentation: raw integers (samples, channels), within int32."""
        samples = np.ascontiguousarray(raw, np.int32)
        if samples.ndim != 2 or samples.shape[1] != self.channels or not np.array_equal(samples, raw):
            wanted = f"int32 (samples, {self.channels})"
            raise EspikeError(f"raw samples are {raw.dtype} {raw.shape}, expected {wanted}")
        engine = self.host.engine
        self._refuse(lib.spk_senses_begin(self._senses, engine))
        for sample in samples:
            if lib.spk_senses_is_done(self._senses):
                raise EspikeError(f"{len(samples)} samples are more than a presentation has")
            lib.spk_senses_take(self._senses, ffi.cast("const int32_t *", sample.ctypes.data))
            while lib.spk_senses_bursts(self._senses):
                lib.spk_senses_burst(self._senses, engine)
        if not lib.spk_senses_is_done(self._senses):
            raise EspikeError(f"{len(samples)} samples are fewer than a presentation has")
        lib.spk_senses_read(self._senses, engine)
        count = int(self._senses.value_count)
        values = np.frombuffer(ffi.buffer(self._senses.values, 4 * count), np.uint32).copy()
        return Answer(
            int(lib.spk_senses_answer(self._senses)), decoded(values, self.potentials, self.host.image.precision),
            int(self._senses.burst),
        )  # fmt: skip

    def _refuse(self, error: int) -> None:
        if error < 0:
            raise EspikeError(f"engine refused: {error_name(error)}", where="host")


def decoded(words: NDArray[np.uint32], potentials: bool, precision: str) -> NDArray[Any]:
    """The decoder's values as numbers: int64, or float32 where they are potentials of fp32 and fp16."""
    if potentials and precision != "int8":
        return words.view(np.float32)
    return (words.view(np.int32) if potentials else words).astype(np.int64)
