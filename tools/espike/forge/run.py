"""Configuration -> a run: phases one after the other, each with its hand-off checked, kept in the registry."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from espike_sim.errors import EspikeError

from ..toolchain import ROOT
from . import contracts, measures, tasks
from .config import Config, as_toml
from .context import SABOTAGES, Context, Draft, Outcome, Say
from .contracts import PHASES, Handoff, Model, Phase, PhaseResult, Provenance, Verdict
from .deploy import deploy
from .measures import master_of
from .monitor import PHASE, monitored
from .packages import msgspec, one_thread
from .phases import RUN
from .registry import Metric, Registry
from .tasks import Suite

_BOARDS = "boards: "
"""What a reason begins with that boards gave."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    run: str
    success: bool
    results: tuple[PhaseResult, ...]
    models: tuple[Model, ...]
    """Of the last phase."""
    reason: str
    seconds: float

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """Gates that were missed."""
        return tuple(gate for result in self.results for gate in result.gates if not gate.passed)

    @property
    def kind(self) -> str:
        """Why it failed: gate, contract, device or error; empty where it did not."""
        return kind_of_failure(self.results, self.reason)


def check(config: Config) -> Suite:
    """The suite of a configuration. Raises: EspikeError where there is no such suite or board."""
    measures.board_of(config.run.board)
    return tasks.suite(config.run.suite)


def run(
    registry: Registry, config: Config, *, resume: str | None = None, phases: tuple[Phase, ...] = PHASES,
    sabotage: str = "", say: Say = lambda text: None, on_phase: Callable[[str, int, int], None] | None = None,
) -> Ended:  # fmt: skip
    """Run phases of a configuration, or go on with a run that was cut off.

    Steps that are kept are taken. Raises: EspikeError where the configuration does not fit, or there is no such run.
    """
    if sabotage and sabotage not in SABOTAGES:
        raise EspikeError(f"sabotage {sabotage!r} is unknown", do="use " + ", ".join(SABOTAGES))
    suite = check(config)
    began = time.monotonic()
    id = registry.run_begin(config.run.name, as_toml(config), config.run.seed, metadata.version("espike"), resume)
    try:
        models = () if "adopt" in phases else _before(registry, id, phases[0])
        with one_thread(), monitored(registry, id) as host:

            def tell(text: str) -> None:
                host.beat()
                say(text)

            results, models, reason = _through(
                registry, config, suite, id, phases, models, sabotage, tell, on_phase or (lambda *_: None)
            )
    except BaseException as error:
        registry.run_end(id, False, str(error) or type(error).__name__, time.monotonic() - began)
        raise
    registry.run_end(id, not reason, reason, time.monotonic() - began)
    registry.metric(id, PHASE, Metric("system/run/seconds", time.monotonic() - began, "clock"))
    return Ended(id, not reason, tuple(results), models, reason, time.monotonic() - began)


def _through(
    registry: Registry, config: Config, suite: Suite, run: str, phases: tuple[Phase, ...], models: tuple[Model, ...],
    sabotage: str, say: Say, on_phase: Callable[[str, int, int], None],
) -> tuple[list[PhaseResult], tuple[Model, ...], str]:  # fmt: skip
    """Phases up to one that fails, and the boards behind the last -> results, models, why it failed."""
    results: list[PhaseResult] = []
    drawn: dict[str, str] = {}
    for number, phase in enumerate(phases):
        on_phase(phase, number, len(phases))
        result, models = _phase(registry, config, suite, run, phase, models, sabotage, say, drawn)
        results.append(result)
        if not result.success:
            return results, models, f"{phase}: {result.reason}"
    if "pack" not in phases:
        return results, models, ""
    verdicts, reason = _verified(registry, config, suite, run, models[0], say)
    results[-1] = _deployed(results[-1], verdicts, reason)
    registry.phase_end(run, results[-1])
    if not reason:
        registry.promote(models[0].id)
    return results, models, reason


def kind_of_failure(results: Sequence[PhaseResult], reason: str) -> str:
    """gate, contract, device or error: why a run failed; empty where there is no reason."""
    if not reason:
        return ""
    if reason.startswith(_BOARDS):
        return "device"
    if any(not gate.passed for result in results for gate in result.gates):
        return "gate"
    return "contract" if "breaks its contract" in reason else "error"


def _verified(
    registry: Registry, config: Config, suite: Suite, run: str, model: Model, say: Say
) -> tuple[list[Verdict], str]:
    """Verdicts of the boards, and why they do not do; a board that cannot be reached is no verdict."""
    try:
        verdicts = deploy(registry, config, suite, run, model, say)
    except EspikeError as error:
        registry.log(run, "pack", str(error), "error")
        return [], f"{_BOARDS}{error}"
    missed = [gate.gate for gate in verdicts if not gate.passed]
    return verdicts, f"{_BOARDS}{', '.join(missed)}" if missed else ""


