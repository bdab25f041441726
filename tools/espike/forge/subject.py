"""image -> what it answers and does, on the host engine: what every measurement of a network begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import sensing
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.host_senses import Answer, HostSenses
from espike_sim.ledger import Ledger, concatenate
from espike_sim.senses import Senses

from .. import network

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What a network made of presentations."""

    answer: I64  # (presentations,) -1: none
    margin: I64  # (presentations,) what the answer's count is ahead of the next; 0 of other decoders
    bursts: I64  # (presentations,) that were run


class Subject:
    """A network with senses in an image. Raises: EspikeError where it has none, or the image is damaged."""

    def __init__(self, image: bytes, where: str = "image") -> None:
        self.view = ImageView(image, where)
        self.network = network.read_network(self.view.meta, self.view.precision, where)
        if self.network.senses is None:
            raise EspikeError("has no senses", where=where, do="give a network that espike train made")
        self.senses: Senses = self.network.senses
        self.host = Host(self.view, expand=False)

    def answers(self, raw: I32, of: Sequence[int] | None = None) -> Answers:
        """Present raw, int32 (presentations, samples, channels); `of`: the answers that count, else all."""
        present = HostSenses(self.host).present
        self.host.reset(track_potentials=False)
        made = np.zeros((3, len(raw)), np.int64)
        for number, samples in enumerate(raw):
            found = present(samples)
            made[:, number] = (*self._best(found.answer, found.values, of), found.bursts or 0)
        return Answers(*made)

    def present(self, raw: I32) -> Answer:
        """One presentation of raw samples (`classify.Present`)."""
        return HostSenses(self.host).present(raw)

    def _best(self, answer: int, values: NDArray[Any], of: Sequence[int] | None) -> tuple[int, int]:
        if self.senses.decoder.kind != "count":
            return answer, 0
        chosen = np.arange(len(values)) if of is None else np.array(of)
        among = values[chosen]
        best = int(np.argmax(among))
        others = np.delete(among, best)
        return int(chosen[best]), int(among[best] - (others.max() if len(others) else 0))

    def given(self, raw: I32, first_burst: int = 1) -> CodedStimulus:
        """The stimulus of one presentation, int32 (samples, channels), in the network's numbers."""
        shown = sensing.presentation(self.senses, self.network.areas, raw, first_burst)
        return sensing.code(shown, self.senses, self.network)

    def live(self, raws: Sequence[I32]) -> Ledger:
        """Presentations in a row from one reset on, without any between them, each to its last burst."""
        self.host.reset(track_potentials=False)
        made = []
        for raw in raws:
            given = self.given(raw, self.host.burst + 1)
            made.append(self.host.run(self.senses.bursts, given))
        return concatenate(made)

    @property
    def answering(self) -> slice:
        """Ids of the neurons that the decoder reads."""
        area = next(area for area in self.network.areas if area.id == self.senses.decoder.area)
        return self.senses.decoder.part(area)

    @property
    def inner(self) -> NDArray[np.bool_]:
        """bool (neurons,): those of areas that no encoder stimulates."""
        given = {encoder.area for encoder in self.senses.encoders}
        areas = self.network.areas
        return np.repeat([area.id not in given for area in areas], [area.count for area in areas])

    def close(self) -> None:
        """Give the engine back."""
        self.host.close()

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
