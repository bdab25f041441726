"""runs -> registry: what was asked, done, measured and made, in SQLite and objects in one home folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from .. import boards
from . import bundle, catalogue
from .contracts import Metrics, Model, PhaseResult, read, write
from .database import TABLES, Database
from .objects import HASH, Objects
from .packages import msgspec
from .rows import (
    MODEL,
    NESTED,
    Cleaned,
    Log,
    Metric,
    Phase,
    Run,
    Step,
    metric_values,
    read_metric,
    read_model,
    read_run,
    read_step,
    to_json,
)

__all__ = ["Cleaned", "Log", "Metric", "Phase", "Registry", "Run", "Step", "home", "now"]


def home(path: Path | str | None = None) -> Path:
    """The forge's folder: `path`, else `forge` where boards keep their state."""
    return Path(path) if path is not None else boards.home() / "forge"


class Registry:
    """Runs and objects of one home. Threads may share it; any number of processes may open the same home.

    What a method returned from is on the disk. Raises: EspikeError from every method where the home cannot be used.
    """

    def __init__(self, folder: Path, timeout_s: float = 30.0) -> None:
        self.folder = folder
        self.objects = Objects(folder / "objects")
        self._db = Database(folder / "registry.db", timeout_s)

    @classmethod
    def open(cls, folder: Path | str | None = None) -> Registry:
        """The registry of a home, made where it is missing. Raises: EspikeError where it is newer, or none."""
        return cls(home(folder))

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    # objects

    def put(self, data: bytes | Path) -> str:
        """Keep bytes, or those of a file -> their SHA-256."""
        return self.objects.put(data)

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises: EspikeError where it is absent or damaged."""
        return self.objects.get(key)

    def has(self, key: str) -> bool:
        """Is there such an object?"""
        return self.objects.has(key)

    # runs

    def run_begin(self, name: str, config: str, seed: int, tool: str, run: str | None = None) -> str:
        """Begin a run of a configuration (TOML), or go on with one that is there -> its id."""
        with self._db.change() as db:
            if run is None:
                run = str(uuid.uuid4())
                row = (run, name, config, seed, tool, "running", "", now(), 0.0, os.getpid())
                db.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?)", row)
            else:
                change = "UPDATE runs SET status = 'running', reason = '', process = ? WHERE run = ?"
                if not db.execute(change, (os.getpid(), run)).rowcount:
                    raise EspikeError(f"there is no run {run}", where=str(self.folder))
        return run

    def run_end(self, run: str, success: bool, reason: str = "", seconds: float = 0.0) -> None:
        """The run is done, or failed; seconds are added to those of earlier tries."""
        with self._db.change() as db:
            change = "UPDATE runs SET status = ?, reason = ?, seconds = seconds + ?, process = 0 WHERE run = ?"
            db.execute(change, ("done" if success else "failed", reason, seconds, run))

    def phase_begin(self, run: str, phase: str) -> None:
        """The phase begins, or begins again."""
        with self._db.change() as db:
            db.execute("REPLACE INTO phases VALUES (?, ?, 'running', ?, 0, NULL)", (run, phase, now()))

    def phase_end(self, run: str, result: PhaseResult, models: Sequence[Model] = ()) -> None:
        """The phase ended: its result, the models that it made and its artefacts, together.

        Raises: EspikeError where it did not begin, an object is absent, or a metric is not in the catalogue.
        """
        _check(result.metrics)
        with self._db.change() as db:
            for model in models:
                self._keep_model(db, model)
            change = "UPDATE phases SET status = ?, seconds = ?, result = ? WHERE run = ? AND phase = ?"
            row = ("done" if result.success else "failed", result.seconds, write(result).decode(), run, result.phase)
            if not db.execute(change, row).rowcount:
                raise EspikeError(f"phase {result.phase} did not begin", where=f"run {run}")
            for name, key in result.artefacts.items():
                self._require(key, f"artefact {name}")
                db.execute("REPLACE INTO artefacts VALUES (?, ?, ?, ?)", (run, result.phase, name, key))

    def find_run(self, prefix: str = "") -> Run:
        """The run whose id begins so; empty: the newest. Raises: EspikeError where there is none, or several."""
        found = [run for run in self.runs() if run.run.startswith(prefix)]
        if not found or (prefix and len(found) > 1):
            raise EspikeError(f"{len(found)} runs are called {prefix or 'anything'}", where=str(self.folder))
        return found[0]

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return [read_run(row) for row in self._db.rows("SELECT * FROM runs ORDER BY started DESC, rowid DESC")]

    def phases(self, run: str) -> list[Phase]:
        """Phases of a run that began, in that order."""
        rows = self._db.rows("SELECT * FROM phases WHERE run = ? ORDER BY started, rowid", run)
        where = f"{self.folder}: run {run}"
        results = [row["result"] and read(row["result"], PhaseResult, where) for row in rows]
        pairs = zip(rows, results, strict=True)
        return [Phase(row["phase"], row["status"], row["started"], row["seconds"], result) for row, result in pairs]

    def artefacts(self, run: str) -> dict[tuple[str, str], str]:
        """Objects by (phase, name)."""
        rows = self._db.rows("SELECT * FROM artefacts WHERE run = ? ORDER BY phase, name", run)
        return {(row["phase"], row["name"]): row["object"] for row in rows}

    def keep_artefact(self, run: str, phase: str, name: str, key: str) -> None:
        """Name an object of a phase; an earlier one of that name is replaced."""
        self._require(key, f"artefact {name}")
        with self._db.change() as db:
            db.execute("REPLACE INTO artefacts VALUES (?, ?, ?, ?)", (run, phase, name, key))

    # steps and metrics

    def find_step(self, key: str, run: str = "", phase: str = "") -> Step | None:
        """A step that is kept, if its objects are whole; with a run, it is noted that the run stands on it."""
        with self._db.change(undo=not run) as db:
            row = db.execute("SELECT * FROM steps WHERE key = ?", (key,)).fetchone()
            step = row and read_step(row)
            if step is None or not all(map(self.objects.whole, step.outputs.values())):
                return None
            if run:
                db.execute("INSERT OR IGNORE INTO uses VALUES (?, ?, ?)", (run, phase, key))
        return step

    def keep_step(
        self, key: str, run: str, phase: str, name: str, inputs: Mapping[str, Any], outputs: Mapping[str, str],
        results: Mapping[str, Any] | None = None, metrics: Iterable[Metric] = (), seconds: float = 0.0,
    ) -> Step:  # fmt: skip
        """Make a step known with its metrics, both or neither; outputs: objects that were put, by name.

        Raises: EspikeError where an object is absent, a metric is not in the catalogue or not of its type, or the
        step is there with other outputs, for then it depends on something that is not in its key.
        """
        step = Step(key, phase, name, dict(inputs), dict(outputs), dict(results or {}), seconds)
        texts = [to_json(value) for value in (step.inputs, step.outputs, step.results)]
        with self._db.change() as db:
            for output, kept in outputs.items():
                self._require(kept, f"output {output} of step {name}")
            before = db.execute("SELECT * FROM steps WHERE key = ?", (key,)).fetchone()
            if before is None:
                db.execute("INSERT INTO steps VALUES (?,?,?,?,?,?,?,?)", (key, run, phase, name, *texts, seconds))
                for metric in metrics:
                    db.execute(_INSERT, self._metric_row(metric, None, key, phase))
            elif [before["outputs"], before["results"]] != texts[1:]:
                what = "gave other outputs than before: it depends on something that its key does not name"
                raise EspikeError(what, where=f"step {phase}/{name} {key[:12]}")
            db.execute("INSERT OR IGNORE INTO uses VALUES (?, ?, ?)", (run, phase, key))
        return step

    def metric(self, run: str, phase: str, *metrics: Metric) -> None:
        """Log metrics that belong to no step; one of the same name in this phase is replaced."""
        with self._db.change() as db:
            for metric in metrics:
                db.execute(_INSERT, self._metric_row(metric, run, None, phase))

    def _metric_row(self, m: Metric, run: str | None, step: str | None, phase: str) -> tuple[Any, ...]:
        m.entry.check(m.value)
        if not m.function:
            raise EspikeError("does not say what function measured it", where=f"metric {m.name}")
        for key in m.objects:
            self._require(key, f"metric {m.name}")
        return (run, step, phase, *metric_values(m))

    def _require(self, key: str, where: str) -> None:
        if not self.has(key):
            raise EspikeError(f"object {key} is not there", where=where, do="put it first")

    def metrics(self, run: str, phase: str | None = None, prefix: str = "") -> list[tuple[str, Metric]]:
        """(phase, metric) of a run: its own, and those of the steps that it stands on, by name."""
        query = """SELECT phase, metrics.* FROM metrics WHERE run = ?1 UNION ALL
            SELECT uses.phase, metrics.* FROM uses JOIN metrics ON metrics.step = uses.step WHERE uses.run = ?1"""
        found = [(row[0], read_metric(row)) for row in self._db.rows(query, run)]
        wanted = [item for item in found if phase in (None, item[0]) and item[1].name.startswith(prefix)]
        return sorted(wanted, key=lambda item: (item[1].name, item[0]))

    def steps(self, run: str) -> list[Step]:
        """Steps that a run stands on."""
        query = "SELECT steps.* FROM steps JOIN uses ON uses.step = steps.key WHERE uses.run = ? ORDER BY steps.rowid"
        return [read_step(row) for row in self._db.rows(query, run)]

    # models

    def keep_model(self, model: Model) -> Model:
        """Keep a model -> it, or the one of the same session, phase, name and objects that is there already."""
        with self._db.change() as db:
            return self._keep_model(db, model)

    def _keep_model(self, db: Any, model: Model) -> Model:
        _check(model.metrics)
        for key in (model.master, model.image, *model.gates):
            if key:
                self._require(key, f"model {model.id}")
        same = "session = ? AND phase = ? AND name = ? AND master IS ? AND image IS ?"
        values = (model.session, model.phase, model.name, model.master, model.image)
        if found := db.execute(f"SELECT * FROM models WHERE {same}", values).fetchone():
            return read_model(found, str(self.folder))
        data = msgspec.to_builtins(model)
        row = [to_json(data[name]) if name in NESTED else data[name] for name in MODEL]
        if db.execute("SELECT 1 FROM models WHERE id = ?", (model.id,)).fetchone():
            raise EspikeError(f"model {model.id} is there, of another session or image", where=str(self.folder))
        db.execute(f"INSERT INTO models ({','.join(MODEL)}) VALUES ({','.join('?' * len(row))})", row)
        for parent in model.provenance.parents:
            db.execute("INSERT OR IGNORE INTO lineage VALUES (?, ?)", (model.id, parent))
        return model

    def model(self, id: str) -> Model:
        """One model. Raises: EspikeError where it is not there."""
        found = self._models("id = ?", id)
        if not found:
            raise EspikeError(f"there is no model {id}", where=str(self.folder), do="espike forge models list")
        return found[0]

    def models(self, session: str | None = None, phase: str | None = None, tag: str | None = None) -> list[Model]:
        """Models of a run, a phase, with a tag; by time."""
        found = self._models("(?1 IS NULL OR session = ?1) AND (?2 IS NULL OR phase = ?2)", session, phase)
        return [model for model in found if tag is None or tag in model.tags]

    def _models(self, condition: str, *values: Any) -> list[Model]:
        rows = self._db.rows(f"SELECT * FROM models WHERE {condition} ORDER BY created_at, id", *values)
        return [read_model(row, str(self.folder)) for row in rows]

    def lineage(self, id: str) -> list[tuple[str, str]]:
        """(child, parent) of a model and all its ancestors that are known."""
        query = """WITH RECURSIVE line(id) AS (SELECT ? UNION SELECT parent FROM lineage JOIN line ON child = id)
            SELECT child, parent FROM lineage JOIN line ON child = id ORDER BY child, parent"""
        return [(row["child"], row["parent"]) for row in self._db.rows(query, id)]

    def promote(self, id: str) -> None:
        """Make a model's image the active one of its name and board, in place of the one before; all or nothing.

        Raises: EspikeError where there is no such model or image, or the image is damaged.
        """
        model = self.model(id)
        if model.image is None:
            raise EspikeError("has no image", where=f"model {id}")
        self.get(model.image)
        with self._db.change() as db:
            db.execute(
                "UPDATE models SET promoted = (id = ?) WHERE name = ? AND board = ?", (id, model.name, model.board)
            )

    def promoted(self) -> list[Model]:
        """Models whose images are active."""
        return self._models("promoted")

    def export_model(self, id: str, path: Path) -> None:
        """Write a model with objects, metrics, configuration and schema as a zip; the same model, the same bytes."""
        bundle.export(self, id, path)

    def import_model(self, path: Path) -> str:
        """Take a model from such a zip -> its id. Raises: EspikeError where it is damaged, or is none."""
        return bundle.take(self, path)

    def keep_imported(self, model: Model, config: str, metrics: Iterable[tuple[str, Metric]]) -> Model:
        """Keep a model of elsewhere with what was measured there, all or nothing -> it; its objects were put."""
        provenance = model.provenance
        row = (model.session, model.name, config, provenance.seed, provenance.tool, "imported", "", now(), 0.0, 0)
        with self._db.change() as db:
            db.execute("INSERT OR IGNORE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?)", row)
            for phase, m in metrics:
                db.execute(_INSERT, (model.session, None, phase, *metric_values(m)))
            return self._keep_model(db, model)

    # logs

    def log(self, run: str, phase: str, text: str, level: str = "info") -> None:
        """Append a line."""
        with self._db.change() as db:
            row = (run, phase, now(), level, text)
            db.execute("INSERT INTO logs (run, phase, at, level, text) VALUES (?, ?, ?, ?, ?)", row)

    def logs(self, run: str | None = None, phase: str | None = None, after: int = 0) -> list[Log]:
        """Lines whose number is above `after`."""
        query = "number > ?1 AND (?2 IS NULL OR run = ?2) AND (?3 IS NULL OR phase = ?3) ORDER BY number"
        return [Log(**dict(row)) for row in self._db.rows(f"SELECT * FROM logs WHERE {query}", after, run, phase)]

    # cleaning

    def clean(self, keep: int, dry_run: bool = True, age_s: float = 3600.0) -> Cleaned:
        """Remove runs, and what only they need; dry_run: only say what.

        Kept are the newest `keep` runs, those that run, those of promoted models; models of these with all ancestors;
        and every object that any of these names, or that is younger than `age_s`.
        """
        with self._db.change(undo=dry_run) as db:
            runs = [read_run(row) for row in db.execute("SELECT * FROM runs ORDER BY started DESC, rowid DESC")]
            safe = {row[0] for row in db.execute("SELECT session FROM models WHERE promoted")}
            safe |= {run.run for run in runs[: max(keep, 0)]} | {run.run for run in runs if run.status == "running"}
            gone = tuple(run.run for run in runs if run.run not in safe)
            models = tuple(row[0] for row in db.execute(_UNNEEDED, (to_json(sorted(safe)),)))
            db.executemany("DELETE FROM models WHERE id = ?", [(id,) for id in models])
            db.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run in gone])
            steps = db.execute("DELETE FROM steps WHERE key NOT IN (SELECT step FROM uses)").rowcount
            files, size = self.objects.remove(_named(db), age_s, dry_run=True)
        if not dry_run:  # rows first: a file that nothing names does no harm
            with self._db.change() as db:
                files, size = self.objects.remove(_named(db), age_s, dry_run=False)
        return Cleaned(gone, models, steps, files, size)


_INSERT = """INSERT OR REPLACE INTO metrics
    (run, step, phase, name, value, unit, function, objects, parameters, seed, is_time)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UNNEEDED = """WITH RECURSIVE needed(id) AS (
        SELECT id FROM models WHERE promoted OR session IN (SELECT value FROM json_each(?))
        UNION SELECT parent FROM lineage JOIN needed ON child = needed.id)
    SELECT id FROM models WHERE id NOT IN (SELECT id FROM needed) ORDER BY id"""


def _named(db: Any) -> set[str]:
    """Every object that a row names."""
    texts = (str(cell) for table in TABLES for row in db.execute(f"SELECT * FROM {table}") for cell in row)
    return {key for text in texts for key in HASH.findall(text)}


def _check(metrics: Metrics) -> None:
    for name, value in metrics.items():
        catalogue.match(name).check(value)


def now() -> str:
    """The time, UTC, as the registry writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
