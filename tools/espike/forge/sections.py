"""Sections of a configuration: keys, their ranges and defaults, and keys that were dropped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from .packages import Meta, Struct, msgspec

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
Weight = Annotated[float, Meta(ge=0, le=1e9)]
Bits = Annotated[int, Meta(ge=2, le=8)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]

Preset = Literal["reasoning", "memory", "adaptive"]
Operator = Literal["linear", "slerp", "ties", "dare", "area-swap", "projection-insertion"]
Rung = Literal["lossless", "w4", "b53", "b62", "ternary", "vq4", "vq8"]


def about(text: str) -> msgspec.Meta:
    """The description of a key, for the schema."""
    return Meta(description=text)


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class Run(Section, frozen=True):
    """What is run, and on which engines it is verified."""

    suite: Annotated[Text, about("name of a suite, or path of a file of recordings")]
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$(?!\n)"), about("name of the run's models")] = "forge"
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1), about("every draw of the run comes from it")] = 0
    board: Annotated[Text, about("board file whose limits hold")] = "esp32c3"
    verify: Annotated[tuple[Text, ...], about("boards that must answer as the host does, item by item")] = ("native",)
    levels: Annotated[tuple[Count, ...], about("levels of the suite; none: all")] = ()
    deadline_us: Annotated[Natural, about("microseconds that a burst may take; 0: no deadline")] = 0


class Adopt(Section, frozen=True):
    """Candidates: designed, or read from files."""

    candidates: Annotated[tuple[Preset, ...] | None, about("presets; absent: all three, or none beside `from`")] = None
    sources: Annotated[tuple[Text, ...], about("files .nir and .npz")] = msgspec.field(default=(), name="from")
    hidden: Annotated[tuple[Count, ...], Meta(min_length=1), about("neurons of the hidden areas")] = (64, 32)
    epochs: Annotated[Count, about("epochs of training for each candidate")] = 8

    def __post_init__(self) -> None:
        if not self.presets and not self.sources:
            raise ValueError("has neither candidates nor `from`")

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Presets that are designed."""
        if self.candidates is not None:
            return self.candidates
        return () if self.sources else ("reasoning", "memory", "adaptive")


class Evolve(Section, frozen=True):
    """Generations of merges."""

    population: Annotated[int, Meta(ge=2, le=1000), about("candidates of a generation")] = 8
    generations: Annotated[Natural, about("generations at most; 0: the best candidate goes on")] = 10
    operators: Annotated[tuple[Operator, ...], Meta(min_length=1), about("how two parents are merged")] = (
        "linear", "slerp", "ties", "dare", "area-swap", "projection-insertion",
    )  # fmt: skip
    price_per_kilobyte: Annotated[Weight, about("accuracy that 1,024 bytes must be worth")] = 0.0005
    patience: Annotated[Count, about("generations without a better one, then it ends")] = 4


class Settle(Section, frozen=True):
    """Bursts after the last sample, and the early exit."""

    bursts_most: Annotated[Natural, about("bursts after the last sample that are tried, at most")] = 8
    margin_most: Annotated[Natural, about("largest margin, in spikes, at which answering early is tried")] = 8
    score_loss_most: Annotated[Share, about("accuracy that the early exit may cost")] = 0.005


class Quant(Section, frozen=True):
    """Float -> integers."""

    bits: Annotated[Bits, about("bits of a weight")] = 8
    ternary: Annotated[bool, about("try weights of -1, 0 and 1 too, with fine-tuning")] = False
    calibrate: Annotated[float, Meta(gt=0, le=1), about("share of the training set that scales are chosen by")] = 0.25


class Grokfast(Section, frozen=True):
    """Slow gradients made stronger (Grokfast, arXiv:2405.20233)."""

    alpha: Annotated[float, Meta(ge=0, lt=1), about("memory of the moving average of gradients")] = 0.98
    strength: Annotated[Weight, about("how much of the average is added")] = msgspec.field(default=2.0, name="lambda")


