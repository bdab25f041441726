"""What int8 keeps of trained networks on their test sets: the bench's goals, what `compare` and `pack` say of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import Done
from command import run as command

from espike.bench import KEYS, trained
from espike.bench.trained import DIGITS, GESTURES, MODELS, of_model

NET, DATA = DIGITS / "digits.connectome.npz", DIGITS / "digits.npz"


@pytest.mark.parametrize("name", MODELS)
def test_the_goals_hold(name: str) -> None:
    found = of_model(name)
    if found is None:
        pytest.skip(MODELS[name].missing())
    assert found.total.decisions_equal >= 0.99
    assert found.total.f1 >= 0.97
    assert found.drop is not None
    assert found.drop <= 0.5
    assert not any(area.fell_silent or area.stuck for area in found.areas)


def test_every_figure_has_its_key() -> None:
    names = {key.name for key in KEYS}
    assert {f"int8_{figure}_{name}" for name in MODELS for figure in trained.FIGURES} <= names


def test_a_model_that_is_absent_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = trained.Model(Path("nowhere.nir"), DATA, "")
    monkeypatch.setitem(MODELS, "gone", gone)
    assert of_model("gone") is None
    assert "nowhere.nir is absent" in gone.missing()


def compare(*arguments: str | Path, cwd: Path) -> Done:
    return command("compare", NET, "--data", DATA, *arguments, cwd=cwd)


def test_compare_says_how_areas_and_answers_do(tmp_path: Path) -> None:
    found = compare("--json", cwd=tmp_path).json
    assert (found["presentations"], found["bursts_per_presentation"]) == (360, 25)
    assert [area["name"] for area in found["areas"]] == ["input", "hidden", "out"]
    assert found["areas"][0]["verdict"] == "input, equal"
    assert found["accuracy_a"] == pytest.approx(97.5)
    assert found["accuracy_drop"] == pytest.approx(found["accuracy_a"] - found["accuracy_b"])
    for side in "ab":
        confusion = np.array(found[f"confusion_{side}"])
        assert confusion.sum() == 360
        assert 100 * np.trace(confusion) / 360 == pytest.approx(found[f"accuracy_{side}"])
    for area in found["areas"][1:]:
        assert area["decisions_equal"] >= 0.99
        assert area["rate_a"] == pytest.approx(area["spikes_a"] / (area["neurons"] * 360 * 25))
    told = compare(cwd=tmp_path)
    assert told.code == 0
    assert "accuracy: a 97.5 %" in told.out
    assert "verdict: b does what a does" in told.out


def test_calibration_keeps_more_spikes(tmp_path: Path) -> None:
    plain = compare("--json", cwd=tmp_path).json
    fitted = compare("--json", "--calibrate", DATA, cwd=tmp_path).json
    assert fitted["total"]["f1"] > plain["total"]["f1"]


def test_few_bits_are_told(tmp_path: Path) -> None:
    """Two bits without fine-tuning lose the network, and the verdict says so."""
    found = compare("--json", "--bits", "2", cwd=tmp_path).json
    assert found["accuracy_drop"] > 5
    assert "accuracy falls" in found["verdict"]
    assert "DIFFERS" in found["areas"][1]["verdict"]
    assert compare("--bits", "2", "--min-f1", "0.9", cwd=tmp_path).code == 1


def test_an_image_beside_its_connectome(tmp_path: Path) -> None:
    assert command("pack", NET, "-o", "d.spk", "--calibrate", DATA, cwd=tmp_path).code == 0
    found = command("compare", NET, "d.spk", "--data", DATA, "--precision", "fp32", "--json", cwd=tmp_path)
    both = compare("--calibrate", DATA, "--json", cwd=tmp_path).json
    assert found.json["total"]["f1"] == both["total"]["f1"]


def test_pack_fits_bits_and_codes(tmp_path: Path) -> None:
    def report(*arguments: str | Path) -> dict[str, dict[str, float]]:
        made = command("pack", NET, "-o", "d.spk", "--json", *arguments, cwd=tmp_path).json
        return {area["area"]: area for area in made["report"]["areas"]}

    assert {area["bits"] for area in report("--bits", "3").values()} == {8, 3}
    assert report("--bits", "hidden=4")["hidden"]["bits"] == 4
    assert report("--bits", "hidden=4")["out"]["bits"] == 8
    plain, fitted = report(), report("--calibrate", DATA, "--calibrate-share", "0.1")
    assert plain["hidden"]["weight_error_rms"] != fitted["hidden"]["weight_error_rms"]


RESERVOIR = Path(__file__).resolve().parents[1] / "examples" / "genomes" / "reservoir.json"
BAD = [
    (("pack", NET, "--bits", "9"), "--bits: '9' is no number of 2..8"),
    (("pack", NET, "--bits", "nose=4"), "no weights lead to area 'nose'"),
    (("pack", NET, "--precision", "fp32", "--bits", "4"), "for int8, this is fp32"),
    (("pack", RESERVOIR, "--precision", "int8", "--bits", "4"), "no area of this has a neuron model"),
    (("pack", NET, "--calibrate", "absent.npz"), "absent.npz: cannot read"),
    (("pack", NET, "--calibrate", GESTURES / "basicmotions.npz"), "basicmotions.npz"),
    (("compare", NET, "--data", "absent.npz"), "absent.npz: cannot read"),
    (("compare", RESERVOIR, "--data", DATA), "the input areas 32"),
    (("compare", NET, GESTURES / "gestures.connectome.npz", "--precision", "int8", "--data", DATA), "other areas"),
]


@pytest.mark.parametrize(("arguments", "what"), BAD, ids=lambda value: "" if isinstance(value, tuple) else value)
def test_what_does_not_fit_is_one_line(arguments: tuple[str | Path, ...], what: str, tmp_path: Path) -> None:
    output = ("-o", "x.spk") if arguments[0] == "pack" else ()
    done = command(*arguments, *output, cwd=tmp_path)
    assert done.code == 1
    assert len(done.errors) == 1
    assert what in done.errors[0]
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("pack", NET, "--calibrate", DATA, "--calibrate-share", "0"),
        ("compare", NET, "--data", DATA, "--set", "nothing"),
        ("compare", NET, "--data", DATA, "--ahead"),
        ("compare", NET, "--data", DATA, "-n", "5"),
    ],
)
def test_wrong_usage(arguments: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_the_documented_table_is_what_is_measured() -> None:
    """docs/quantization.md, Trained networks: name, decisions, F1, points, of each model that is here."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "quantization.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d.]+) \| ([\d.]+) \| (-?[\d.]+) \|", text, re.MULTILINE)
    assert {name for name, *_ in rows} == set(MODELS), json.dumps(rows)
    for name, decisions, f1, points in rows:
        found = of_model(name)
        if found is None:
            continue
        assert found.drop is not None
        assert float(decisions) == pytest.approx(found.total.decisions_equal, abs=6e-5)
        assert float(f1) == pytest.approx(found.total.f1, abs=6e-5)
        assert float(points) == pytest.approx(found.drop, abs=6e-3)
