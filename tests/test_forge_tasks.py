"""Suites of the forge: draws, data sets, devices in closed loops, and devices that misbehave."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from espike import classify, selftest, train
from espike.forge.tasks import (
    PARTS,
    Suite,
    Task,
    answered_episodes,
    device,
    drivers,
    import_recordings,
    join,
    quality,
    run_episodes,
    suite,
    suites,
)
from espike.forge.tasks.draws import Draws, digest, mixed, split_off
from espike.forge.tasks.episodes import Episodes
from espike.forge.tasks.sandbox import Process
from espike.quantize import quantize
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.reference import Reference

SUITES = suites()
TASKS = [(name, task.name) for name, held in SUITES.items() for task in held.tasks]
PLANTS = [(name, task.name) for name, held in SUITES.items() for task in held.tasks if task.plant is not None]
DUPLICATES_MOST = 0.001
GOLDEN = {
    "pattern": "775046799a0f", "sequence": "5d73d09db901", "timing": "399be5e583b1", "match": "fba986f95e94",
    "noisy": "e0f746448a11", "mackey-glass": "9e942d2f54ad", "cart-pole": "156f87d43307", "line": "4392c9e602e8",
    "lamp": "b7d4798e538a", "servo": "1be6ccf1385d", "alarm": "3873a471498a", "fan": "20903b2b7c7a",
    "valve": "9e75985213ad",
}  # fmt: skip
"""The beginning of the SHA-256 of 24 test examples, seed 0: they are the same on every machine, and stay so."""


def part_of(task: Task) -> str:
    return "val" if task.held_out else "train"


def random_answers(task: Task, seed: int = 0) -> Callable[[np.ndarray], int]:
    draws = Draws("random", task.name, seed)
    return lambda raw: task.classes[draws.one(len(task.classes))]


def test_draws_are_those_of_the_raw_generator() -> None:
    words = np.random.PCG64(digest("a", 1)).random_raw(6)
    assert Draws("a", 1).below(10, 2, 3).ravel().tolist() == [(int(word) >> 32) * 10 >> 32 for word in words]
    assert Draws("a", 1).below(1 << 31, 1) != Draws("a", "1").below(1 << 31, 1)
    counts = np.bincount(Draws("even").below(5, 5000), minlength=5)
    assert counts.min() > 900
    assert np.abs(Draws("near").near(3, 5000)).max() == 3


def test_classes_take_turns_and_a_share_of_each_is_split_off() -> None:
    label = np.array([0] * 7 + [1] * 5 + [2] * 2)
    order = mixed(label, "key")
    assert sorted(order.tolist()) == list(range(14))
    assert label[order][:6].tolist() == [0, 1, 2, 0, 1, 2]
    kept, off = split_off(label, (1, 5))
    assert off.tolist() == [4, 11]
    assert sorted([*kept.tolist(), *off.tolist()]) == list(range(14))


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_examples_are_the_same_for_a_seed_balanced_and_distinct_across_parts(name: str, task: str) -> None:
    held, one = SUITES[name], SUITES[name].task(task)
    parts = {part: one.examples(part, 120, 3) for part in PARTS if part in (*PARTS[1:], part_of(one))}
    seen: set[bytes] = set()
    for part, examples in parts.items():
        again = one.examples(part, 120, 3)
        assert again.raw.tobytes() == examples.raw.tobytes()
        assert again.label.tolist() == examples.label.tolist()
        assert (examples.raw.dtype, examples.label.dtype) == (np.dtype(np.int32), np.dtype(np.int64))
        assert examples.raw.shape == (len(examples), held.samples, held.channels)
        assert len(examples) <= 120
        assert set(examples.label.tolist()) == set(one.classes)
        hashes = {hashlib.sha256(series.tobytes()).digest() for series in examples.raw}
        assert not hashes & seen
        seen |= hashes
        found = quality(examples, one.classes)
        assert found.duplicate_rate <= DUPLICATES_MOST
        assert found.label_balance >= (0.95 if one.name in GOLDEN else 0.5)
    other = one.examples("val", 40, 4)
    assert other.raw.tobytes() != one.examples("val", 40, 3).raw.tobytes()


@pytest.mark.parametrize("task", sorted(GOLDEN))
def test_generated_examples_stay_what_they_are(task: str) -> None:
    one = next(one for held in SUITES.values() for one in held.tasks if one.name == task)
    examples = one.examples("test", 24, 0)
    found = hashlib.sha256(examples.raw.astype("<i4").tobytes() + examples.label.astype("<i8").tobytes()).hexdigest()
    assert found[:12] == GOLDEN[task]


def test_a_thousand_examples_of_a_task_have_no_duplicates() -> None:
    tasks = SUITES["graded"].tasks[:5]
    for one in tasks:
        assert quality(one.examples("train", 1000, 0)).duplicate_rate <= DUPLICATES_MOST
    twice = join([tasks[0].examples("val", 50, 0)] * 2)
    assert quality(twice).duplicate_rate == 0.5
    assert quality(twice, (0, 1, 2, 3, 4)).label_balance == 0.0


def test_files_are_cut_to_what_they_have_and_the_test_set_stays() -> None:
    one, data = SUITES["digits"].tasks[0], train.load(Path("examples/digits/digits.npz").resolve())
    tested = one.examples("test", 10_000, 0)
    assert sorted(s.tobytes() for s in tested.raw) == sorted(s.tobytes() for s in data.test.raw)
    assert len(one.examples("train", 10_000, 0)) + len(one.examples("val", 10_000, 0)) == len(data.train)


def test_levels_of_split_digits_have_two_classes_each() -> None:
    held = SUITES["split-digits"]
    assert [task.classes for task in held.tasks] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert (held.channels, held.labels) == (64, SUITES["digits"].labels)


def test_bins_of_mackey_glass_stand_for_ascending_numbers() -> None:
    numbers = SUITES["graded"].task("mackey-glass").numbers
    assert numbers is not None
    assert list(numbers) == sorted(numbers)
    assert 0.2 < numbers[0] < numbers[-1] < 1.4


@pytest.mark.parametrize(("name", "task"), PLANTS)
def test_a_plant_is_solved_by_its_teacher_and_not_by_chance(name: str, task: str) -> None:
    one = SUITES[name].task(task)
    assert one.teacher is not None
    count = 8 if name == "devices" else 40
    taught = answered_episodes(one.teacher, one, count, 0)
    assert taught.solved.mean() >= 0.95
    assert (taught.calls_failed, taught.violations, taught.stopped) == (0, 0, ())
    chance = answered_episodes(random_answers(one), one, count, 0)
    assert chance.solved.mean() <= 0.1
    assert chance.scores.mean() < taught.scores.mean() - 0.3
    none = answered_episodes(lambda raw: -1, one, 4, 0)
    assert not none.solved.any()


def test_episodes_are_the_same_for_a_seed() -> None:
    one = SUITES["graded"].task("line")
    assert one.teacher is not None
    runs = [answered_episodes(random_answers(one), one, 5, seed) for seed in (1, 1, 2)]
    assert runs[0].scores.tolist() == runs[1].scores.tolist() != runs[2].scores.tolist()


def network(held: Suite, data: train.Data) -> classify.Present:
    design = train.Design(held.encoders, (24,), True, held.bursts, held.settle)
    made = train.of(train.build(design, data, 0), "")
    outcome = train.train(made, data, train.Schedule(epochs=6, steps=0, copies=0), {})
    assert outcome.test is not None
    assert outcome.test.accuracy > 0.7
    q = quantize(outcome.connectome, "int8")
    return classify.present_on(Host(ImageView(selftest.pack(q).data)), q)


def episodes_on_host(held: Suite, name: str, count: int) -> Episodes:
    data = held.data([name], train=600, val=100, seed=0)
    assert data.labels == held.labels
    return run_episodes(network(held, data), held.task(name), count, 0)


def test_a_trained_network_balances_a_pole_on_the_host_engine() -> None:
    found = episodes_on_host(SUITES["graded"], "cart-pole", 5)
    assert len(found) == 5
    assert found.scores.mean() > 0.5
    assert found.presentations == found.calls_ok + found.calls_failed


def test_a_trained_network_drives_a_device_of_registers() -> None:
    found = episodes_on_host(SUITES["devices"], "lamp", 2)
    assert found.scores.mean() > 0.7
    assert found.calls_failed >= found.violations


def test_answers_that_a_device_has_no_register_for_are_violations() -> None:
    one = SUITES["devices"].task("lamp")
    found = answered_episodes(lambda raw: drivers.UP, one, 1, 0)
    presentations = found.presentations
    assert found.violations == found.calls_failed == 2 * presentations
    assert found.calls_ok == 3 * 20 * presentations
    beyond = answered_episodes(lambda raw: drivers.UP, SUITES["devices"].task("servo"), 1, 0)
    assert beyond.violations == beyond.calls_failed > 0, "the duty leaves its register"
    outside = answered_episodes(lambda raw: 7, SUITES["graded"].task("cart-pole"), 1, 0)
    assert outside.calls_failed == outside.presentations


def test_calls_are_checked_against_the_register_map() -> None:
    made = drivers.machines.make("fan", 1)
    replies = {
        ("read", drivers.PWM): "ok",
        ("read", drivers.ADC): "violation",
        ("write", drivers.PWM, 255): "ok",
        ("write", drivers.PWM, 256): "violation",
        ("write", drivers.PWM, -1): "violation",
        ("write", drivers.I2C_DATA, 0): "violation",
        ("read", drivers.I2C_DATA): "failed",  # nobody is at address 0
        ("read",): "violation",
        ("read", "0"): "violation",
        ("reset",): "violation",
        (): "violation",
    }
    for call, kind in replies.items():
        assert device.reply(made, call)[0] == kind, call


PROGRAM = """
class Device:
    registers = {0: ("rw", 0, 9)}
    def wait(self): pass
    def judge(self): return False, False, 500
    def write(self, address, value): pass
    def read(self, address):
        %s
        return 1