class Train(Section, frozen=True):
    """Levels in order, with replay and consolidation."""

    examples: Annotated[Count, about("training items of a level")] = 2000
    validation: Annotated[Count, about("validation items of a level")] = 500
    test: Annotated[Count, about("test items of a level")] = 500
    epochs_per_level: Annotated[Count, about("epochs of one try at a level")] = 3
    advance_at: Annotated[Share, about("lower confidence bound of validation accuracy that passes a level")] = 0.8
    max_retries: Annotated[Natural, about("further tries at a level")] = 2
    batch: Annotated[Count, about("items of a step of the optimizer")] = 32
    rate: Annotated[Positive, about("learning rate, which falls to 0 as a cosine")] = 0.01
    warmup: Annotated[Natural, about("steps in which the rate rises")] = 0
    decay: Annotated[Share, about("decay of weights")] = 0.0
    clip: Annotated[Weight, about("largest norm of the gradient; 0: as it is")] = 0.0
    grokfast: Annotated[Grokfast | Literal["off"], about("stronger slow gradients, or off")] = "off"
    replay: Annotated[bool, about("items of old levels are trained again")] = True
    reservoir_bytes: Annotated[int, Meta(ge=0, le=1 << 26), about("bytes of old items, which are replayed")] = 1 << 16
    augment: Annotated[bool, about("series are trained in changed copies too: shifted, louder, with noise")] = False
    quiet: Annotated[Weight, about("weight of the penalty for spikes while nothing is sensed")] = 0.0
    early: Annotated[Weight, about("weight of the loss after every burst, which makes answers come early")] = 0.0
    consolidation: Annotated[Weight, about("weight of the answers of the network as it was before the level")] = 0.1
    difficulty: Annotated[float, Meta(gt=0, lt=1), about("accuracy of the level that training begins with")] = 0.75


class Tune(Section, frozen=True):
    """Cycles of repair (A) and homeostasis (B)."""

    cycles_most: Annotated[Natural, about("cycles of both kinds, at most")] = 30
    strength: Annotated[float, Meta(gt=0, le=1), about("share of an update that is applied")] = 0.5
    epochs: Annotated[Count, about("epochs of one update")] = 2
    rate: Annotated[Positive, about("learning rate of an update")] = 0.001
    loss_most: Annotated[Share, about("accuracy that a cycle may cost")] = 0.005
    target: Annotated[Share, about("solve rate at which it ends")] = 0.7
    plateau_window: Annotated[Count, about("evaluations without a gain, then the kind of cycle changes")] = 3
    plateau_threshold: Annotated[Share, about("gain over the best so far that counts as one")] = 0.01


class Search(Section, frozen=True):
    """NSGA-II over bits, pruning and bursts."""

    population: Annotated[int, Meta(ge=4, le=1000), about("individuals of a generation")] = 24
    generations: Annotated[Natural, about("generations; 0: no search")] = 10
    workers: Annotated[Count, about("processes that evaluate")] = 1
    scheduler: Annotated[str, Meta(max_length=4096), about("address of a dask scheduler; empty: this machine")] = ""


class Fit(Section, frozen=True):
    """Made to fit the board."""

    prune: Annotated[float, Meta(ge=0, lt=1), about("share of hidden neurons that pruning tries to remove")] = 0.35
    score_loss_most: Annotated[Share, about("accuracy that pruning may cost")] = 0.01
    bits: Annotated[tuple[Bits, ...], Meta(min_length=1), about("widths of weights that are tried")] = (8, 4, 3)
    search: Annotated[Search, about("the search")] = Search()


class Retention(Section, frozen=True):
    """Of the baseline's accuracy, the lower bound that must remain. Lossless is bit for bit, and no number."""

    w4: Share = 0.99
    b53: Share = 0.98
    b62: Share = 0.95
    ternary: Share = 0.95
    vq4: Share = 0.95
    vq8: Share = 0.95
    cumulative: Annotated[Share, about("of the network that came into pack, after all rungs")] = 0.95


class Pack(Section, frozen=True):
    """The ladder of formats."""

    rungs: Annotated[tuple[Rung, ...], Meta(min_length=1), about("formats, from safe to small")] = (
        "lossless", "w4", "b53", "b62", "ternary",
    )  # fmt: skip
    retention: Annotated[Retention, about("per rung")] = Retention()
    retries: Annotated[Natural, about("further tries at a rung, each with one knob changed")] = 2


