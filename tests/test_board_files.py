"""board file -> Board: what is refused, what a new file brings, what the files of the repository promise."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import pytest
from command import run
from jsonschema import Draft202012Validator

from espike import board_files, boards, genome, toolchain
from espike_sim.errors import EspikeError

FOLDER = toolchain.ROOT / "boards"
NEW = "my-own-board"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the board files that every part of espike reads."""
    copied = tmp_path / "boards"
    copied.mkdir()
    for path in FOLDER.glob("*.json"):
        shutil.copy(path, copied)
    monkeypatch.setenv("ESPIKE_BOARDS", str(copied))
    return copied


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of every object, list and value of a file."""
    if at:
        yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*at, key))


def without(manifest: Any, at: tuple[str | int, ...]) -> tuple[Any, Any]:
    """A copy, and what holds the field at a path in it."""
    made = inner = copy.deepcopy(manifest)
    for step in at[:-1]:
        inner = inner[step]
    return made, inner


def refusal(path: Path) -> str:
    with pytest.raises(EspikeError) as caught:
        board_files.read_board(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    assert text.startswith(str(path))
    return text


def test_the_schema_is_one_and_the_files_follow_it() -> None:
    schema = json.loads(board_files.SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    for path in FOLDER.glob("*.json"):
        Draft202012Validator(schema).validate(json.loads(path.read_text()))
    assert set(boards.boards()) == {path.stem for path in FOLDER.glob("*.json")}


def test_no_board_is_twice_on_the_same_usb_id_and_chip() -> None:
    """Boards that share a bridge differ in name only; each file names an id once."""
    for board in boards.boards().values():
        ids = board.data["usb_ids"]
        assert len(ids) == len(set(ids))
    assert {"c3-devkit", "c3-supermini", "esp32-devkit", "s3-devkit", "c6-devkit"} <= set(boards.boards())


def test_chips_say_where_flash_lies_and_what_they_draw() -> None:
    for board in boards.boards().values():
        if "chip" in board.data:
            assert {"flash_map", "energy", "burst_deadline_us", "minimum_bursts_per_s", "assumes"} <= set(board.data)
            assert board.data["flash_map"]["firmware"] == (0x1000 if board.data["chip"] == "esp32" else 0)


@pytest.mark.parametrize("source", ["esp32c3", "c3-devkit", "emu-rv32"])
@pytest.mark.parametrize("wrong", [None, {"of": "objects"}, -1.5])
def test_every_field_wrong_in_turn_is_one_line(folder: Path, source: str, wrong: Any) -> None:
    path = folder / f"{source}.json"
    manifest = json.loads(path.read_text())
    for at in leaves(manifest):
        made, inner = without(manifest, at)
        inner[at[-1]] = wrong
        path.write_text(json.dumps(made))
        text = refusal(path)
        assert f"{path} $." in text
        assert "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in at) in text
        assert "; give " in text or "is not known" in text or "is missing" in text


def test_every_required_field_missing_is_one_line(folder: Path) -> None:
    path = folder / "emu-rv32.json"
    manifest = json.loads(path.read_text())
    needed = {*manifest, "mcu", "f_cpu", "maximum_size", "maximum_ram_size"}
    needed |= {"kind", "compiler", "flags", "ram_bytes", "flash_bytes"}
    for at in [at for at in leaves(manifest) if isinstance(at[-1], str)]:
        made, inner = without(manifest, at)
        del inner[at[-1]]
        path.write_text(json.dumps(made))
        if at[-1] in needed:
            assert f"field {at[-1]} is missing; docs/boards.md" in refusal(path)
        else:
            board_files.read_board(path)


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        ("soup", 1, "field soup is not known"),
        ("espike.soup", 1, "$.espike: field soup is not known"),
        ("espike.ram_bytes", 1001, "$.espike.ram_bytes: is 1001; give RAM for the network, a multiple of 8"),
        ("espike.ram_bytes", 378648, "ram_bytes is more than upload.maximum_ram_size, 378640"),
        ("espike.flash_map.store", 65536, "$.espike.flash_map.store: the firmware at upload.maximum_size would reach"),
        ("espike.image", ["rom"], '$.espike.image[0]: is "rom"; give "flash" or "ram"'),
        ("espike.image", [], "$.espike.image: is []"),
        ("build.f_cpu", "160 MHz", "$.build.f_cpu: is"),
        ("build.hwids", [["0x10c4", "0xEA60"]], "$.build.hwids[0][0]: is"),
        ("espike.like", "nowhere", "there is no board file nowhere"),
        ("espike.like", "c6-devkit", "c6-devkit is like another board itself"),
    ],
)
def test_wrong_values_are_told_apart(folder: Path, at: str, value: Any, told: str) -> None:
    path = folder / "esp32c3.json"
    steps = tuple(at.split("."))
    made, inner = without(json.loads(path.read_text()), steps)
    inner[steps[-1]] = value
    path.write_text(json.dumps(made))
    assert told in refusal(path)


@pytest.mark.parametrize("name", ["scan", "Mixed", "sixteen-letters-", "under_score"])
def test_wrong_names_are_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.json"
    shutil.copy(folder / "native.json", path)
    assert "cannot name a board" in refusal(path)


def test_what_is_no_board_file_is_refused_by_the_command(folder: Path, tmp_path: Path) -> None:
    for text in ("", "[1]", "{", '"x"', "\xff"):
        (folder / "broken.json").write_bytes(text.encode("latin-1"))
        done = run("boards", cwd=tmp_path)
        assert (done.code, len(done.errors)) == (1, 1)
        assert "broken.json" in done.errors[0]


def test_a_new_file_is_a_new_board(folder: Path, tmp_path: Path) -> None:
    """Listed, planned for, built, run, without another change."""
    manifest = json.loads((folder / "emu-rv32.json").read_text())
    manifest["name"], manifest["espike"]["ram_bytes"] = "My own board", 100000
    (folder / f"{NEW}.json").write_text(json.dumps(manifest))
    (tmp_path / "net.json").write_text(json.dumps(genome.new("reservoir")))
    assert run("boards", "--json", cwd=tmp_path).json[NEW]["title"] == "My own board"
    planned = run("plan", "net.json", "-b", NEW, "--json", cwd=tmp_path).json
    assert [(fit["name"], fit["ram_bytes"]) for fit in planned["fits"]] == [(NEW, 100000)]
    try:
        engines.board_file(NEW)
        flashed = run("flash", "net.json", "-b", NEW, "--json", cwd=tmp_path).json
    finally:
        shutil.rmtree(toolchain.BUILD / NEW, ignore_errors=True)
    assert (flashed["board"], flashed["arena_bytes"]) == (NEW, 100000)