def make(name, seed):
    return Device()
"""


def program(folder: Path, line: str) -> Path:
    path = folder / "program.py"
    path.write_text(PROGRAM % line)
    return path


@pytest.mark.parametrize(
    "line",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "(1).x",
        "print('[]'); return 5",
        "return 'x'",
        "return 1 << 40",
        "while True: print('x', end='')",
        "import os; os.write(1, b'x' * (1 << 22))",
    ],
)
def test_a_device_that_runs_away_is_stopped_within_two_seconds(tmp_path: Path, line: str) -> None:
    wiring = dataclasses.replace(drivers.WIRINGS[1], name="runaway", reads=(0,))
    with_process = Process(program(tmp_path, line), "runaway", 0)
    plant = drivers.Driven(wiring, with_process.calls, with_process.close)
    began = time.monotonic()
    plant.sense()
    plant.act(drivers.UP)
    assert time.monotonic() - began < 2
    assert plant.done
    assert not plant.solved
    assert plant.score() == 0
    assert plant.stopped.startswith("device runaway: ")
    assert (plant.calls_ok, plant.calls_failed) == (0, 20)
    assert not with_process.running


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bytearray(1 << 29)", "MemoryError"),
        ("import _socket; _socket.socket()", "(OSError, ImportError)"),
        ("import socket", "(OSError, ImportError)"),
        ("open('/etc/hostname')", "OSError"),
        ("import os; os.pipe()", "OSError"),
    ],
)
def test_memory_sockets_and_files_are_denied(tmp_path: Path, line: str, error: str) -> None:
    guarded = f"exec({f'try:{chr(10)} {line}{chr(10)}except {error}: pass{chr(10)}else: raise SystemExit'!r})"
    process = Process(program(tmp_path, guarded), "denied", 0)
    assert process.calls([("read", 0)]) == [["ok", 1]]
    process.close()
    process.close()


def test_a_device_that_is_not_there_is_an_error() -> None:
    process = Process(Path("no-such-program.py"), "lost", 0)
    with pytest.raises(EspikeError, match="device lost: ended by itself"):
        process.calls([("wait",)])
    with pytest.raises(EspikeError, match="device lost"):
        process.calls([("wait",)])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: suite("grading"), "suite 'grading' is unknown; use graded, devices"),
        (lambda: SUITES["graded"].task("11"), "suite graded: task '11' is unknown"),
        (lambda: SUITES["graded"].tasks[0].examples("dev", 1, 0), "pattern: part 'dev' is unknown"),
        (lambda: SUITES["graded"].tasks[0].examples("val", 0, 0), "pattern: 0 examples are none"),
        (lambda: SUITES["graded"].data([], train=1, val=1, seed=0), "no task is named"),
        (lambda: SUITES["devices"].data(["valve"], train=1, val=1, seed=0), "valve: is held out"),
        (lambda: answered_episodes(lambda raw: 0, SUITES["digits"].tasks[0], 1, 0), "digits: has no plant"),
        (lambda: answered_episodes(lambda raw: 0, SUITES["graded"].task("9"), 0, 0), "cart-pole: 0 episodes are none"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(ask: Callable[[], object], says: str) -> None:
    with pytest.raises(EspikeError) as caught:
        ask()
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_data_of_a_suite_is_that_of_its_tasks_without_what_is_held_out() -> None:
    held = SUITES["devices"]
    data = held.data(train=10, val=5, seed=1)
    assert len(data.train) == 4 * 10
    assert len(data.test) == 4 * 5
    assert (data.samples, data.channels, data.unit) == (held.samples, held.channels, held.unit)
    own = held.task("lamp").examples("val", 5, 1)
    assert data.test.raw[:5].tobytes() == own.raw.tobytes()


def test_encoders_of_every_suite_can_be_built() -> None:
    for held in SUITES.values():
        data = held.data(train=20, val=10, seed=0)
        c = train.build(train.Design(held.encoders, (8,), True, held.bursts, held.settle), data, 0)
        assert c.senses is not None
        assert c.senses.decoder.labels == held.labels


def recording(folder: Path, name: str, labels: str, shift: int = 0) -> Path:
    lines = ["series,label,x,y"]
    for number in range(20):
        label = labels.split()[number % 2]
        lines += [f"{number},{label},{shift + number * 10 + sample},{number % 2}" for sample in range(4)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_users_csv_becomes_a_suite_of_one_task(tmp_path: Path) -> None:
    path = recording(tmp_path, "waves.csv", "rest shake")
    made = import_recordings(path, tmp_path / "kept")
    one = made.tasks[0]
    assert (made.name, made.labels, made.samples, made.channels) == ("waves", ("rest", "shake"), 4, 2)
    parts = {part: one.examples(part, 100, 0) for part in PARTS}
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 14, "val": 2, "test": 4}
    again = suite(str(tmp_path / "kept" / "waves.npz")).tasks[0]
    for part, examples in parts.items():
        assert again.examples(part, 100, 0).raw.tobytes() == examples.raw.tobytes()
    with pytest.raises(EspikeError, match="cannot be written"):
        import_recordings(path, tmp_path / "kept")


def test_a_folder_has_a_task_per_file_and_joins_their_labels(tmp_path: Path) -> None:
    recording(tmp_path, "a.csv", "rest shake")
    recording(tmp_path, "b.csv", "shake turn", 1000)
    made = suite(str(tmp_path))
    assert made.labels == ("rest", "shake", "turn")
    assert [(task.name, task.level, task.classes) for task in made.tasks] == [("a", 1, (0, 1)), ("b", 2, (1, 2))]
    assert set(made.data(train=20, val=4, seed=0).train.label.tolist()) == {0, 1, 2}
    (tmp_path / "c.csv").write_text("label,x\na,1\nb,2\na,1\nb,2\n")
    with pytest.raises(EspikeError, match=r"c\.csv: has 1 samples of 1 channels"):
        suite(str(tmp_path))


def test_episodes_are_the_same_on_every_engine() -> None:
    held = SUITES["graded"]
    data = held.data(["pattern"], train=40, val=8, seed=0)
    c = train.build(train.Design(held.encoders, (8,), True, held.bursts, held.settle), data, 0)
    q = quantize(c, "int8")
    engines = (Host(ImageView(selftest.pack(q).data)), Reference(q))
    found = [run_episodes(classify.present_on(engine, q), held.task("line"), 3, 0) for engine in engines]
    assert found[0].scores.tolist() == found[1].scores.tolist()


def test_devices_that_end_are_named_in_the_episodes(tmp_path: Path) -> None:
    path = program(tmp_path, "raise SystemExit")
    wiring = dataclasses.replace(drivers.WIRINGS[1], reads=(0,))
    one = dataclasses.replace(SUITES["devices"].task("servo"), plant=lambda seed: drivers.driven(wiring, seed, path))
    found = answered_episodes(lambda raw: drivers.HOLD, one, 2, 0)
    assert [why.partition(" (")[0] for why in found.stopped] == ["device servo: ended by itself or by its limits"] * 2
    assert not found.solved.any()
