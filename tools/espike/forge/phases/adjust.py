"""missed gates -> what is changed for a rung's next try: the first rule of a table that applies, and can still turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..contracts import Verdict
from ..measures import INVARIANTS

EPOCHS = 10
"""Of the first fine-tuning; each further one takes as many more."""
EPOCHS_MOST = 40
QUIET, QUIET_MOST = 1.0, 4.0
PRUNED, PRUNED_MOST = 0.1, 0.3


@dataclass(frozen=True)
class Knobs:
    """What a try does to the master before it is packed. As it is here: nothing."""

    epochs: int = 0
    """Of training with the rung's bits."""
    quiet: float = 0.0
    """Weight of the penalty for spikes while nothing is sensed, in that training."""
    prune: float = 0.0
    """Share of the inner neurons that are taken out before it."""


@dataclass(frozen=True)
class Rule:
    """Which gates it answers, by their names, and what it turns; None: the knob is at its end."""

    name: str
    answers: Callable[[str], bool]
    turn: Callable[[Knobs], Knobs | None]


def _smaller(knobs: Knobs) -> Knobs | None:
    share = round(knobs.prune + PRUNED, 6)
    return replace(knobs, prune=share, epochs=max(knobs.epochs, EPOCHS)) if share <= PRUNED_MOST else None


def _quieter(knobs: Knobs) -> Knobs | None:
    weight = 2 * knobs.quiet or QUIET
    return replace(knobs, quiet=weight, epochs=max(knobs.epochs, EPOCHS)) if weight <= QUIET_MOST else None


def _longer(knobs: Knobs) -> Knobs | None:
    epochs = knobs.epochs + EPOCHS
    return replace(knobs, epochs=epochs) if epochs <= EPOCHS_MOST else None


RULES = (
    Rule("prune 10 % more", lambda gate: gate.startswith("fits ") or gate == "keeps the deadline", _smaller),
    Rule("train quieter", lambda gate: gate in INVARIANTS, _quieter),
    Rule("train on with these bits", lambda gate: gate.endswith((" is kept", " are kept", " acts as before")), _longer),
)
"""What does not fit must be smaller first, what is not safe must be safe; then it may be trained to be right."""


def adjusted(knobs: Knobs, missed: Sequence[Verdict]) -> tuple[str, Knobs] | None:
    """(why and what, knobs) for the next try; None: nothing that could be changed answers these gates."""
    for rule in RULES:
        causes = [verdict.gate for verdict in missed if rule.answers(verdict.gate)]
        turned = rule.turn(knobs) if causes else None
        if turned is not None:
            return f"{', '.join(causes)}: {rule.name}", turned
    return None
