"""Models, hand-offs and phase results as JSON, and the one function that evaluates a hand-off's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar, get_args

from espike_sim.errors import EspikeError

from . import catalogue
from .packages import Meta, Struct, msgspec

Phase = Literal["adopt", "evolve", "settle", "quant", "train", "tune", "fit", "pack"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""In the order in which they run."""

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="SHA-256 of an object")]
ModelId = Annotated[
    str,
    Meta(pattern=r"^(adopt|evolve|settle|quant|train|tune|fit|pack)_[a-z0-9_]+_[0-9]{8}_[0-9]{6}_[0-9a-f]{8}$(?!\n)"),
]
Session = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", max_length=36, description="the run",
        extra_json_schema={"format": "uuid"},
    ),
]  # fmt: skip
Instant = Annotated[
    datetime,
    Meta(tz=True, extra_json_schema={"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}),
]
Specialization = Literal["reasoning", "memory_integration", "adaptive_computation"]
Value = bool | int | float | str
Metrics = dict[str, Value]
"""Values by name of the catalogue."""
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Positive = Annotated[float, Meta(ge=0, le=1e300)]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What crosses a file, read strictly."""


class Provenance(Record, frozen=True):
    """Where a model comes from."""

    tool: Annotated[Text, Meta(description="version of espike")]
    seed: Count
    git: str = ""
    parents: tuple[ModelId, ...] = ()


class Model(Record, frozen=True, kw_only=True):
    """A network that a phase made; `parameters` are synapses and neurons' own numbers that are trained."""

    id: ModelId
    session: Session
    phase: Phase
    name: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,80}$(?!\n)")]
    created_at: Instant
    parameters: Annotated[int, Meta(ge=1)]
    bytes: Annotated[int, Meta(ge=1, description="of the image, or of the master where there is no image")]
    bytes_per_synapse: Positive
    neurons: Annotated[int, Meta(ge=1)]
    synapses: Count
    provenance: Provenance
    master: Hash | None = None
    image: Hash | None = None
    specialization: Specialization | None = None
    board: str = ""
    formats: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    gates: Annotated[tuple[Hash, ...], Meta(description="gate reports")] = ()
    metrics: Metrics = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.id != model_id(self.phase, self.name, self.created_at, self.content):
            raise ValueError("the id does not follow from phase, name, time and content")

    @property
    def content(self) -> str:
        """Hash of the master, or of the image where there is none."""
        if not (self.master or self.image):
            raise ValueError("has neither master nor image")
        return self.master or self.image or ""


def model_id(phase: str, name: str, created_at: datetime, content: str) -> str:
    """{phase}_{name}_{YYYYMMDD}_{HHMMSS}_{first 8 hex digits of the content's hash}, in UTC."""
    return f"{phase}_{name}_{created_at.astimezone(UTC):%Y%m%d_%H%M%S}_{content[:8]}"


class Rule(Record, frozen=True, tag_field="rule"):
    """What a hand-off must hold. `metric` is a name of the catalogue; a model without it fails."""


class NumModels(Rule, frozen=True, tag="num_models"):
    """Models that are handed over."""

    least: Count = 1
    most: Count = 1 << 16


class NeuronRange(Rule, frozen=True, tag="neurons"):
    """Neurons of each model."""

    least: Count = 1
    most: Count = 1 << 32


class SynapseRange(Rule, frozen=True, tag="synapses"):
    """Synapses of each model."""

    least: Count = 1
    most: Count = 1 << 32


class MinAccuracy(Rule, frozen=True, tag="min_accuracy"):
    """Accuracy, 0..1."""

    metric: Text
    least: Annotated[float, Meta(ge=0, le=1)]


class MinFitness(Rule, frozen=True, tag="min_fitness"):
    """Accuracy less the price of bytes."""

    metric: Text
    least: Number


class MaxBytes(Rule, frozen=True, tag="max_bytes"):
    """Bytes of each model."""

    most: Count


class MaxRam(Rule, frozen=True, tag="max_ram"):
    """Bytes of RAM that the engine needs."""

    metric: Text
    most: Count


class MaxBurst(Rule, frozen=True, tag="max_burst_us"):
    """Microseconds of a burst, as planned for the board or measured on it."""

    metric: Text
    most: Positive


class RequiredMetadata(Rule, frozen=True, tag="required_metadata"):
    """Fields of the model's record that must not be empty."""

    fields: Annotated[
        tuple[Literal["specialization", "board", "formats", "tags", "gates", "metrics"], ...], Meta(min_length=1)
    ]


class RequiredObjects(Rule, frozen=True, tag="required_objects"):
    """Objects that the record must name, and the registry must have."""

    objects: Annotated[tuple[Literal["master", "image"], ...], Meta(min_length=1)]


AnyRule = (
    NumModels | NeuronRange | SynapseRange | MinAccuracy | MinFitness | MaxBytes | MaxRam | MaxBurst
    | RequiredMetadata | RequiredObjects
)  # fmt: skip


class Handoff(Record, frozen=True):
    """What one phase gives the next."""

    source: Phase
    target: Phase
    models: tuple[Model, ...]
    rules: tuple[AnyRule, ...]

    def __post_init__(self) -> None:
        if PHASES.index(self.source) >= PHASES.index(self.target):
            raise ValueError(f"{self.source} does not come before {self.target}")


class Failure(Record, frozen=True):
    """A rule that does not hold."""

    rule: str
    reason: str
    model: str = ""
    """Its id; empty: the hand-off as a whole."""


class Verdict(Record, frozen=True):
    """A gate that was judged: `value` of `metric` against `limit`."""

    gate: Text
    metric: Text
    value: Number
    limit: Number
    passed: bool
    action: str = ""
    """What followed where it failed."""


class PhaseResult(Record, frozen=True):
    """How a phase ended."""

    success: bool
    phase: Phase
    models: tuple[ModelId, ...]
    metrics: Metrics
    artefacts: dict[str, Hash]
    seconds: Positive
    gates: tuple[Verdict, ...] = ()
    reason: str = ""
    """Why it failed, or was left out."""

    def __post_init__(self) -> None:
        if self.success and not all(gate.passed for gate in self.gates):
            raise ValueError("is no success: a gate failed")
        if not self.success and not self.reason:
            raise ValueError("failed without a reason")


T = TypeVar("T")


def read(data: bytes | str, kind: type[T], where: str) -> T:
    """A struct from JSON. Raises: EspikeError naming the field, where it is no JSON or not what the schema says."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise EspikeError(f"is no {kind.__name__}: {error}", where=where) from None


def write(value: object) -> bytes:
    """A struct as JSON, the same bytes for the same values."""
    return msgspec.json.encode(value, order="deterministic")


def evaluate(handoff: Handoff, has: Callable[[str], bool]) -> list[Failure]:
    """Every rule that fails, per model; empty: the next phase may begin. has: does the registry hold that object?"""
    failures: list[Failure] = []
    for rule in handoff.rules:
        name = str(rule.__struct_config__.tag)
        if isinstance(rule, NumModels):
            failures += [Failure(name, why) for why in _outside(len(handoff.models), rule, "models")]
        else:
            failures += [Failure(name, why, model.id) for model in handoff.models for why in _broken(rule, model, has)]
    return failures


def require(handoff: Handoff, has: Callable[[str], bool]) -> None:
    """Raises: EspikeError naming every rule that fails."""
    failures = evaluate(handoff, has)
    if failures:
        said = "; ".join(f"{f.rule}: {f'{f.model} ' if f.model else ''}{f.reason}" for f in failures)
        raise EspikeError(f"breaks its contract: {said}", where=f"hand-off {handoff.source} to {handoff.target}")


def _outside(value: int, rule: NumModels | NeuronRange | SynapseRange, what: str) -> Iterator[str]:
    if not rule.least <= value <= rule.most:
        yield f"has {value:,} {what}, expected {rule.least:,} to {rule.most:,}"


def _broken(rule: AnyRule, model: Model, has: Callable[[str], bool]) -> Iterator[str]:
    """Why a rule does not hold for a model; nothing where it does."""
    match rule:
        case NeuronRange():
            yield from _outside(model.neurons, rule, "neurons")
        case SynapseRange():
            yield from _outside(model.synapses, rule, "synapses")
        case MaxBytes():
            if model.bytes > rule.most:
                yield f"has {model.bytes:,} bytes, at most {rule.most:,}"
        case MinAccuracy() | MinFitness():
            yield from _measured(rule.metric, model, least=rule.least)
        case MaxRam() | MaxBurst():
            yield from _measured(rule.metric, model, most=rule.most)
        case RequiredMetadata():
            yield from (f"has no {name}" for name in rule.fields if not getattr(model, name))
        case RequiredObjects():
            yield from (f"has no {name}" for name in rule.objects if not getattr(model, name))
            named = [(name, getattr(model, name)) for name in rule.objects]
            yield from (f"has a {name} that is not in the registry" for name, key in named if key and not has(key))


def _measured(name: str, model: Model, least: float | None = None, most: float | None = None) -> Iterator[str]:
    try:
        catalogue.match(name)
    except EspikeError as error:
        yield str(error)
        return
    value = model.metrics.get(name)
    if value is None or isinstance(value, bool | str):
        yield f"was not measured: {name}"
    elif least is not None and not value >= least:
        yield f"has {name} {value:g}, at least {least:g}"
    elif most is not None and not value <= most:
        yield f"has {name} {value:g}, at most {most:g}"


def standard(target: Phase) -> tuple[AnyRule, ...]:
    """Rules of every hand-off to a phase; limits of the board and of the configuration are added to them."""
    some = NumModels() if target in ("evolve", "settle") else NumModels(1, 1)
    objects = RequiredObjects(("master", "image") if target in ("train", "tune", "fit", "pack") else ("master",))
    extra = (RequiredMetadata(("specialization",)),) if target == "evolve" else ()
    return (some, NeuronRange(), SynapseRange(), objects, *extra)
