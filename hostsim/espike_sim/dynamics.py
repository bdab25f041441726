"""trained model -> neuron model: how an area's neurons compute a burst where they are not FEAGI's.

docs/numbers.md, Trained models, has the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .errors import EspikeError

RESETS = ("value", "subtract", "none")
CURRENTS = ("", "new", "old")


@dataclass(frozen=True)
class Dynamics:
    """Leak first, then input, then the test: LIF neurons and their relatives of trained models.

    Per neuron the connectome holds threshold, leak, `reset`, `bias` and `current_leak`. Areas of this kind are updated
    in every burst.
    """

    reset: str = "value"
    """After a spike: "value": the potential becomes the neuron's `reset`; "subtract": it loses `reset`; "none"."""
    late: bool = False
    """The reset acts in the next burst: "value" before its leak, "subtract" after its input."""
    strict: bool = False
    """Fires where potential > threshold; False: >=. Only in connectomes: quantize moves the threshold."""
    current: str = ""
    """"new": a synaptic current takes input and bias and leaks by `current_leak`, the potential takes the current;
    "old": the potential takes the current as it was before the burst's input; "": no current."""
    fires: bool = True
    """False: a read-out that never fires."""
    graded: bool = False
    """What the neuron sends is its potential: each burst in which it is not 0 counts as a spike, and all mappings from
    it are driven (weight times potential, exactly). It does not reset."""

    def check(self, where: str) -> None:
        """Raises: EspikeError naming a setting that is unknown or does not go with another."""
        if self.reset not in RESETS or self.current not in CURRENTS:
            raise EspikeError(f"neuron model with reset {self.reset!r} and current {self.current!r}", where=where)
        if self.graded and (self.late or self.reset != "none"):
            raise EspikeError("graded neurons do not reset", where=where)

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def dynamics_from_meta(meta: Any, where: str) -> Dynamics | None:
    """The neuron model that `as_json` described; None where there is none. Raises: EspikeError."""
    if meta is None:
        return None
    known = {f.name: type(f.default) for f in fields(Dynamics)}
    if not isinstance(meta, dict) or any(not isinstance(meta[name], known.get(name, str)) for name in meta):
        raise EspikeError("an area's neuron model is damaged", where=where)
    if set(meta) - set(known):
        unknown = ", ".join(sorted(set(meta) - set(known)))
        raise EspikeError(f"a neuron model knows no {unknown}", where=where, do="update espike")
    made = Dynamics(**meta)
    made.check(where)
    return made
