"""Candidates: designed by preset and trained a little, or read from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from espike_sim import connectome
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from ... import train
from ...train import Design, senses_of
from .. import measures
from ..context import Computed, Context, Draft, Outcome

SPECIALIZATIONS = {"reasoning": "reasoning", "memory": "memory_integration", "adaptive": "adaptive_computation"}
EARLY = 1.0
"""Least weight of an early answer in the training of the preset that is to answer early."""
STATE_BURSTS = 1000
CURVES = {"loss": "losses"}
"""Of a candidate's training: names of metrics, and of what its history has."""


def design_of(context: Context, preset: str) -> Design:
    """A preset's network: deep, recurrent, or small."""
    hidden, suite = context.config.adopt.hidden, context.suite
    shape = {"reasoning": hidden, "memory": hidden[:1], "adaptive": (max(8, hidden[-1]),)}[preset]
    return Design(
        encoders=suite.encoders, hidden=shape, recurrent=preset == "memory", bursts=suite.bursts, settle=suite.settle
    )


def run(context: Context) -> Outcome:
    """Every candidate is loaded or designed, checked, and run for a thousand bursts."""
    config = context.config
    learned, tested = context.all_examples("train"), context.all_examples("val")
    drafts, histories = [], []
    for number, preset in enumerate(config.adopt.presets):
        seed = config.run.seed * 1000 + number
        built = _built(context, preset, learned, seed)
        schedule = context.schedule(config.adopt.epochs, config.train.rate, 1000 * number)
        if preset == "adaptive":
            schedule = replace(schedule, early=max(schedule.early, EARLY))
        made = context.trained(preset, built, (learned, tested), schedule)
        context.measure(f"candidate/{preset}/rate", measures.real, value=schedule.rate)
        context.learned(f"candidate/{preset}", made.outputs["history"], CURVES)
        context.measure(f"candidate/{preset}/loss", measures.recorded, made.outputs["history"], path=["losses", -1])
        histories.append(made.outputs["history"])
        drafts.append(Draft(preset, made.outputs["master"], specialization=SPECIALIZATIONS[preset], tags=("designed",)))
    for source in config.adopt.sources:
        drafts.append(_read(context, Path(source), learned))
    if not drafts:
        raise EspikeError("there is no candidate", where="adopt", do="name presets or files")
    drafts = [replace(draft, image=_measured(context, draft, tested)) for draft in drafts]
    _summary(context, drafts, histories)
    return Outcome(tuple(drafts))


def _summary(context: Context, drafts: list[Draft], histories: list[str]) -> None:
    masters, images = [draft.master for draft in drafts], [draft.image for draft in drafts]
    context.measure("num_models", measures.count_of, count=len(drafts))
    context.measure("total_parameters", measures.parameters_of_all, *masters)
    context.measure("total_bytes", measures.bytes_of_all, *images)
    for take in ("avg", "min", "max") if histories else ():
        context.measure(f"loss_{take}", measures.recorded_by_all, *histories, path=["losses", -1], take=take)
    context.measure("success", measures.all_open, *images)


def _built(context: Context, preset: str, learned: str, seed: int) -> str:
    design = design_of(context, preset)

    def build() -> Computed:
        return {"master": context.put_master(train.build(design, context.data(learned, learned), seed))}, {}

    inputs = {"design": vars(design), "suite": context.suite.name, "data": learned, "seed": seed}
    return context.step(f"design/{preset}", inputs, build).outputs["master"]


def _read(context: Context, path: Path, learned: str) -> Draft:
    """A candidate of a file; one without senses gets the suite's."""
    name = "".join(c if c.isalnum() else "_" for c in path.name.split(".")[0].lower()) or "model"
    try:
        given = context.put(path.read_bytes())
    except OSError as error:
        raise EspikeError(f"cannot be read: {error.strerror}", where=str(path)) from None

    def read() -> Computed:
        c = _fitted(context, _loaded(path), learned, str(path))
        train.of(c, str(path))
        return {"master": context.put_master(c)}, {}

    step = context.step(f"read/{name}", {"file": given, "suite": context.suite.name, "data": learned}, read)
    return Draft(name, step.outputs["master"], specialization="reasoning", tags=("imported",))


def _loaded(path: Path) -> Connectome:
    if path.suffix != ".nir":
        return connectome.load(path)
    from ...nir import model  # needs h5py
    from ...nir.semantics import Asked

    return model.load(path, Asked()).connectome


def _fitted(context: Context, c: Connectome, learned: str, where: str) -> Connectome:
    suite = context.suite
    if c.senses is None:
        design = Design(encoders=suite.encoders, bursts=suite.bursts, settle=suite.settle)
        senses = senses_of(design, context.data(learned, learned), c.areas[0].id, c.areas[-1].id)
        c = replace(c, senses=senses)
    fitted = c.senses
    assert fitted is not None
    if (fitted.channels, fitted.samples) != (suite.channels, suite.samples):
        what = f"takes {fitted.samples} samples of {fitted.channels} channels"
        raise EspikeError(f"{what}, suite {suite.name} has {suite.samples} of {suite.channels}", where=where)
    if fitted.decoder.labels and fitted.decoder.labels != suite.labels:
        raise EspikeError(f"answers other classes than suite {suite.name}", where=where)
    fitted.check(c.areas, where)
    return c


def _measured(context: Context, draft: Draft, tested: str) -> str:
    image = context.image(draft.master, name=draft.name)
    path = f"candidate/{draft.name}"
    context.measure(f"{path}/accuracy", measures.accuracy, image, tested)
    context.measure(f"{path}/bytes", measures.byte_count, image)
    context.measure(f"{path}/neurons", measures.neuron_count, draft.master)
    context.measure(f"{path}/synapses", measures.synapse_count, draft.master)
    context.measure(f"{path}/parameters", measures.parameter_count, draft.master)
    context.measure(f"{path}/state_hash", measures.state_hash, image, tested, bursts=STATE_BURSTS)
    context.measure(f"{path}/spikes", measures.spike_count, image, tested, bursts=STATE_BURSTS)
    return image
