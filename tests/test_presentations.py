"""What networks are presented: data files, training and test sets, spikes, labels; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espike import presentations, presented
from espike.bench.trained import DIGITS, GESTURES
from espike.calibration import PERCENTILE, calibrate
from espike.presentations import Presentations
from espike.quantize import quantize
from espike_sim import connectome as connectome_file
from espike_sim import sensing, stimulus
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.host_senses import HostSenses


def digits() -> Connectome:
    return connectome_file.load(DIGITS / "digits.connectome.npz")


def unsensed(c: Connectome) -> Connectome:
    """The same network without senses."""
    return Connectome(**{name: value for name, value in vars(c).items() if name not in ("senses", "hash")})


def spikes(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "spikes.npz"
    np.savez(path, **arrays)
    return path


def test_the_test_set_is_what_is_presented_and_the_training_set_what_is_calibrated_with() -> None:
    sizes = {part: len(presentations.load(DIGITS / "digits.npz", digits(), part)) for part in presentations.PARTS}
    assert sizes == {"test": 360, "train": 1437, "all": 1797}
    assert len(presentations.load(DIGITS / "digits.npz", digits()).part(0.33)) == 119


def test_a_stimulus_in_codes_is_what_the_senses_code() -> None:
    """Through potentials (what the calibration runs) or by the senses' own integers (what a board does)."""
    c = connectome_file.load(GESTURES / "gestures.connectome.npz")
    given = presentations.load(GESTURES / "basicmotions.npz", c)
    for precision in ("fp32", "int8"):
        q = quantize(c, precision)
        direct, coded = given.coded(3, q), stimulus.code(given.stimulus(3), q)
        for one, other in ((direct.burst, coded.burst), (direct.neuron, coded.neuron), (direct.value, coded.value)):
            assert np.array_equal(one, other)


def test_answers_are_those_of_the_core() -> None:
    c = digits()
    q, given = quantize(c, "int8"), presentations.load(DIGITS / "digits.npz", c).part(0.1)
    ran = presented.run(q, given)
    core = HostSenses(Host(ImageView(presented.pack(q).data), expand=False))
    assert [core.present(raw).answer for raw in given.raw] == ran.answers.tolist()


def test_labels_are_answers() -> None:
    """Names of classes, as the decoder calls them."""
    given = presentations.load(
        GESTURES / "basicmotions.npz", connectome_file.load(GESTURES / "gestures.connectome.npz")
    )
    with np.load(GESTURES / "basicmotions.npz") as file:
        assert given.labels is not None
        assert [given.names[label] for label in given.labels] == file["y_test"].tolist()


def test_spikes_go_into_the_input_area(tmp_path: Path) -> None:
    """What its encoders would give, given as spikes: the same network without senses does the same."""
    c = digits()
    sensed = presentations.load(DIGITS / "digits.npz", c).part(0.05)
    assert c.senses is not None
    x = sensing.encode(c.senses.encoders[0], sensed.raw, 25)
    packed = {"x": np.packbits(x.astype(np.uint8), axis=-1), "x_shape": np.array(x.shape)}
    for arrays in (packed, {"input": x}, {"input": x.astype(np.float32)}):
        given = presentations.load(spikes(tmp_path, **arrays, y=sensed.labels), unsensed(c))
        q = quantize(c, "int8")
        assert np.array_equal(presented.run(q, given).answers, presented.run(q, sensed).answers)
        assert np.array_equal(presented.run(q, given).ledger.ids, presented.run(q, sensed).ledger.ids)
        assert np.array_equal(given.labels, sensed.labels)
    without = presentations.load(spikes(tmp_path, input=x), unsensed(c))
    assert without.labels is None
    assert presented.compare(quantize(c, "fp32"), q, without).accuracy is None


def test_presentations_of_a_network_that_is_not_fresh_follow_each_other() -> None:
    c = digits()
    given = presentations.load(DIGITS / "digits.npz", c).part(0.02)
    assert given.senses is not None
    stale = replace(given.senses, fresh=False)
    going = Presentations(given.raw, stale, given.areas, given.labels, given.names)
    q = quantize(c, "int8")
    a, b = presented.run(q, given), presented.run(q, going)
    first = a.ledger.start[given.bursts]
    assert np.array_equal(a.ledger.ids[:first], b.ledger.ids[:first])
    assert not np.array_equal(a.ledger.ids, b.ledger.ids)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"input": np.zeros((2, 5, 63))}, "63 elements, the input areas 64"),
        ({"input": np.zeros((2, 5, 64)), "y": np.array([1, 99])}, "label 99 is none of the 10"),
        ({"input": np.zeros((2, 5, 64)), "y": np.array([1])}, "labels y are int64 (1,)"),
        ({"input": np.zeros((2, 5, 64)), "y": np.array([0.5, 1])}, "labels y are float64"),
        ({"input": np.full((2, 5, 64), np.nan)}, "not finite"),
        ({"input": np.zeros(5)}, "expected numbers (series, bursts, elements)"),
        ({"input": np.zeros((0, 5, 64))}, "expected numbers (series, bursts, elements)"),
        ({"spikes": np.zeros((2, 5, 64))}, "neither `input` nor `x`"),
        ({"x": np.zeros((2, 5, 8), np.uint8), "x_shape": np.array([2, 5, 99])}, "packed bits"),
    ],
)
def test_spikes_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], what: str) -> None:
    with pytest.raises(EspikeError) as raised:
        presentations.load(spikes(tmp_path, **arrays), unsensed(digits()))
    assert what in str(raised.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and nothing")
    (tmp_path / "bad.csv").write_text("label,a\n1,2\n")
    for c in (digits(), unsensed(digits())):
        for name in ("bad.npz", "bad.csv", "absent.npz"):
            with pytest.raises(EspikeError):
                presentations.load(tmp_path / name, c)


def test_reach_is_a_percentile_however_the_samples_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds a thousandth of the potentials; the figure is that of all of them."""
    c = digits()
    given = presentations.load(DIGITS / "digits.npz", c, "train").part(0.03)
    whole = calibrate(c, given.stimuli(), given.bursts, len(given))
    monkeypatch.setattr("espike.calibration.HELD_MOST", 3 * given.bursts * c.neurons)
    parts = calibrate(c, given.stimuli(), given.bursts, len(given))
    assert np.array_equal(whole.reach, parts.reach)
    for index, moment in whole.moments.items():
        assert np.allclose(moment, parts.moments[index], rtol=1e-12)
    q, potentials = quantize(c, "fp32"), []
    engine = Host(ImageView(presented.pack(q).data))
    for k in range(len(given)):
        engine.reset()
        for burst in range(1, given.bursts + 1):
            engine.run(1, given.coded(k, q).between(burst, burst))
            potentials.append(np.abs(engine.potentials()))
    assert np.allclose(np.percentile(potentials, PERCENTILE, axis=0), whole.reach, rtol=1e-5)
