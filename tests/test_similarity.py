"""How alike two runs are: counted by hand, on networks, one burst ahead, and by the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import command
import numpy as np
import pytest
from test_plot import areas_of

from espike.bench.fidelity import Recipe, connectome
from espike.quantize import quantize
from espike_sim import state, stimulus
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger, from_queues
from espike_sim.reference import Reference
from espike_sim.similarity import one_burst_ahead, similarity

STIMULUS = "poisson:input:rate=0.1:amount=1"


def ledger(*queues: list[int], neurons: int = 4, first_burst: int = 1) -> Ledger:
    hashes = np.zeros((len(queues), 2), np.uint32)
    made = [np.array(queue, np.uint32) for queue in queues]
    return from_queues(made, first_burst=first_burst, neurons=neurons, hashes=hashes)


def test_figures_by_hand() -> None:
    a, b = ledger([0, 1], [2], [], [0, 3]), ledger([0, 1], [2, 3], [1], [3])
    found = similarity(a, b, areas_of([2, 1, 1]))
    total = found.total
    assert (total.both, total.only_a, total.only_b) == (4, 1, 2)
    assert (total.decisions_equal, total.precision, total.recall) == (13 / 16, 4 / 6, 4 / 5)
    assert total.f1 == 8 / 11
    assert total.rate_error == pytest.approx(np.mean([0.25, 0.25, 0, 0.25]))
    assert total.rate_correlation == pytest.approx(np.corrcoef([2, 1, 1, 1], [1, 2, 1, 2])[0, 1])
    assert (found.first_burst, found.first_neuron) == (2, 3)
    assert found.agreement.tolist() == [1, 0.75, 0.75, 0.75]
    assert [(s.name, s.both, s.only_a, s.only_b) for s in found.areas] == [
        ("a0", 2, 1, 1), ("a1", 1, 0, 0), ("a2", 1, 0, 1)
    ]  # fmt: skip


def test_equal_and_empty_ledgers() -> None:
    same = similarity(ledger([0], [1], first_burst=5), ledger([0], [1], first_burst=5))
    assert (same.total.f1, same.total.decisions_equal, same.first_burst) == (1, 1, None)
    silent = similarity(ledger([], []), ledger([], []), areas_of([4]))
    assert (silent.total.f1, silent.total.rate_correlation, silent.areas) == (1, None, ())
    assert similarity(ledger(), ledger()).total.decisions_equal == 1
    with pytest.raises(EspikeError, match="different bursts"):
        similarity(ledger([0]), ledger([0], [1]))
    with pytest.raises(EspikeError, match="4 and 5 neurons"):
        similarity(ledger([0]), ledger([0], neurons=5))


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_state_given_back_goes_on_as_if_nothing_was(precision: str) -> None:
    r = Recipe((80,), 10, refractory=3)
    q = quantize(connectome(r), precision)
    given = stimulus.code(stimulus.poisson(q.areas[0], 0.2, 0.7, 40), q)
    whole, first, second = (Reference(q) for _ in range(3))
    expected = whole.run(40, given)
    first.run(17, given)
    state.give(second, state.take(first))
    rest = second.run(23, given)
    assert expected.spikes > 50
    assert np.array_equal(rest.ids, expected.ids[expected.start[17] :])
    assert np.array_equal(second.potentials(), whole.potentials())
    with pytest.raises(EspikeError, match="80 neurons"):
        state.give(Reference(quantize(connectome(replace(r, layers=(70,))))), state.take(whole))


def test_one_burst_ahead_of_itself_is_equal_and_keeps_the_leader() -> None:
    r = Recipe((100,), 20, seed=5)
    c = connectome(r)
    given = stimulus.merge([stimulus.poisson(area, 0.1, 0.6, 60) for area in c.areas])
    exact, coded = quantize(c, "fp32"), quantize(c, "int8")
    a, b, saturations = one_burst_ahead(exact, exact, 60, given)
    assert (similarity(a, b).first_burst, saturations) == (None, 0)
    alone = Reference(exact).run(60, stimulus.code(given, exact))
    a, b, _ = one_burst_ahead(exact, coded, 60, given)
    assert np.array_equal(a.ids, alone.ids)
    assert similarity(a, b).total.f1 > 0.99


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare")
    run = ["-n", "200", "-s", STIMULUS]
    for line in (
        ["genome", "new", "reservoir", "-o", "net.json"],
        ["grow", "net.json", "-o", "net.npz"],
        ["pack", "net.npz", "-o", "net.spk"],
        ["run", "net.npz", "--precision", "fp32", "-o", "fp32.npz", *run],
        ["run", "net.spk", "-o", "int8.npz", *run],
    ):
        assert command.run(*line, cwd=path).code == 0
    return path


def test_every_stage_is_compared(folder: Path) -> None:
    found = [
        command.run("compare", *files, "-n", "200", "-s", STIMULUS, "--json", cwd=folder).json
        for files in (
            ["net.json"],
            ["net.npz", "net.npz", "--precision", "fp32", "--precision", "int8"],
            ["fp32.npz", "net.spk"],
            ["fp32.npz", "net.quantized.npz"],
            ["fp32.npz", "int8.npz"],
        )
    ]
    totals = [one["total"] for one in found]
    assert all(total == totals[0] for total in totals)
    assert [one["first_difference"] for one in found] == [found[0]["first_difference"]] * 5
    assert 0.3 < totals[0]["f1"] < 1  # a recurrent network lets every rounding grow
    assert found[0]["a"]["precision"] == "fp32"
    assert found[2]["a"]["kind"] == "ledger"
    assert [one["b"]["saturations"] for one in found] == [0, 0, 0, 0, None]
    assert {area["name"] for area in found[3]["areas"]} >= {"_power"}


def test_the_command_prints_and_draws(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    done = command.run(
        "compare", "net.json", "-n", "150", "-s", STIMULUS, "--ahead", "--plot", "c.svg", "--min-f1", "0.9", cwd=folder
    )
    assert done.code == 0, done.err
    assert "150 bursts, every burst of b from a's state; first difference:" in done.out
    assert "F1" in done.out
    assert "equal decisions" in (folder / "c.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["net.npz", "--precision", "int8"], 2, "two different precisions"),
        (["net.npz", "--precision", "int8", "--precision", "int8"], 2, "two different precisions"),
        (["fp32.npz", "int8.npz", "--ahead"], 1, "a ledger has no state"),
        (["fp32.npz", "fp32.npz", "-n", "900"], 0, ""),
        (["fp32.npz", "net.spk", "-n", "900"], 1, "ledgers hold different bursts"),
        (["net.spk", "net.spk", "--precision", "fp32", "--precision", "int8"], 1, "is packed in int8 already"),
        (["missing.npz"], 1, "missing.npz: cannot read"),
        (["net.npz", "--min-f1", "1", "-n", "200", "-s", STIMULUS], 1, "below 1"),
    ],
)
def test_bad_comparisons_are_one_line(arguments: list[str], code: int, says: str, folder: Path) -> None:
    done = command.run("compare", *arguments, cwd=folder)
    assert done.code == code, done.err
    assert says in done.err
    assert len(done.errors) <= (1 if code == 1 else 4)
