"""TOML file -> Config: defaults, every wrong key by line, --quick, and the schema's agreement with the loader."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from espike.forge import config, schemas
from espike.forge.config import ConfigError
from espike.forge.sections import DROPPED, MOVED
from espike_sim.errors import EspikeError

SMALLEST = '[run]\nsuite = "digits"\n'
GOLDEN = Path(__file__).parent / "golden_forge" / "config.toml"
SCHEMA = Draft202012Validator(schemas.documents()["forge-config.schema.json"])


def problems(text: str) -> list[tuple[int, str]]:
    """What the loader says of a text."""
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "a.toml")
    return caught.value.problems


def test_a_suite_is_a_whole_configuration() -> None:
    made = config.parse(SMALLEST, "a.toml")
    assert made.run.suite == "digits"
    assert (made.run.board, made.run.verify, made.train.difficulty) == ("esp32c3", ("native",), 0.75)
    assert made.adopt.presets == ("reasoning", "memory", "adaptive")
    assert (made.train.examples, made.train.validation, made.train.test) == (2000, 500, 500)
    assert (made.pack.retention.w4, made.pack.retention.b53, made.pack.retention.b62) == (0.99, 0.98, 0.95)


def test_every_wrong_key_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        "# a comment: batch = 1\n[run]\nsuite = 'digits'\nsed = 1\nwandb_project = 'x'\n\n[train] # here\nbatch = -1\n"
        "rate = nan\ngrokfast = {alpha = 2}\nfrontier_models = [\n  'a',\n]\nbatch_size = 3\n[fit.search]\n"
        "population = 2\nfoo = 1\n[adopt]\ncandidates = ['memori']\n[quick.train]\n'batch' = 0\n[other]\n"
    )
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).splitlines()
    expected = [
        (4, "run.sed is unknown, seed is near"), (5, "run.wandb_project was dropped"), (8, "train.batch: is -1"),
        (9, "train.rate: is NaN"), (10, "train.grokfast.alpha"), (11, "train.frontier_models was dropped"),
        (14, "train.batch_size is called train.batch here"), (16, "fit.search.population: is 2"),
        (17, "fit.search.foo is unknown"), (19, "adopt.candidates[0]: is 'memori'"), (21, "quick.train.batch: is 0"),
        (22, "other is unknown"),
    ]  # fmt: skip
    assert len(lines) == len(expected)
    for line, (number, text) in zip(lines, expected, strict=True):
        assert line.startswith(f"{path}:{number}: {text}"), line


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[run]\nsuite = \n", 2, "is no TOML"),
        ("[run]\nsuite = 'a'\n[run]\n", 3, "is no TOML"),
        ("a = [1,\n2", 2, "is no TOML"),
        ("a = " + "[" * 100_000, 1, "is no TOML"),
        (SMALLEST + f"[evolve]\npatience = {10**30}", 4, "evolve.patience: is 1000"),
        ("", 1, "run is missing"),
        ("[train]\n[run]\nseed = 1", 2, "run.suite is missing"),
        ("\nrun = 3", 2, "run: is 3, expected object"),
        ("[[run]]\nsuite = 'a'", 1, "run: expected object, got array"),
        (SMALLEST + "[adopt]\ncandidates = []", 3, "neither candidates nor from"),
        (SMALLEST + "train.batch = 0", 3, "run.train is unknown"),
        ('train.batch = 0\nnote = """\n[run]\nsuite = 3\n"""\n' + SMALLEST, 1, "train.batch: is 0"),
        ('fit = {search = {workers = 0}}\n[run]\nsuite = ""', 3, "run.suite: is"),
        (SMALLEST + "[quick.quick.run]\nseed = 1", 3, "quick.quick is unknown"),
    ],
)
def test_errors_have_lines(text: str, line: int, said: str) -> None:
    found = problems(text)
    assert any(number == line and said in what for number, what in found), found


@pytest.mark.parametrize("name", [*DROPPED, *MOVED, "wandb_entity"])
def test_old_keys_are_answered_by_name(name: str) -> None:
    ((line, said),) = problems(f"{SMALLEST}[evolve]\n{name} = 1\n")
    assert line == 4
    assert f"evolve.{name} was dropped: " in said or f"is called {MOVED[name]} here" in said


def test_moved_keys_are_called_what_is_there() -> None:
    for name in MOVED.values():
        section, key = name.split(".")
        assert hasattr(getattr(config.parse(SMALLEST, "a"), section), key)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(EspikeError, match="cannot be read"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(EspikeError, match="no UTF-8"):
        config.load(tmp_path / "a.toml")


def test_quick_is_laid_over_the_rest() -> None:
    text = SMALLEST + "[train]\nbatch = 7\n[fit.search]\nworkers = 2\n[quick.train]\ntest = 9\n[quick.fit]\n"
    text += "search = {population = 4}\n"
    slow, quick = config.parse(text, "a"), config.parse(text, "a", quick=True)
    assert (slow.train.test, slow.fit.search.population) == (500, 24)
    assert (quick.train.batch, quick.train.test) == (7, 9)
    assert (quick.fit.search.population, quick.fit.search.workers, quick.quick) == (4, 2, {})


def test_the_writer_is_read_back() -> None:
    made = config.load(GOLDEN)
    text = config.as_toml(made)
    assert config.parse(text, "b") == made
    assert config.as_toml(config.parse(text, "b")) == text


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30), st.floats(1e-9, 1e9))
def test_any_text_and_number_is_read_back(suite: str, rate: float) -> None:
    made = config.Config(config.parse(SMALLEST, "a").run.__class__(suite))
    made = msgspec.structs.replace(made, train=msgspec.structs.replace(made.train, rate=rate))
    assert config.parse(config.as_toml(made), "b") == made


def test_fingerprints_follow_content() -> None:
    made = config.parse(SMALLEST, "a")
    other = config.parse(SMALLEST + "[train]\nbatch = 33\n", "a")
    assert config.fingerprint(made.train, made.run) == config.fingerprint(made.train, other.run)
    assert config.fingerprint(made.train) != config.fingerprint(other.train)
    assert config.fingerprint({"b": 1, "a": [2.5]}) == config.fingerprint({"a": [2.5], "b": 1})
    assert config.fingerprint({"b": 1, "a": 2.5}) == hashlib.sha256(b'[{"a":2.5,"b":1}]').hexdigest()


def test_schemas_are_up_to_date() -> None:
    for name, schema in schemas.documents().items():
        Draft202012Validator.check_schema(schema)
        assert (schemas.FOLDER / name).read_text("utf8") == schemas.text(schema), "python -m espike.forge.schemas"
    assert {path.name for path in schemas.FOLDER.glob("*.json")} >= set(schemas.documents())


def golden() -> dict[str, Any]:
    return tomllib.loads(GOLDEN.read_text())


def test_the_golden_file_is_valid() -> None:
    SCHEMA.validate(golden())
    assert config.load(GOLDEN, quick=True).train.examples == 40


def values(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Path of every value that is no table or list."""
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        return [path for key, value in pairs for path in values(value, (*at, key))]
    return [at]


