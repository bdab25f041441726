"""what a NIR file says, its framework, options -> semantics: how a burst of it is to be computed.

NIR gives equations in continuous time. It has no field for the length of a burst, the reset, the comparison or the
order of layers; each framework has its own. What is assumed here is listed in words, with where it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .file import Node

F64 = NDArray[np.float64]

RESETS = ("zero", "value", "subtract")
GAINS = ("euler", "held", "undecayed", "one")
USUAL_DT = 1e-4
"""Seconds; what snnTorch and the examples of the NIR paper assume."""
LONGEST_DT = 1e-2
"""Seconds; a longer burst is not inferred from a resistance alone."""


@dataclass(frozen=True)
class Semantics:
    """How the equations become bursts."""

    profile: str = "nir"
    dt: float = 0.0
    """Seconds of a burst; time constants are in the same unit (Sinabs: bursts, and 1)."""
    decay: str = "euler"
    """Fraction lost per burst: "euler" dt / tau; "exponential" 1 - exp(-dt / tau)."""
    gain: str = "euler"
    """What input counts: "euler" r dt / tau; "held" r (1 - exp(-dt / tau)), the exact answer to input held for a burst;
    "undecayed" r dt / tau exp(dt / tau), Rockpool's; "one" 1, whatever r is."""
    reset: str = "value"
    """"value": to v_reset; "zero"; "subtract": by the threshold."""
    late: bool = False
    """The reset acts in the burst after the spike."""
    strict: bool = True
    """Fires where v > threshold; False: >=."""
    layer_delay: int = 0
    """Bursts from a neuron's spike to the next layer."""
    input_delay: int = 0
    """Bursts from an Input to the first layer."""
    lag: int = 0
    """Bursts by which the framework reports a spike later than its potential passes the threshold."""
    current: str = "new"
    """CubaLIF: the potential takes the current with this burst's input ("new") or as it was before ("old")."""
    start: str = "rest"
    """Potentials begin at v_leak ("rest") or at 0 ("zero")."""


@dataclass(frozen=True)
class Asked:
    """The options; None: not given."""

    profile: str | None = None
    dt: float | None = None
    decay: str | None = None
    gain: str | None = None
    reset: str | None = None
    late: bool | None = None
    strict: bool | None = None
    layer_delay: int | None = None
    current: str | None = None
    start: str | None = None
    graded_input: bool | None = None


@dataclass(frozen=True)
class Assumption:
    """Something the file does not say."""

    name: str
    value: str
    origin: str
    """option, profile, inferred, default."""
    about: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.value} ({self.origin})" + (f" - {self.about}" if self.about else "")


PROFILES: dict[str, Semantics] = {
    "snntorch": Semantics(),
    "norse": Semantics(),
    "spikingjelly": Semantics(strict=False),
    "sinabs": Semantics(decay="exponential", gain="one", reset="subtract", strict=False),
    "rockpool": Semantics(decay="exponential", gain="undecayed", reset="subtract", strict=False),
    "spyx": Semantics(reset="subtract", late=True, layer_delay=1, lag=1),
    "lava": Semantics(layer_delay=1, input_delay=1),
    "exact": Semantics(decay="exponential", gain="held"),
    "espike": Semantics(),
}
"""What each framework computes, as read from its NIR importer and exporter and measured on the NIR paper's traces."""
PROFILES = {name: replace(semantics, profile=name) for name, semantics in PROFILES.items()}

_ABOUT: dict[str, dict[str, str]] = {
    "reset": {
        "snntorch": "NIR cannot say; snnTorch's default neuron subtracts: give --reset subtract",
        "spikingjelly": "NIR cannot say; a soft reset is written as v_reset 0: give --reset subtract",
        "": "NIR cannot say; if the model subtracts its threshold: give --reset subtract",
        "sinabs": "its neurons may fire several spikes in a burst, these fire one",
        "rockpool": "its neurons may fire several spikes in a burst, these fire one",
    },
    "late": {"snntorch": "NIR cannot say; with reset_delay=True, snnTorch's default: give --reset-delay 1"},
    "gain": {"sinabs": "a LIF or ExpLeak made with norm_input=True needs --gain held"},
    "dt": {"norse": "Norse itself works at 0.001: give --dt 1e-3 where the model was trained so"},
}
_WORDS: dict[str, dict[Any, str]] = {
    "late": {False: "in the same burst", True: "in the burst after"},
    "strict": {True: "potential > threshold", False: "potential >= threshold"},
    "reset": {"value": "to v_reset", "zero": "to zero", "subtract": "by subtracting the threshold"},
    "start": {"rest": "at v_leak", "zero": "at zero"},
    "layer_delay": {0: "none, layers follow each other within a burst", 1: "one burst"},
    "input_delay": {0: "none", 1: "one burst"},
    "current": {"new": "with this burst's input", "old": "as before this burst's input"},
    "gain": {"one": "1, r is not looked at"},
}
_NAMES = {
    "decay": "decay", "gain": "input gain", "reset": "reset", "late": "reset acts", "strict": "fires where",
    "layer_delay": "delay between layers", "input_delay": "delay from inputs",
    "current": "current reaches the potential", "start": "potentials begin",
}  # fmt: skip


