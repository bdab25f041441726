"""Raw samples in, answers out: the senses of a network on every engine, `espike classify`, `espike demo MODEL`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import engines
import numpy as np
import pytest
from command import run

from espike import classify, selftest
from espike import engines as engine_names
from espike.board import BoardEngine
from espike.boards import running
from espike.calibration import calibrate
from espike.flasher import flash
from espike.presentations import Presentations, load
from espike.quantize import quantize
from espike.toolchain import ROOT
from espike_sim import connectome
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference
from espike_sim.senses import Decoder, Encoder, Senses

EXAMPLES = {"digits": ("digits", "digits"), "gestures": ("gestures", "basicmotions")}
LEAST_RIGHT = {"digits": 350, "gestures": 39}
"""Of 360 and 40; the models are in examples/."""


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Boards of this module; other tests keep theirs running."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ESPIKE_HOME", str(tmp_path_factory.mktemp("classify-home")))
        yield


def example(name: str, suffix: str = "") -> tuple[connectome.Connectome, Path]:
    folder, data = EXAMPLES[name]
    c = connectome.load(ROOT / "examples" / folder / f"{name}{suffix}.connectome.npz")
    return c, ROOT / "examples" / folder / f"{data}.npz"


def presented(name: str, suffix: str = "") -> tuple[QuantizedConnectome, Presentations]:
    c, data = example(name, suffix)
    return quantize(c, "int8"), load(data, c)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_board_answers_the_whole_test_set_as_the_reference_does(name: str) -> None:
    q, shown = presented(name)
    wanted = classify.answers(Reference(q), q, shown.raw)
    assert np.count_nonzero(wanted.answer == shown.labels) >= LEAST_RIGHT[name]
    packed = selftest.pack(q)
    assert classify.difference(wanted, classify.answers(Host(ImageView(packed.data)), q, shown.raw)) == ""
    with engine_names.ready_boards() as makers:
        boards = [board for board in makers if board in engines.BOARDS]
        assert "native" in boards
        for board in boards:
            found = classify.answers(makers[board](packed), q, shown.raw)
            assert classify.difference(wanted, found) == "", board
            assert found.board_us_per_burst is not None


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
def test_every_encoder_and_decoder_on_a_board(precision: str) -> None:
    c, _ = example("digits")
    encoders = (
        Encoder("rate", "input", first=0, channel=0, channels=4, low=-50, high=50),
        Encoder("delta", "input", first=8, channel=2, channels=6, step=7),
        Encoder("level", "input", first=20, channel=0, channels=3, levels=(-20, 0, 30)),
        Encoder("latency", "input", first=30, channel=4, channels=4, low=-100, high=100),
        Encoder("population", "input", first=40, channel=6, channels=2, low=-60, high=60, count=5),
    )
    raw = np.random.default_rng(5).integers(-120, 121, (6, 4, 8)).astype(np.int32)
    raw[0, 0] = [-(2**31), 2**31 - 1] * 4
    with running("native") as target:
        for kind in ("count", "first", "potential", "number"):
            for fresh in (True, False):
                senses = Senses(8, encoders, Decoder(kind, "out"), 1.0, 4, 5, settle=2, fresh=fresh)
                q = quantize(replace(c, senses=senses), precision)
                packed = selftest.pack(q)
                flash(target, packed.data)
                wanted = classify.answers(Reference(q), q, raw)
                assert classify.difference(wanted, classify.answers(Host(ImageView(packed.data)), q, raw)) == ""
                board = BoardEngine(target, owns=False)
                assert classify.difference(wanted, classify.answers(board, q, raw)) == ""


def test_values_reach_graded_neurons_on_a_board() -> None:
    c, _ = example("digits")
    area = c.areas[0]
    graded = replace(area.dynamics, graded=True, reset="none") if area.dynamics else None
    areas = (replace(area, accumulate=False, dynamics=graded), *c.areas[1:])
    mappings = tuple(replace(m, driven=m.source == 0) for m in c.mappings)
    senses = Senses(64, (Encoder("value", "input", channels=64, zero=0, gain=1 / 64),), Decoder("count", "out"),
                    1.0, 1, 12)  # fmt: skip
    valued = replace(c, areas=areas, mappings=mappings, senses=senses)
    raw = np.random.default_rng(6).integers(-16, 17, (8, 1, 64)).astype(np.int32)
    with running("native") as target:
        for precision in ("int8", "fp16", "fp32"):
            q = quantize(valued, precision)
            packed = selftest.pack(q)
            flash(target, packed.data)
            wanted = classify.answers(Reference(q), q, raw)
            assert any(np.any(values) for values in wanted.values)
            assert classify.difference(wanted, classify.answers(Host(ImageView(packed.data)), q, raw)) == ""
            assert classify.difference(wanted, classify.answers(BoardEngine(target, owns=False), q, raw)) == ""


def test_a_margin_ends_easy_presentations_early() -> None:
    c, data = example("digits")
    assert c.senses is not None
    whole = replace(c, senses=replace(c.senses, decoder=replace(c.senses.decoder, margin=4)))
    q, shown = quantize(whole, "int8"), load(data, c)
    wanted = classify.answers(Reference(q), q, shown.raw[:60])
    assert 4 <= wanted.bursts.min() < wanted.bursts.mean() < 20
    assert np.mean(wanted.answer == shown.labels[:60]) > 0.9
    packed = selftest.pack(q)
    found = [classify.answers(Host(ImageView(packed.data)), q, shown.raw[:60])]
    with running("native") as target:
        flash(target, packed.data)
        found.append(classify.answers(BoardEngine(target, owns=False), q, shown.raw[:60]))
    for other in found:
        assert classify.difference(wanted, other) == ""
        assert other.bursts.tolist() == wanted.bursts.tolist()


def test_calibrated_codes_agree_better() -> None:
    c, data = example("digits")
    learned, tested = (load(data, c, part) for part in ("train", "test"))
    shown, tested = learned.part(0.1), tested.part(0.25)
    wanted = classify.answers(Host(ImageView(selftest.pack(quantize(c, "fp32")).data)), quantize(c, "fp32"), tested.raw)
    calibration = calibrate(c, shown.stimuli(), shown.bursts, len(shown))
    errors = []
    for q in (quantize(c, "int8"), quantize(c, "int8", calibration)):
        found = classify.answers(Host(ImageView(selftest.pack(q).data)), q, tested.raw)
        errors.append(np.abs(np.array(found.values) - np.array(wanted.values)).sum())
    assert errors[1] < errors[0]


def test_classify_says_what_is_right_and_equal(tmp_path: Path) -> None:
    c, data = example("digits", "-4bit")
    del c
    path = ROOT / "examples/digits/digits-4bit.connectome.npz"
    told = run(
        "classify",
        path,
        data,
        "-e",
        "reference",
        "-e",
        "host",
        "--limit",
        "40",
        "--plot",
        tmp_path / "m.png",
        cwd=tmp_path,
    )
    assert told.code == 0, told.err
    assert "of 40 right" in told.out
    assert "reference, host: equal answers" in told.out
    assert (tmp_path / "m.png").stat().st_size > 5000
    found = run("classify", path, data, "--limit", "40", "--json", cwd=tmp_path).json
    assert found["presentations"] == 40
    assert sum(map(sum, found["confusion"])) == 40
    assert found["right"] == sum(row[i] for i, row in enumerate(found["confusion"]))


def test_classify_refuses_in_one_line(tmp_path: Path) -> None:
    _, digits = example("digits")
    _, gestures = example("gestures")
    digits_net = ROOT / "examples/digits/digits.connectome.npz"
    (tmp_path / "no.npz").write_bytes(b"no")
    for net, data, said in (
        (digits_net, gestures, "raw step"),
        (digits_net, tmp_path / "no.npz", "npz"),
        (digits_net, tmp_path / "absent.npz", "absent.npz"),
        (ROOT / "examples/genomes/layered.json", digits, "senses"),
        (digits, digits, "no npz file of espike"),
    ):
        told = run("classify", net, data, cwd=tmp_path)
        assert told.code == 1
        assert said in told.err
        assert told.err.count("\n") <= 2
        assert "Traceback" not in told.err


def test_a_board_without_the_network_says_so() -> None:
    q, shown = presented("digits")
    with running("native") as target:
        flash(target, selftest.pack(replace(q, senses=None)).data)
        with pytest.raises(EspikeError, match="without senses"):
            classify.answers(BoardEngine(target, owns=False), q, shown.raw[:1])


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_model_file_of_an_example_is_its_connectome(name: str, tmp_path: Path) -> None:
    """The NIR file is what `espike export nir` writes; imported again it answers as the connectome does."""
    c, data = example(name)
    folder = ROOT / "examples" / EXAMPLES[name][0]
    out = tmp_path / "back.npz"
    senses = folder / "senses.json"
    told = run("import", folder / f"{name}.nir", "--profile", "espike", "--senses", senses, "-o", out, cwd=tmp_path)
    assert told.code == 0, told.err
    back = connectome.load(out)
    assert back.senses == c.senses
    shown = load(data, c)
    runs = []
    for each in (c, back):
        q = quantize(each, "fp32")
        runs.append(classify.answers(Host(ImageView(selftest.pack(q).data)), q, shown.raw))
    assert runs[0].hashes.tolist() == runs[1].hashes.tolist()


def test_demo_of_a_model(tmp_path: Path) -> None:
    told = run("demo", "gestures", "-o", tmp_path / "out", "--json", cwd=tmp_path)
    assert told.code == 0, told.err
    found = told.json
    assert found["equal"]
    assert found["right"] >= 39
    assert found["verdicts"]["native"].startswith("equal")
    for picture in found["pictures"]:
        assert Path(picture).stat().st_size > 5000
    shutil.rmtree(tmp_path / "out")