def _deployed(packed: PhaseResult, verdicts: list[Verdict], reason: str) -> PhaseResult:
    fields = msgspec.structs.asdict(packed)
    fields |= {"gates": (*packed.gates, *verdicts), "success": packed.success and not reason, "reason": reason}
    return PhaseResult(**fields)


def _before(registry: Registry, run: str, phase: Phase) -> tuple[Model, ...]:
    """Models of the phase before, of this run. Raises: EspikeError where it did not end well."""
    before = PHASES[PHASES.index(phase) - 1]
    found = [p for p in registry.phases(run) if p.phase == before and p.result is not None and p.result.success]
    if not found or found[0].result is None:
        raise EspikeError(f"phase {phase} needs what {before} makes", where=f"run {run}", do=f"run {before} first")
    return tuple(registry.model(id) for id in found[0].result.models)


def _phase(
    registry: Registry, config: Config, suite: Suite, run: str, phase: Phase, models: tuple[Model, ...],
    sabotage: str, say: Say, drawn: dict[str, str],
) -> tuple[PhaseResult, tuple[Model, ...]]:  # fmt: skip
    registry.phase_begin(run, phase)
    registry.metric(run, PHASE, Metric("system/run/current_phase", phase, "host"))
    registry.log(run, phase, "begins")
    context = Context(registry, config, suite, run, phase, models, sabotage, lambda text: say(f"{phase}: {text}"),
                      drawn=drawn)  # fmt: skip
    began = time.monotonic()
    try:
        if models:
            _handed_over(registry, phase, models)
        outcome = RUN[phase](context)
    except EspikeError as error:
        registry.log(run, phase, str(error), "error")
        result = PhaseResult(False, phase, (), context.metrics, {}, time.monotonic() - began, (), str(error))
        registry.phase_end(run, result)
        return result, ()
    result, made = _result(context, outcome, time.monotonic() - began)
    registry.phase_end(run, result, made)
    context.timed("seconds", result.seconds)
    counts = {"computed": context.computed, "found": context.found}
    registry.metric(run, PHASE, *(
        Metric(f"system/run/{phase}/steps_{name}", count, "host") for name, count in counts.items()))  # fmt: skip
    registry.log(run, phase, f"{'ends' if result.success else 'fails'}: {context.computed} steps computed, "
                             f"{context.found} found")  # fmt: skip
    return result, made


def _handed_over(registry: Registry, phase: Phase, models: tuple[Model, ...]) -> None:
    """Raises: EspikeError naming every rule of the hand-off that fails."""
    handoff = Handoff(models[0].phase, phase, models, contracts.standard(phase))
    contracts.require(handoff, registry.has)


def _result(context: Context, outcome: Outcome, seconds: float) -> tuple[PhaseResult, tuple[Model, ...]]:
    missed = [gate for gate in outcome.gates if not gate.passed]
    report = context.put(contracts.write(outcome.gates))
    made = tuple(_model(context, draft, report) for draft in outcome.models)
    reason = "; ".join(f"gate {g.gate} ({g.metric} {g.value:g}, limit {g.limit:g})" for g in missed)
    if not made and not reason:
        reason = "made no model"
    result = PhaseResult(
        not reason, context.phase, tuple(model.id for model in made), context.metrics,  # type: ignore[arg-type]
        dict(outcome.artefacts), seconds, outcome.gates, reason,
    )  # fmt: skip
    return result, made


def _model(context: Context, draft: Draft, report: str) -> Model:
    """The registry's record of a network; report: hash of the phase's gates."""
    c = master_of(context.get(draft.master))
    size = len(context.get(draft.image or draft.master))
    at, phase = datetime.now(UTC).replace(microsecond=0), context.phase
    name = f"{context.config.run.name}_{draft.name}"
    made = Model(
        id=contracts.model_id(phase, name, at, draft.master), session=context.run, phase=phase,  # type: ignore[arg-type]
        name=name, created_at=at, parameters=max(1, measures.parameter_count(context.get(draft.master))), bytes=size,
        bytes_per_synapse=size / max(1, c.synapses), neurons=c.neurons, synapses=c.synapses,
        provenance=Provenance(metadata.version("espike"), context.config.run.seed, _git(), draft.parents),
        master=draft.master, image=draft.image or None, specialization=draft.specialization,  # type: ignore[arg-type]
        board=context.config.run.board, formats=draft.formats, tags=draft.tags, gates=(report,),
        metrics=context.metrics,
    )  # fmt: skip
    return context.registry.keep_model(made)


def _git() -> str:
    """The commit that runs; empty where that is not known."""
    try:
        found = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
