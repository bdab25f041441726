"""NIR file + labelled samples -> board that answers them as the host does: the main job with a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim import connectome as connectome_file
from espike_sim import sensing
from espike_sim.engine import CodedStimulus, Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

from . import classify, engines, network, plot, presentations
from .boards import boards
from .calibration import calibrate
from .nir import model as nir_model
from .nir.semantics import Asked
from .presentations import Presentations
from .quantize import quantize
from .toolchain import ROOT
from .train.picture import matrix_picture

NAMES = ("digits", "gestures")
CALIBRATED = 120
"""Presentations of the training set that codes are fitted to."""
RASTERS = 4
"""Presentations that the raster shows."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What the demo of a model found."""

    model: str
    folder: Path
    neurons: int
    synapses: int
    image_bytes: int
    ram_bytes: int
    presentations: int
    bursts: int
    right: int
    right_fp32: int
    verdicts: dict[str, str]
    """Engine -> `equal` to the reference in answers, values and state hashes; where it parts; or why it did not run."""
    pictures: list[Path]

    @property
    def equal(self) -> bool:
        """Did every engine that ran answer as the reference did?"""
        return all(verdict.startswith(("equal", "skipped")) for verdict in self.verdicts.values())

    def rows(self) -> list[tuple[str, str]]:
        """The table for people."""
        share = 100 / max(1, self.presentations)
        return [
            ("model", f"{self.model}, {self.neurons:,} neurons, {self.synapses:,} synapses"),
            ("image", f"{self.image_bytes:,} bytes of flash"),
            ("RAM", f"{self.ram_bytes:,} bytes"),
            ("test set", f"{self.presentations:,} presentations of {self.bursts} bursts"),
            ("right", f"{self.right:,} ({self.right * share:.1f} %); in fp32 {self.right_fp32:,}"),
            *((f"reference = {name}", verdict) for name, verdict in self.verdicts.items()),
        ]

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return vars(self) | {"equal": self.equal, "accuracy": self.right / max(1, self.presentations)}


def demo(name: str, folder: Path, precision: str, say: Say) -> Result:
    """Run the whole way into `folder`, saying each step. Raises: EspikeError where a step fails."""
    source = ROOT / "examples" / name
    if not source.is_dir():
        raise EspikeError("the examples are not here", where=str(source), do="run it in a clone of espike")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EspikeError(f"cannot make the folder ({error.strerror})", where=str(folder)) from None
    imported = nir_model.load(source / f"{name}.nir", Asked(profile="espike"), None, {})
    c = nir_model.with_senses(imported.connectome, source / "senses.json")
    connectome_file.save(c, folder / f"{name}.connectome.npz")
    say(f"connectome  {folder / f'{name}.connectome.npz'}: {c.neurons:,} neurons, {c.synapses:,} synapses")
    assert c.senses is not None
    data = source / ("digits.npz" if name == "digits" else "basicmotions.npz")
    tested, learned = (presentations.load(data, c, part) for part in ("test", "train"))
    in_fp32 = quantize(c, "fp32")
    quantized = in_fp32
    if precision != "fp32":
        shown = learned.part(min(1.0, CALIBRATED / len(learned)))
        quantized = quantize(c, precision, calibrate(c, shown.stimuli(), shown.bursts, len(shown)))
    packed, view = network.packed_view(quantized)
    network.write_packed(packed, quantized, folder / f"{name}.spk")
    say(f"image       {folder / f'{name}.spk'}: {len(packed.data):,} bytes, network {quantized.hash[:12]}")
    label = tested.labels
    assert label is not None
    wanted = classify.answers(Reference(quantized), quantized, tested.raw)
    verdicts: dict[str, str] = {}
    for engine_name, made in _engines(quantized, say, verdicts):
        with closing(made) as engine:
            found = classify.answers(engine, quantized, tested.raw)
        us = found.board_us_per_burst
        timed = f", {us:,.0f} us per burst by its clock" if us is not None else ""
        verdicts[engine_name] = classify.difference(wanted, found) or f"equal{timed}"
        say(f"{engine_name:11} {verdicts[engine_name]}")
    in_floats = classify.answers(Host(network.packed_view(in_fp32)[1]), in_fp32, tested.raw)
    matrix = classify.confusion(label, wanted.answer, len(tested.names))
    right, right_fp32 = (int(np.count_nonzero(a.answer == label)) for a in (wanted, in_floats))
    pictures = [folder / "confusion.png", folder / "raster.png"]
    title = f"{name}, {precision}: {right} of {len(tested)} right"
    matrix_picture(matrix[:, :-1], tested.names, pictures[0], title=title)
    _raster(quantized, tested, pictures[1])
    return Result(
        name, folder, view.neurons, view.synapses, len(packed.data), view.ram_bytes, len(tested), c.senses.bursts,
        right, right_fp32, verdicts, pictures,
    )  # fmt: skip


def _engines(quantized: QuantizedConnectome, say: Say, verdicts: dict[str, str]) -> Iterator[tuple[str, Engine]]:
    """(name, engine) of the host and every board of this machine; why others do not run goes into `verdicts`."""
    yield "host", engines.make("host", quantized)
    for name, board in boards().items():
        if board.plan_only or (board.missing and "flash_map" in board.data):
            continue
        if board.missing:
            verdicts[name] = f"skipped: {', '.join(board.missing)} not found (make toolchain)"
            say(f"{name:11} {verdicts[name]}")
        else:
            yield name, engines.make(name, quantized, put=True)


def _raster(q: QuantizedConnectome, tested: Presentations, path: Path) -> None:
    """The first presentation of each of some classes, one after the other, on one network."""
    label = tested.labels
    assert label is not None
    senses = tested.senses
    assert senses is not None
    parts = []
    for number in range(min(RASTERS, len(tested.names))):
        shown = sensing.presentation(
            senses, q.areas, tested.raw[int(np.argmax(label == number))], number * senses.bursts + 1
        )
        parts.append(sensing.code(shown, senses, q))
    burst, neuron, value = (np.concatenate([getattr(p, name) for p in parts]) for name in ("burst", "neuron", "value"))
    ledger = Reference(q).run(len(parts) * senses.bursts, CodedStimulus(burst, neuron, value, 0))
    plot.raster(
        ledger, q.areas, path, title=f"the first {', '.join(tested.names[: len(parts)])}, {senses.bursts} bursts each"
    )