def resolve(
    nodes: Sequence[Node], where: str, asked: Asked, recorded_dt: float | None = None
) -> tuple[Semantics, list[Assumption]]:
    """The semantics of a file's nodes under some options, and every assumption in words.

    recorded_dt: the burst of a recording that the network is to match, in seconds.

    Raises: EspikeError where the length of a burst cannot be told, or a profile is unknown.
    """
    if asked.profile is not None and asked.profile not in PROFILES:
        raise EspikeError(f"profile {asked.profile!r} is unknown", do="use " + ", ".join(PROFILES))
    found = infer(nodes)
    profile = asked.profile or (found.profile if found is not None else None)
    base = PROFILES.get(profile or "", Semantics())
    if profile == "rockpool" and (found is None or found.profile != profile):
        base = replace(base, gain="euler")  # r is not what Rockpool writes
    said: list[Assumption] = []
    if asked.profile:
        said.append(Assumption("framework", asked.profile, "option --profile"))
    elif found is not None and profile:
        said.append(Assumption("framework", profile, f"inferred: {found.why}"))
    else:
        said.append(Assumption("framework", "none", "default", "NIR's own equations; --profile names another"))
    dt, origin = _burst(nodes, where, asked, found, profile, recorded_dt)
    said.append(Assumption("burst", f"{dt:g} s", origin, _ABOUT["dt"].get(profile or "", "")))
    given = {f.name: getattr(asked, f.name) for f in fields(asked)}
    chosen = {name: given[name] for name in _NAMES if given.get(name) is not None}
    if "layer_delay" in chosen:
        chosen |= {"input_delay": chosen["layer_delay"], "lag": 0}
    if chosen.get("decay") == "exponential" and base.decay == "euler" and "gain" not in chosen:
        chosen["gain"] = "held"
    if chosen.get("decay") == "euler" and base.decay == "exponential" and base.gain != "one" and "gain" not in chosen:
        chosen["gain"] = "euler"
    semantics = replace(base, dt=dt, **chosen)
    for name in _relevant(nodes, semantics):
        value = getattr(semantics, name)
        origin = "option" if name in chosen else f"profile {profile}" if profile else "default"
        text = _WORDS.get(name, {}).get(value, str(value))
        if name == "reset" and value == "value" and not _any(nodes, "v_reset"):
            text = "to zero"
        about = _ABOUT.get(name, {}).get(profile or "", "") if name not in chosen else ""
        said.append(Assumption(_NAMES[name], text, origin, about))
    return semantics, said


@dataclass(frozen=True)
class Inference:
    """What the numbers of a file tell."""

    profile: str
    dt: float
    why: str


def infer(nodes: Sequence[Node]) -> Inference | None:
    """The framework and burst that a file's time constants and resistances tell, or None.

    snnTorch writes r = tau / dt with dt 1e-4; Rockpool r = tau exp(-dt / tau) / dt; Sinabs r = 1 and time constants in
    bursts; SpikingJelly an IF of r = 1 / dt. (Their exporters.)
    """
    leaky = [(_flat(n, "tau_mem" if "tau_mem" in n.values else "tau"), _flat(n, "r")) for n in nodes if _has_tau(n)]
    if leaky:
        columns = zip(*(np.broadcast_arrays(*pair) for pair in leaky), strict=True)
        tau, r = (np.concatenate(column) for column in columns)
        return _infer_leaky(tau, r)
    plain = [_flat(n, "r") for n in nodes if n.kind in ("IF", "I")]
    if plain and (each := _common(1 / np.maximum(np.concatenate(plain), 1e-300))) is not None:
        if each == 1:
            return Inference("sinabs", 1.0, "every r is 1, and there are no time constants")
        if _is_round(each) and each <= LONGEST_DT:
            return Inference("spikingjelly", _snapped(each), "every r is 1 / dt")
    return None


def _infer_leaky(tau: F64, r: F64) -> Inference | None:
    if not len(tau) or np.any(tau <= 0) or np.any(r <= 0):
        return None
    if np.all(r == 1):
        why = "r is 1 and no time constant is below 1, so they count bursts"
        return Inference("sinabs", 1.0, why) if np.all(tau >= 1) else None
    euler, rockpool = _common(tau / r), _common(_rockpool_dt(tau, r))
    if euler is not None and _snapped(euler) == USUAL_DT:
        return Inference("snntorch", USUAL_DT, "every r is tau / dt")
    if euler is not None and len(np.unique(tau)) > 1:
        return Inference("", _snapped(euler), "every r is tau / dt")
    if rockpool is not None and _is_round(rockpool):
        return Inference("rockpool", _snapped(rockpool), "every r is tau exp(-dt / tau) / dt")
    return None


