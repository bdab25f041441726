"""Bursts after the last sample, and an early exit: each stays only if taking it out costs something."""

from __future__ import annotations

from dataclasses import replace

from .. import measures, statistics
from ..context import Computed, Context, Outcome
from ..measures import right

SAVED_LEAST = 0.05
"""Share of bursts that an early exit must save."""


def run(context: Context) -> Outcome:
    """The network with as many bursts to settle, and the margin, that pay."""
    config, model = context.config, context.only()
    assert model.master is not None
    tested = context.all_examples("val")
    base = context.image(model.master, name="base")
    before = context.measure("accuracy_before", measures.accuracy, base, tested)
    chosen = _early(context, _settled(context, model.master, base, tested), tested)
    chosen = _ablated(context, chosen, tested)
    settle, margin = _components(context, chosen).values()
    image = context.image(chosen, name="settled")
    context.measure("bursts", measures.count_of, count=settle)
    context.measure("margin", measures.count_of, count=margin)
    context.measure("bursts_saved", measures.bursts_saved, image, tested)
    accuracy = context.measure("accuracy", measures.accuracy, image, tested)
    change = context.measure("accuracy_improvement", measures.accuracy_change, image, base, tested)
    useless = float(sum(not _pays(context, chosen, name, tested) for name in _present(context, chosen)))
    context.measure("anti_theater_passed", measures.not_above, value=useless, most=0.0)
    gates = (
        context.gate("every component pays", "anti_theater_passed", float(not useless), 1, action="take it out"),
        context.gate("accuracy holds", "accuracy_improvement", change, -config.settle.score_loss_most - 1e-12,
                     action="without early exit"),
    )  # fmt: skip
    context.say(f"{settle} bursts to settle, margin {margin}: accuracy {before:.3f} -> {accuracy:.3f}")
    return Outcome((context.draft(model, chosen, image, formats=model.formats),), gates)


def _with(context: Context, master: str, *, settle: int | None = None, margin: int | None = None) -> str:
    """The network with other senses."""

    def change() -> Computed:
        c = context.master(master)
        assert c.senses is not None
        senses = c.senses
        if settle is not None:
            senses = replace(senses, settle=settle)
        if margin is not None:
            senses = replace(senses, decoder=replace(senses.decoder, margin=margin))
        return {"master": context.put_master(replace(c, senses=senses))}, {}

    return context.step("senses", {"master": master, "settle": settle, "margin": margin}, change).outputs["master"]


def _components(context: Context, master: str) -> dict[str, int]:
    """Bursts to settle, and the margin of the early exit; 0: there is none."""
    senses = context.master(master).senses
    assert senses is not None
    return {"settle": senses.settle, "margin": senses.decoder.margin}


def _present(context: Context, master: str) -> list[str]:
    return [name for name, size in _components(context, master).items() if size]


def _settled(context: Context, master: str, base: str, tested: str) -> str:
    """The network with the fewest bursts to settle that answer more items right, beyond chance."""
    own, most = _components(context, master)["settle"], context.config.settle.bursts_most
    best, gained = master, 0.0
    for bursts in sorted({1, 2, 4, most} if most else ()):
        if bursts > most:
            continue
        other = _with(context, master, settle=own + bursts)
        image = context.image(other, name=f"settle/{bursts}")
        context.measure(f"bursts/{bursts}/accuracy", measures.accuracy, image, tested)
        pair = right(context.get(base), context.get(tested)), right(context.get(image), context.get(tested))
        gain = statistics.paired(pair[0], pair[1], context.config.run.seed)
        if gain.low > 0 and gain.value > gained:
            best, gained = other, gain.value
    return best


def _early(context: Context, master: str, tested: str) -> str:
    """The network with the smallest margin that costs no more accuracy than it may, and saves bursts."""
    config = context.config.settle
    base = context.image(master, name="whole")
    for margin in range(1, config.margin_most + 1):
        other = _with(context, master, margin=margin)
        image = context.image(other, name=f"margin/{margin}")
        context.measure(f"margin/{margin}/accuracy", measures.accuracy, image, tested)
        context.measure(f"margin/{margin}/bursts", measures.bursts_mean, image, tested)
        lost = -measures.accuracy_change(context.get(image), context.get(base), context.get(tested))
        saved = measures.bursts_saved(context.get(image), context.get(tested))
        if lost <= config.score_loss_most and saved >= SAVED_LEAST:
            return other
    return master


def _ablated(context: Context, master: str, tested: str) -> str:
    """Take out every component whose removal costs nothing, one after the other -> what is left."""
    while True:
        useless = [name for name in _present(context, master) if not _pays(context, master, name, tested)]
        if not useless:
            return master
        context.say(f"{useless[0]} does not pay, and is taken out")
        master = _with(context, master, **{useless[0]: 0})


def _pays(context: Context, master: str, name: str, tested: str) -> bool:
    """Does taking a component out cost something? Bursts to settle must bring right answers, the early exit bursts."""
    image = context.image(master, name="with")
    other = context.image(_with(context, master, **{name: 0}), name=f"without/{name}")
    gained = context.measure(f"ablation/{name}/score_change", measures.accuracy_change, image, other, tested)
    saved = measures.bursts_saved(context.get(image), context.get(tested))
    pays = bool(gained > 0 if name == "settle" else saved >= SAVED_LEAST)
    context.measure(f"ablation/{name}/kept", measures.not_above, value=float(not pays), most=0.0)
    return pays