class Gates(Section, frozen=True):
    """Limits that hold in every phase. Invariants allow no violation, so they have no key."""

    retention: Annotated[Share, about("lower bound of what must remain of a baseline")] = 0.95
    agreement: Annotated[Share, about("share of validation items that image and float network answer alike")] = 0.9
    retention_closed_loop: Annotated[Share, about("the same for tasks with a plant")] = 0.9
    device_success: Annotated[Share, about("share of a plant's episodes that must succeed")] = 0.85
    forgetting_most: Annotated[Share, about("mean loss on old levels")] = 0.05
    branching_drift_most: Annotated[Weight, about("change of the branching ratio")] = 0.1
    rate_drift_most: Annotated[Weight, about("change of firing rates, as a share of them")] = 0.1
    calibration_error_most: Annotated[Share, about("expected calibration error")] = 0.1
    consistency: Annotated[Share, about("similarity of a network to itself under noise")] = 0.85
    duty_most: Annotated[Share, about("share of bursts in which an answering neuron may fire")] = 1.0
    rate_most: Annotated[Share, about("spikes per neuron and burst under any input")] = 0.6
    idle_rate_most: Annotated[Share, about("the same while nothing is sensed")] = 0.02
    recovery_bursts: Annotated[Count, about("bursts until a network is at rest again")] = 50
    ram_spare_bytes: Annotated[Natural, about("bytes of the board's RAM that stay free")] = 16384
    busy_most: Annotated[Share, about("share of the burst's deadline that may be used")] = 0.7


Table = dict[str, dict[str, Any]]


class Config(Section, frozen=True):
    """A whole file. `quick` is laid over the rest by `load(path, quick=True)`, and empty thereafter."""

    run: Run
    adopt: Adopt = Adopt()
    evolve: Evolve = Evolve()
    settle: Settle = Settle()
    quant: Quant = Quant()
    train: Train = Train()
    tune: Tune = Tune()
    fit: Fit = Fit()
    pack: Pack = Pack()
    gates: Gates = Gates()
    quick: Table = msgspec.field(default_factory=dict)


_SERVICE = "espike needs no language model and no service: run.suite names tasks that are generated here"
_MARGIN = "confidence is calibrated from the decoder's margin"
_PERSONA = "the B cycle measures how a network fires, and has no persona"
_STEPS = "every step of a run is kept, and every epoch evaluated"
DROPPED = {
    "frontier_models": _SERVICE, "openrouter_budget": _SERVICE,
    "virtue_rules": "invariants that a network must hold are built in, and allow no violation",
    "temperature_range": _MARGIN, "temperature_prediction_enabled": _MARGIN,
    "dream_temperature": "replay draws items that were kept, at no temperature",
    "mixed_precision": "the trainer computes in float32", "optimizer": "it is Adam, with train.grokfast",
    "scheduler": "the rate falls as a cosine after train.warmup",
    "tool_types": 'devices are tasks: suite = "devices"',
    "lora_r": "an update is of whole weights, applied by tune.strength",
    "gradient_variance_window": "levels are assessed by accuracy", "swe_bench_subset_size": "run.suite names the tasks",
    "target_swe_bench_rate": "the suite's solve rate is tune.target",
    "tool_analysis_enabled": _PERSONA, "self_analysis_enabled": _PERSONA, "persona_discovery_samples": _PERSONA,
    "eval_every_n_steps": _STEPS, "save_checkpoint_every_n_steps": _STEPS,
}  # fmt: skip
"""Keys of the first specification that have no place here -> why."""
DROPPED_PREFIXES = {"wandb_": "runs are kept by the forge; `espike forge export` writes for other tools"}
MOVED = {
    "assessment_samples_per_level": "train.validation", "assessment_samples": "train.validation",
    "target_accuracy": "train.difficulty", "num_levels": "run.levels", "questions_per_level": "train.examples",
    "level_completion_threshold": "train.advance_at", "batch_size": "train.batch", "learning_rate": "train.rate",
    "warmup_steps": "train.warmup", "weight_decay": "train.decay", "gradient_clip": "train.clip",
    "dream_epochs_per_level": "train.replay", "autoencoder_loss_weight": "train.consolidation",
    "baking_strength": "tune.strength", "baking_epochs": "tune.epochs", "baking_lr": "tune.rate",
    "max_ab_iterations": "tune.cycles_most", "tool_success_threshold": "gates.device_success",
}  # fmt: skip
"""Keys of the first specification that have another name here."""
