"""trained networks + their test sets -> what int8 keeps of fp32: decisions, spikes, answers; free running."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from espike_sim import connectome as connectome_file
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from .. import presentations
from ..calibration import calibrate
from ..nir import model as nir_model
from ..nir.file import h5py_module
from ..nir.semantics import Asked
from ..presented import Presented, compare
from ..quantize import quantize
from ..toolchain import ROOT

EXAMPLES = ROOT / "examples"
NIR = ROOT.parent / "shared" / "data" / "nir"
FIGURES = ("decision_agreement", "spike_f1", "accuracy_drop")
"""Keys of a model are int8_FIGURE_MODEL."""
CALIBRATED = 0.5
"""Share of the presentations that int8 is fitted to, labels unseen."""


@dataclass(frozen=True)
class Model:
    """A trained network and its data."""

    path: Path
    data: Path
    about: str
    reset: str | None = None
    """Of a NIR file, what it cannot say."""

    def missing(self) -> str:
        """Why it cannot be measured on this machine; empty: it can."""
        for path in (self.path, self.data):
            if not path.exists():
                return f"{path} is absent"
        if self.path.suffix != ".nir":
            return ""
        try:
            h5py_module()
        except EspikeError as error:
            return str(error)
        return ""

    def load(self) -> Connectome:
        """Its connectome."""
        if self.path.suffix != ".nir":
            return connectome_file.load(self.path)
        return nir_model.load(self.path, Asked("snntorch", reset=self.reset)).connectome


def _nir(name: str, about: str, reset: str = "zero") -> Model:
    return Model(NIR / f"{name}.nir", NIR / f"{name}.npz", about, reset)


DIGITS, GESTURES = EXAMPLES / "digits", EXAMPLES / "gestures"
MODELS = {
    "np_digits_lif_zero": _nir("np_digits_lif_zero", "digits, 64-32-10, resets to 0"),
    "np_digits_lif_sub_bias": _nir("np_digits_lif_sub_bias", "digits, 64-32-10, resets subtract, biases", "subtract"),
    "np_basicmotions_lif_zero": _nir("np_basicmotions_lif_zero", "BasicMotions, 24-32-4"),
    "digits": Model(DIGITS / "digits.connectome.npz", DIGITS / "digits.npz", "examples/digits, 64-32-10"),
    "digits_4bit": Model(
        DIGITS / "digits-4bit.connectome.npz", DIGITS / "digits.npz", "examples/digits, weights of 4 bits"
    ),
    "gestures": Model(
        GESTURES / "gestures.connectome.npz", GESTURES / "basicmotions.npz", "examples/gestures, 48-32-4"
    ),
    "gestures_4bit": Model(
        GESTURES / "gestures-4bit.connectome.npz", GESTURES / "basicmotions.npz", "examples/gestures, weights of 4 bits"
    ),
}


@cache
def of_model(name: str, share: float | None = CALIBRATED) -> Presented | None:
    """fp32 beside int8 of one of MODELS on its test set; None where it is absent. share: None does not calibrate."""
    model = MODELS[name]
    if model.missing():
        return None
    c = model.load()
    calibration = None
    if share is not None:
        some = presentations.load(model.data, c, "train").part(share)
        calibration = calibrate(c, some.stimuli(), some.bursts, len(some))
    given = presentations.load(model.data, c, "test")
    return compare(quantize(c, "fp32"), quantize(c, "int8", calibration), given)