def put(node: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value


WORSE: list[Callable[[Any], Any]] = [
    lambda value: [[value]],
    lambda value: {"x": value},
    lambda value: "?" * 5000 if isinstance(value, str) else "text",
    lambda value: -(2.0**60) if isinstance(value, int | float) and not isinstance(value, bool) else 0.5,
]


@pytest.mark.parametrize("worse", WORSE)
def test_schema_and_loader_refuse_each_mutation(worse: Callable[[Any], Any]) -> None:
    paths = values(golden())
    assert len(paths) > 60
    for path in paths:
        data = deepcopy(golden())
        put(data, path, worse(_at(data, path)))
        assert not SCHEMA.is_valid(data), path
        assert problems(config.toml_of(data))


def _at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def test_schema_and_loader_refuse_missing_and_further_keys() -> None:
    tables = [(), *[(name,) for name in golden()], ("fit", "search"), ("pack", "retention"), ("quick", "train")]
    for path in tables:
        data = golden()
        _at(data, path)["further"] = {"x": 1}
        assert not SCHEMA.is_valid(data), path
        assert problems(config.toml_of(data))
    data = golden()
    del data["run"]["suite"]
    assert not SCHEMA.is_valid(data)
    assert problems(config.toml_of(data)) == [(1, "run.suite is missing")]


@pytest.mark.parametrize("module", ["config", "registry", "contracts", "schemas"])
def test_without_msgspec_it_is_asked_for(module: str) -> None:
    code = f"""
import sys
sys.modules["msgspec"] = None
from espike_sim.errors import EspikeError
try:
    import espike.forge.{module}
except EspikeError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs msgspec; pip install 'espike[forge]'" in said


def test_the_schema_has_a_description_of_most_keys() -> None:
    text = json.dumps(config.schema())
    assert text.count('"description"') > 70
