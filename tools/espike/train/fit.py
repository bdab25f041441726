"""model and data -> trained connectome: epochs of batches, and how well it then does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import sensing
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.senses import find

from . import augment
from . import model as models
from .data import Data, Examples
from .grid import on_grid
from .lif import Floats, Trace, backward, forward
from .model import Model
from .optimizer import Adam, Grokfast, clipped, cosine, loss_of_counts

COUNT_SPAN = 12.5
"""What a neuron that fires in every burst is ahead of a silent one, as a logit."""
TESTED_AT_ONCE = 256
SERIES = 8
"""Samples from which a presentation can fall silent in its course."""

Progress = Callable[[int, int, str], None]
"""(epochs done, all, loss and accuracy)"""


@dataclass(frozen=True)
class Schedule:
    """How training goes."""

    epochs: int = 30
    """At least."""
    steps: int = 600
    """Further epochs until there are so many steps: what little data needs."""
    batch: int = 32
    rate: float = 1e-2
    """Learning rate of the first step; it falls to 0 as a cosine."""
    seed: int = 0
    copies: int | None = None
    """Changed copies of a series in an epoch (`augment`); 0: as it is; None: by the data."""
    bias: bool = False
    """Biases are trained also where all are 0."""
    quiet: float = 0.0
    """Weight of a penalty for spikes while encoders are given nothing, also after something."""
    early: float = 0.0
    """Weight of the loss of the counts so far, mean over bursts: the answer comes early, and undecided till it can."""
    warmup: int = 0
    """Steps in which the rate rises."""
    decay: float = 0.0
    """Decay of weights (`Adam`)."""
    clip: float = 0.0
    """Largest norm of the gradient; 0: any."""
    grokfast: tuple[float, float] | None = None
    """(alpha, strength) of the filter (`Grokfast`)."""

    def plan(self, data: Data) -> tuple[int, int, int]:
        """(epochs, copies of a series in an epoch, steps of all epochs)."""
        copies = augment.copies(len(data.train), data.samples) if self.copies is None else self.copies
        steps = len(_batches(len(data.train) * max(1, copies), self.batch))
        epochs = max(self.epochs, -(-self.steps // steps))
        return epochs, copies, epochs * steps


@dataclass(frozen=True)
class Scores:
    """How a network does on examples."""

    accuracy: float
    loss: float
    """Mean cross-entropy of the counts, in nats."""
    rates: dict[str, float]
    """Spikes per neuron and burst of each area; of graded ones the share of bursts in which a potential is not 0."""
    confusion: NDArray[np.int64]  # (classes, classes): true class down, answer across


@dataclass(frozen=True)
class Outcome:
    """A trained network."""

    connectome: Connectome
    labels: tuple[str, ...]
    train: Scores
    test: Scores | None
    """None where there is no test set."""
    losses: tuple[float, ...]
    """Mean of each epoch, while the weights move."""
    accuracies: tuple[float, ...]
    """Of the training series in each epoch, while the weights move."""
    test_accuracies: tuple[float, ...]
    """After each epoch; empty where there is no test set."""
    test_losses: tuple[float, ...]
    norms: tuple[float, ...]
    """Mean norm of the gradients in each epoch, before they are clipped."""
    rates: tuple[float, ...]
    """Learning rate at the end of each epoch."""
    noise: tuple[float, ...]
    """Mean rate while nothing is sensed in each epoch, which `quiet` weighs; 0 where it weighs nothing."""


def present(model: Model, raw: NDArray[np.int32]) -> list[Floats | None]:
    """float32 (bursts, series, neurons) per area: what its encoders give; None: nothing."""
    senses, areas = model.senses, model.connectome.areas
    made: list[Floats | None] = [None] * len(areas)
    for encoder in senses.encoders:
        index = model.area(encoder.area)
        given = sensing.encode(encoder, raw, senses.bursts_per_sample).swapaxes(0, 1)
        into = made[index]
        if into is None:
            into = made[index] = np.zeros((senses.bursts, len(raw), areas[index].count), np.float32)
        size = np.float32(encoder.gain if encoder.kind == "value" else encoder.amount)
        into[: len(given), :, encoder.first : encoder.first + encoder.neurons] = given.astype(np.float32) * size
    return made


def train(
    model: Model, data: Data, schedule: Schedule, bits: Mapping[str, int], progress: Progress | None = None
) -> Outcome:
    """Train all weights, those into the areas of `bits` rounded to that many bits in the forward pass.

    The gradient of a rounded weight is that of the weight (straight through). Test series are looked at and never
    learned from. Raises: EspikeError where data and network do not fit, or weights grow beyond all numbers.
    """
    data = _for_decoder(model, data)
    widths = {model.area(name): width for name, width in bits.items()}
    weights = [weight.copy() for weight in model.weights]
    biases = [bias.copy() for bias in model.biases]
    moved = [*weights, *biases]
    adam, rng = Adam(moved, schedule.decay), np.random.default_rng([schedule.seed, 1])
    epochs, copies, steps = schedule.plan(data)
    losses, accuracies, tested, courses = [], [], [], []
    slow = Grokfast(*schedule.grokfast) if schedule.grokfast is not None else None
    for epoch in range(epochs):
        loss, right, shown, course = 0.0, 0, 0, np.zeros(2)
        for raw, label in _shuffled(data.train, copies, schedule.batch, rng):
            rounded = on_grid(model.net, weights, widths)
            trace = forward(model.net, rounded, biases, present(model, raw))
            counts = _counts(model, trace)
            of_batch, by_count = loss_of_counts(counts, label, COUNT_SPAN / model.senses.bursts)
            by_spike = by_count + schedule.early * _early(model, trace, label) if schedule.early else by_count
            gradients = _gradients(model, rounded, biases, trace, by_spike, schedule.bias)
            if schedule.quiet:
                gradients, heard = _quieter(model, rounded, biases, schedule, gradients, raw[0])
                course[1] += heard
            course[0] += float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients)))
            gradients = slow.filtered(gradients) if slow is not None else gradients
            rate = cosine(adam.steps, steps, schedule.rate, schedule.warmup)
            adam.step(clipped(gradients, schedule.clip) if schedule.clip else gradients, rate)
            loss, right = loss + of_batch * len(label), right + int(np.sum(counts.argmax(axis=1) == label))
            shown += len(label)
        if not all(np.all(np.isfinite(parameter)) for parameter in moved):
            raise EspikeError(f"weights are no numbers after {epoch + 1} epochs", do="lower --lr")
        losses.append(loss / shown)
        accuracies.append(right / shown)
        if len(data.test):
            tested.append(score(model, on_grid(model.net, weights, widths), biases, data.test))
        courses.append((*(course / (steps // epochs)).tolist(), rate))
        if progress is not None:
            progress(epoch + 1, epochs, f"loss {losses[-1]:.3f}, accuracy {accuracies[-1]:.1%}")
    final = on_grid(model.net, weights, widths)
    return Outcome(
        connectome=models.connectome(model, final, biases, bits),
        labels=data.labels,
        train=score(model, final, biases, data.train),
        test=score(model, final, biases, data.test) if len(data.test) else None,
        losses=tuple(losses),
        accuracies=tuple(accuracies),
        test_accuracies=tuple(found.accuracy for found in tested),
        test_losses=tuple(found.loss for found in tested),
        norms=tuple(norm for norm, _, _ in courses),
        rates=tuple(rate for _, _, rate in courses),
        noise=tuple(heard for _, heard, _ in courses),
    )


def _for_decoder(model: Model, data: Data) -> Data:
    """The data with its labels as the decoder counts them."""
    senses, c = model.senses, model.connectome
    senses.check(c.areas)
    if senses.decoder.kind != "count" or not senses.fresh:
        what = f"a decoder {senses.decoder.kind!r}" if senses.decoder.kind != "count" else "presentations without reset"
        raise EspikeError(f"{what} cannot be trained", where="senses", do="count spikes from a reset")
    if (data.samples, data.channels) != (senses.samples, senses.channels):
        what = f"{data.samples} samples of {data.channels} channels"
        raise EspikeError(f"the data has {what}, the network takes {senses.samples} of {senses.channels}")
    part = senses.decoder.part(find(c.areas, senses.decoder.area, "senses: decoder"))
    names = senses.decoder.labels or (*data.labels, *(f"#{i}" for i in range(len(data.labels), part.stop - part.start)))
    unknown = [label for label in data.labels if label not in names]
    if unknown or len(names) != part.stop - part.start:
        what = f"knows no label {unknown[0]}" if unknown else f"has {part.stop - part.start} answers"
        raise EspikeError(f"the network {what}, the data has {len(data.labels)} labels", where="senses: decoder")
    own = np.array([names.index(label) for label in data.labels], np.int64)
    sets = [replace(examples, label=own[examples.label]) for examples in (data.train, data.test)]
    return replace(data, train=sets[0], test=sets[1], labels=tuple(names))


def _batches(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _shuffled(
    examples: Examples, copies: int, batch: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """An epoch in batches: each series once, or `copies` times and changed."""
    order = rng.permutation(np.tile(np.arange(len(examples)), max(1, copies)))
    for part in _batches(len(order), batch):
        raw = examples.raw[order[part]]
        yield (augment.changed(raw, rng) if copies else raw), examples.label[order[part]]


def _output(model: Model) -> tuple[int, slice]:
    """The area that the decoder reads, and which of its neurons."""
    decoder = model.senses.decoder
    index = model.area(decoder.area)
    area = model.connectome.areas[index]
    part = decoder.part(area)
    return index, slice(part.start - area.first, part.stop - area.first)


def _counts(model: Model, trace: Trace) -> Floats:
    """(series, neurons read): spikes of the presentation."""
    index, part = _output(model)
    counts: Floats = trace.spikes[index].sum(axis=0)[:, part]
    return counts


def _early(model: Model, trace: Trace, label: NDArray[np.int64]) -> Floats:
    """(bursts, series, neurons read): gradient by each spike of the mean loss of the counts after every burst.

    After the loss at every step of Deng et al., Temporal efficient training (arXiv:2202.11946), here of all counts so
    far, since those are what an early exit looks at.
    """
    index, part = _output(model)
    counts = trace.spikes[index][:, :, part].cumsum(axis=0)
    flat, labels = counts.reshape(-1, counts.shape[2]), np.tile(label, len(counts))
    _, by_count = loss_of_counts(flat, labels, COUNT_SPAN / model.senses.bursts)
    made: Floats = by_count.reshape(counts.shape)[::-1].cumsum(axis=0)[::-1]
    return made


def _gradients(
    model: Model, weights: Sequence[Floats], biases: Sequence[Floats], trace: Trace, by_read: Floats, all_biases: bool
) -> list[Floats]:
    """By the weights and then by the biases; 0 where there is no synapse, and of biases that are not trained.

    by_read: (series, neurons read), the same in all bursts, or (bursts, series, neurons read).
    """
    index, part = _output(model)
    by_spike = np.zeros_like(trace.spikes[index])
    by_spike[:, :, part] = by_read
    by_weight, by_bias = backward(model.net, weights, trace, index, by_spike)
    trained = [model.net.fed(i) and (all_biases or bool(np.any(bias))) for i, bias in enumerate(biases)]
    masked = [gradient * mask for gradient, mask in zip(by_weight, model.masks, strict=True)]
    return masked + [gradient * on for gradient, on in zip(by_bias, trained, strict=True)]


def _quieter(
    model: Model,
    weights: Sequence[Floats],
    biases: Sequence[Floats],
    schedule: Schedule,
    gradients: list[Floats],
    raw: NDArray[np.int32],
) -> tuple[list[Floats], float]:
    """The gradients and those of `quiet` times the mean rate of each area while nothing is sensed; the sum of rates.

    Of series, that is one in which nothing is, and the second half of one that ends after a quarter of `raw`.
    """
    senses = model.senses
    still = np.broadcast_to(sensing.idle(senses), (1, senses.samples, senses.channels)).astype(np.int32)
    when = np.ones((senses.bursts, 1, 1), np.float32)
    if senses.samples >= SERIES:
        begun = np.concatenate([raw[: senses.samples // 4], still[0, senses.samples // 4 :]])
        still = np.stack([still[0], begun])
        when = np.repeat(when, 2, axis=1)
        when[: senses.bursts // 2, 1] = 0
    trace = forward(model.net, weights, biases, present(model, still))
    made, heard = list(gradients), 0.0
    for index, spikes in enumerate(trace.spikes):
        if not model.net.fed(index) or model.net.layers[index].graded:
            continue
        counted = when.sum() * spikes.shape[2]
        heard += float((spikes * when).sum() / counted)
        by_spike = np.broadcast_to(when * np.float32(schedule.quiet / counted), spikes.shape)
        by_weight, by_bias = backward(model.net, weights, trace, index, by_spike)
        masked = [gradient * mask for gradient, mask in zip(by_weight, model.masks, strict=True)]
        trained = [bool(np.any(bias)) or schedule.bias for bias in biases]
        more = masked + [gradient * on for gradient, on in zip(by_bias, trained, strict=True)]
        made = [gradient + added for gradient, added in zip(made, more, strict=True)]
    return made, heard


def score(model: Model, weights: Sequence[Floats], biases: Sequence[Floats], examples: Examples) -> Scores:
    """How a network does on examples whose labels are neurons of the decoder."""
    _, part = _output(model)
    confusion = np.zeros((part.stop - part.start,) * 2, np.int64)
    sent, loss = np.zeros(len(model.net.layers)), 0.0
    for some in _batches(len(examples), TESTED_AT_ONCE):
        trace = forward(model.net, weights, biases, present(model, examples.raw[some]))
        counts, label = _counts(model, trace), examples.label[some]
        np.add.at(confusion, (label, counts.argmax(axis=1)), 1)
        loss += loss_of_counts(counts, label, COUNT_SPAN / model.senses.bursts)[0] * len(label)
        sent += [np.count_nonzero(spikes) / spikes[0, 0].size / len(spikes) for spikes in trace.spikes]
    names = [area.id for area in model.connectome.areas]
    rates = dict(zip(names, (sent / len(examples)).tolist(), strict=True))
    return Scores(float(np.trace(confusion) / len(examples)), loss / len(examples), rates, confusion)


def test(model: Model, examples: Examples) -> Scores:
    """How a network does on examples, as it is. Raises: EspikeError where they do not fit it."""
    senses = model.senses
    if examples.raw.shape[1:] != (senses.samples, senses.channels):
        what = f"{examples.raw.shape[1]} samples of {examples.raw.shape[2]} channels"
        raise EspikeError(f"examples have {what}, the network takes {senses.samples} of {senses.channels}")
    return score(model, model.weights, model.biases, examples)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """JSON values of all but the connectome."""
    sets = {"train": outcome.train, "test": outcome.test}
    return {
        "labels": list(outcome.labels),
        **{name: None if scores is None else vars(scores) for name, scores in sets.items()},
        "losses": list(outcome.losses),
        "accuracies": list(outcome.accuracies),
        "test_accuracies": list(outcome.test_accuracies),
    }
