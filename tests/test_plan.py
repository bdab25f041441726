"""The planner: bytes, speed, the largest network, what would make one fit; what it says on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import run

from espike import boards, capacity, costs, genome, loads, plan, trace, work
from espike.bench import networks, probes
from espike.image import Packed, pack
from espike.network import packed_view
from espike.quantize import quantize
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network

C3 = boards.boards()["esp32c3"]


def shape_of(count: int, precision: str = "int8", fan_out: int = 50) -> QuantizedConnectome:
    synapses = networks.random_rows(count, fan_out, (-100, 100), seed=1)
    return networks.network(count, synapses, networks.Neurons(), precision=precision)


def planned(q: QuantizedConnectome, *names: str, **how: object) -> plan.Plan:
    known = boards.boards()
    return plan.plan(*packed_view(q), [known[name] for name in names], **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("place", ["flash", "ram"])
def test_the_largest_network_fits_and_a_larger_one_does_not(precision: str, place: str) -> None:
    q = shape_of(500, precision)
    made = planned(q, "esp32c3", source=plan.Source(q))
    fit = next(fit for fit in made.fits if fit.place == place)
    assert fit.largest is not None
    assert fit.ram_bytes is not None
    for factor, fits in ((0.98, True), (1.02, False)):
        data = packed_view(shape_of(round(factor * fit.largest.neurons), precision))[0].data
        needed = ImageView(data).ram_bytes + (len(data) if place == "ram" else 0)
        assert (needed <= fit.ram_bytes and len(data) <= C3.slot_bytes) == fits


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_its_own_size_is_what_it_is(seed: int) -> None:
    q = random_network(seed, "int8", seed % 2 == 0)
    packed, view = packed_view(q)
    found = capacity.Scaler(q, packed, view).at(1.0)
    assert (found.neurons, found.synapses, found.ram_bytes) == (q.neurons, q.synapses, view.ram_bytes)
    assert found.flash_bytes == pytest.approx(len(packed.data), rel=0.001)


def test_ram_of_a_scaled_network_is_the_engines() -> None:
    packed, view = packed_view(shape_of(400))
    double = capacity.Scaler(shape_of(400), packed, view).at(2.0)
    assert double.ram_bytes == packed_view(shape_of(800))[1].ram_bytes
    assert double.flash_bytes == pytest.approx(len(packed_view(shape_of(800))[0].data), rel=0.02)


def test_changes_come_in_the_order_of_what_they_lose() -> None:
    q = shape_of(400)
    assert q.precision == "int8"
    found = list(capacity.changes(q, len(packed_view(q, optimize="speed")[0].data) + 1, None))
    assert [change.options for change in found] == [
        "--optimize size", "--weights 4", "--weights 3", "--weights 2"
    ]  # fmt: skip
    sizes = [change.flash_bytes for change in found]
    assert sizes == sorted(sizes, reverse=True)
    assert list(capacity.changes(shape_of(40, "fp32"), 0, None)) == []
    names = [change.options for change in capacity.changes(shape_of(40, "fp32"), 0, lambda: shape_of(40))]
    assert names[:2] == ["--precision int8", "--precision int8 --weights 4"]


def test_the_first_change_that_fits_is_named_and_fits() -> None:
    q = shape_of(3500)
    made = planned(q, "esp32c3", source=plan.Source(q))
    mapped, copied = made.fits
    assert mapped.fits
    assert mapped.change is None
    assert not copied.fits
    assert copied.ram_short == copied.ram_needed - C3.ram_bytes
    assert copied.change is not None
    assert copied.change.options == "--weights 4"
    assert copied.change.ram_bytes + copied.change.flash_bytes <= C3.ram_bytes


def test_where_nothing_fits_nothing_is_named() -> None:
    q = shape_of(500)
    packed, view = packed_view(q)
    fit = plan.plan(packed, view, [], ram=100, flash=100, source=plan.Source(q)).fits[0]
    assert (fit.fits, fit.change, fit.largest) == (False, None, None)


def test_worst_is_more_than_mean_and_activity_counts() -> None:
    speeds = [planned(shape_of(1000), "esp32c3", activity=share).fits[0].speed for share in (0, 0.01, 0.1, 1)]
    counts = [speed.instructions for speed in speeds if speed is not None]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert all(speed is not None and speed.instructions <= speed.instructions_worst * 1.01 for speed in speeds)
    speed = speeds[1]
    assert speed is not None
    assert speed.us == pytest.approx(speed.instructions * 1.3 / 160, rel=1e-3)
    with pytest.raises(EspikeError, match="no share"):
        planned(shape_of(10), "esp32c3", activity=1.5)


def test_a_mean_burst_is_near_one_with_as_many_spikes() -> None:
    """`expected` against a run in which about one neuron in twenty fires per burst."""
    q = networks.network(1000, networks.random_rows(1000, 50, (-4, 4), seed=1), networks.Neurons(threshold=2000))
    view = ImageView(pack(q).data)
    rng = np.random.default_rng(3)
    burst, neuron = np.nonzero(rng.random((10, 1000)) < 0.05)
    stimulus = CodedStimulus(burst + 1, neuron.astype(np.uint32), np.full(len(burst), 2047, np.int32))
    table = costs.load("rv32imc")
    works = trace.run(q, view, 10, stimulus)[2:]
    ran = np.mean([table.price(did) for did in works])
    shape = work.read(view)
    activity = float(np.mean([did["fired"] for did in works])) / q.neurons
    assert 0.04 < activity < 0.07
    assert table.price(work.counts(shape, loads.expected(shape, activity))) == pytest.approx(ran, rel=0.05)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_every_network_has_a_price(precision: str) -> None:
    table = costs.load("rv32imc")
    for seed in range(6):
        for marked in (False, True):
            view = ImageView(pack(random_network(seed, precision, marked, timing=True)).data)
            shape = work.read(view)
            mean, worst = (work.counts(shape, load) for load in (loads.expected(shape, 0.02), loads.worst(shape)))
            assert 0 < table.price(mean) < table.price(worst)


@pytest.mark.parametrize(("name", "board"), [("rv32imc", "emu-rv32"), ("lx106", "emu-lx106")])
def test_the_table_names_its_flags_and_every_loop(name: str, board: str) -> None:
    table = costs.load(name)
    assert list(table.flags) == boards.boards()[board].data["flags"]
    assert set(table.instructions) == set(costs.load("rv32imc").instructions)
    assert f"event.{probes.codecs.CODEC_NAMES[0]}.i16.every" in table.instructions
    with pytest.raises(EspikeError, match="no price of soup"):
        table.price({"soup": 1})
    with pytest.raises(EspikeError, match="no cost table"):
        costs.load("z80")


def test_an_empty_network_has_a_plan() -> None:
    q = networks.network(3, networks.NO_SYNAPSES, networks.Neurons())
    made = planned(q, *boards.boards(), source=plan.Source(q))
    assert all(fit.fits for fit in made.fits)
    assert made.as_json()["fits"][0]["largest"]["neurons"] > 1000


def test_an_image_alone_is_planned_without_advice(tmp_path: Path) -> None:
    packed, view = packed_view(shape_of(100))
    fit = plan.plan(Packed(packed.data, {"image": view.total_bytes}), view, [C3]).fits[0]
    assert (fit.largest, fit.change) == (None, None)
    (tmp_path / "alone.spk").write_bytes(packed.data)
    found = run("plan", "alone.spk", "--json", cwd=tmp_path).json
    assert found["sections"] == {"image": len(packed.data)}
    assert all(fit["largest"] is None for fit in found["fits"])


def test_plan_only_boards_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(genome.new("reservoir")))
    for arguments in (["flash", "net.json", "-b", "esp32s3"], ["run", "-b", "esp32c6"], ["boards", "s3-devkit"]):
        done = run(*arguments, cwd=tmp_path)
        assert done.code == 1
        assert done.errors == [
            f"espike: board {arguments[-1]}: espike plans for this board, and cannot build or flash its firmware yet; "
            "espike boards lists those that run"
        ]
    states = {name: board["missing"] for name, board in run("boards", "--json", cwd=tmp_path).json.items()}
    assert states["esp32c6"] == ["firmware for it"]
    assert states["native"] == []


def test_all_boards_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(genome.new("reservoir")))
    done = run("plan", "net.json", "--all-boards", cwd=tmp_path)
    assert done.code == 0
    assert "esp32c3 in RAM" in done.out
    assert "section" not in done.out
    assert "cycles per instruction (rule of thumb)" in done.err
    assert run("plan", "net.json", "--all-boards", "-b", "native", cwd=tmp_path).code == 2
    assert run("plan", "net.json", "--activity", "2", cwd=tmp_path).code == 2
    found = run("plan", "net.json", "--all-boards", "--activity", "0.1", "--json", cwd=tmp_path).json
    q = quantize(genome.develop(genome.from_json(genome.new("reservoir"))))
    assert found["flash_bytes"] == len(packed_view(q)[0].data)
    assert {"speed", "largest", "change", "assumes", "bursts_per_s"} <= found["fits"][0].keys()