def decay(tau: F64, semantics: Semantics) -> F64:
    """float64: fraction lost per burst."""
    lost = semantics.dt / tau
    return lost if semantics.decay == "euler" else -np.expm1(-lost)


def membrane_gain(r: F64, tau: F64 | None, semantics: Semantics) -> F64:
    """float64: what an input of 1 adds to a potential; tau None: an integrator without leak."""
    if semantics.gain == "one":
        return np.ones_like(r)
    if tau is None:
        return r * semantics.dt
    return r * _filter_gain(tau, semantics)


def synapse_gain(w_in: F64, tau: F64, semantics: Semantics) -> F64:
    """float64: what an input of 1 adds to a synaptic current. Rockpool's current decays with its input already in."""
    if semantics.gain == "one":
        return w_in
    if semantics.gain == "undecayed":
        return w_in * np.exp(-semantics.dt / tau)
    return w_in * _filter_gain(tau, semantics)


def _filter_gain(tau: F64, semantics: Semantics) -> F64:
    lost = semantics.dt / tau
    if semantics.gain == "held":
        return -np.expm1(-lost)
    made: F64 = lost * np.exp(lost) if semantics.gain == "undecayed" else lost
    return made


def _burst(
    nodes: Sequence[Node],
    where: str,
    asked: Asked,
    found: Inference | None,
    profile: str | None,
    recorded_dt: float | None,
) -> tuple[float, str]:
    """Seconds of a burst, and where they come from."""
    if asked.dt is not None:
        return asked.dt, "option --dt"
    if found is not None and (asked.profile is None or found.profile in ("", asked.profile)):
        return found.dt, f"inferred: {found.why}"
    if recorded_dt is not None:
        return recorded_dt, "the recording of --expect"
    timed = [n for n in nodes if _has_tau(n) or n.kind in ("IF", "I", "Delay")]
    if profile is not None:
        return USUAL_DT, f"profile {profile}"
    if not timed:
        return USUAL_DT, "default: no node depends on it"
    node = timed[0]
    known = [name for name in ("tau_mem", "tau", "r", "delay") if name in node.values and node.array(name).size]
    values = ", ".join(f"{name} {float(node.array(name).flat[0]):g}" for name in known)
    what = f"how long a burst is cannot be told from its numbers ({node.where.rpartition('/')[2]}: {values})"
    raise EspikeError(what, where=where, do="give --dt SECONDS, or --profile FRAMEWORK")


def _relevant(nodes: Sequence[Node], semantics: Semantics) -> list[str]:
    """The settings that matter to some nodes."""
    kinds = {n.kind for n in nodes}
    resets, leaks = kinds & {"IF", "LIF", "CubaLIF"}, any(_has_tau(n) for n in nodes)
    names = ["decay", "gain"] if leaks else ["gain"] if kinds & {"IF", "I"} else []
    names += ["reset", "late"] if resets else []
    names += ["strict"] if resets or "Threshold" in kinds else []
    names += ["layer_delay"] + (["input_delay"] if semantics.input_delay != semantics.layer_delay else [])
    names += ["current"] if kinds & {"CubaLI", "CubaLIF"} else []
    return names + (["start"] if _any(nodes, "v_leak") else [])


def _any(nodes: Sequence[Node], name: str) -> bool:
    """Whether a parameter is other than 0 anywhere."""
    return any(bool(np.any(node.array(name))) for node in nodes if name in node.values)


def _has_tau(node: Node) -> bool:
    return node.kind in ("LI", "LIF", "CubaLI", "CubaLIF")


def _flat(node: Node, name: str) -> F64:
    return node.array(name).astype(np.float64).reshape(-1)


def _common(values: F64) -> float | None:
    """What all values are, within the rounding of float32; None: they differ."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return float(np.median(values)) if np.isfinite(low) and low > 0 and high / low - 1 < 1e-5 else None


def _rockpool_dt(tau: F64, r: F64) -> F64:
    """dt of r = tau exp(-dt / tau) / dt, by Newton's method on x = dt / tau."""
    x = 1 / (1 + r)
    for _ in range(30):
        x -= (x * r - np.exp(-x)) / (r + np.exp(-x))
    return x * tau


def _snapped(value: float) -> float:
    """The number of two digits that a number is, within the rounding of float32; else the number itself."""
    near = float(f"{value:.1e}")
    return near if abs(value / near - 1) < 1e-5 else value


def _is_round(value: float) -> bool:
    return _snapped(value) == float(f"{value:.1e}")
