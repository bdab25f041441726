"""answers -> register writes, register reads -> raw samples: the suite `devices`, and the driver of its devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espike_sim.errors import EspikeError

from . import device, machines
from .device import Call, Reply
from .episodes import taught
from .machines import ADC, GPIO_IN, GPIO_OUT, I2C_ADDRESS, I2C_DATA, I2C_REGISTER, PWM
from .sandbox import Process
from .tasks import I32, I64, Plant, Suite, Task

LABELS = ("off", "on", "down", "hold", "up")
OFF, ON, DOWN, HOLD, UP = range(5)
REGISTERS = (GPIO_IN, GPIO_OUT, ADC, PWM, I2C_DATA)
"""What the channels read: all of them 0..255, and 0 where a device has no such register."""
SAMPLES = 20
DUTY_STEP = 12
"""Of `down` and `up`, in the PWM register."""
LATE = 8
"""Samples at the end of a presentation that teachers look at."""
PROGRAM = Path(machines.__file__)

Bus = Callable[[Sequence[Call]], list[Reply]]


@dataclass(frozen=True)
class Wiring:
    """What a driver knows of a device."""

    name: str
    classes: tuple[int, ...]
    reads: tuple[int, ...]
    """Registers that it has."""
    i2c: tuple[int, int] = (0, 0)
    """Address and register of its sensor."""
    i2c_scale: int = 1
    """Of the sensor's value per raw step."""


WIRINGS = (
    Wiring("lamp", (OFF, ON), (GPIO_IN, GPIO_OUT, ADC)),
    Wiring("servo", (DOWN, HOLD, UP), (ADC, PWM)),
    Wiring("alarm", (OFF, ON), (GPIO_OUT, ADC)),
    Wiring("fan", (DOWN, HOLD, UP), (PWM, I2C_DATA), (0x48, 0), 64),
    Wiring("valve", (DOWN, HOLD, UP), (PWM, I2C_DATA), (0x76, 6), 4),
)
ABOUT = {
    "lamp": "a lamp is on while a button is pressed, which bounces",
    "servo": "a servo follows a knob",
    "alarm": "an alarm goes on above a level and off below a lower one",
    "fan": "a fan keeps the temperature that an I2C thermometer reads",
    "valve": "a valve keeps the pressure that an I2C gauge reads; never trained on",
}


class Driven:
    """A device behind its registers, as firmware would drive it: the plant of a task.

    A device that ends, or that is ended, ends the episode: it is not solved, and the calls that it owed have failed.
    """

    def __init__(self, wiring: Wiring, bus: Bus, close: Callable[[], None] = lambda: None) -> None:
        self.wiring, self._bus, self.close = wiring, bus, close
        self.calls_ok = self.calls_failed = self.violations = 0
        self.stopped = ""
        """Why the device ended before its episode did."""
        self._judged: tuple[bool, bool, int] = (False, False, 0)
        if I2C_DATA in wiring.reads:
            address, register = wiring.i2c
            self.calls([("write", I2C_ADDRESS, address), ("write", I2C_REGISTER, register)])

    @property
    def done(self) -> bool:
        """Is the episode over?"""
        return bool(self.stopped) or self._judged[0]

    @property
    def solved(self) -> bool:
        """Did all go well, long enough?"""
        return not self.stopped and self._judged[1]

    def score(self) -> float:
        """The share of samples that count in which all was well; 0 of a device that ended."""
        return 0.0 if self.stopped else self._judged[2] / 1000

    def calls(self, calls: Sequence[Call]) -> list[int]:
        """Values of the replies, 0 where there is none; counts what they are. Waiting is no call."""
        counted = sum(call[0] != "wait" for call in calls)
        if self.stopped:
            return [0] * len(calls)
        try:
            *replies, (_, (done, solved, score)) = self._bus([*calls, ("judge",)])
            values = [_number(value) if kind == "ok" else 0 for kind, value in replies]
            self._judged = bool(done), bool(solved), min(1000, max(0, _number(score)))
        except (EspikeError, TypeError, ValueError) as error:
            said = isinstance(error, EspikeError)
            self.stopped = str(error) if said else f"device {self.wiring.name}: replied with what is no number"
            self.calls_failed += counted
            self.close()
            return [0] * len(calls)
        failed = sum(kind != "ok" for kind, _ in replies)
        self.calls_ok, self.calls_failed = self.calls_ok + counted - failed, self.calls_failed + failed
        self.violations += sum(kind == "violation" for kind, _ in replies)
        return values

    def sense(self) -> I32:
        """int32 (samples, channels): the registers, sample by sample."""
        each: list[Call] = [("wait",), *(("read", register) for register in self.wiring.reads)]
        values = np.array(self.calls(each * SAMPLES), np.int64).reshape(SAMPLES, -1)[:, 1:]
        raw = np.zeros((SAMPLES, len(REGISTERS)), np.int64)
        for register, column in zip(self.wiring.reads, values.T, strict=True):
            raw[:, REGISTERS.index(register)] = self._level(register, column)
        return np.clip(raw, 0, 255).astype(np.int32)

    def _level(self, register: int, values: I64) -> I64:
        scale = {ADC: 16, I2C_DATA: self.wiring.i2c_scale}.get(register, 1)
        return values * 255 if register in (GPIO_IN, GPIO_OUT) else values // scale

    def act(self, answer: int) -> None:
        """off, on: GPIO; down, up: PWM, a step from where it is; hold and -1: nothing is written."""
        if answer in (OFF, ON):
            self.calls([("write", GPIO_OUT, int(answer == ON))])
        elif answer in (DOWN, UP):
            [duty] = self.calls([("read", PWM)])
            self.calls([("write", PWM, duty + (DUTY_STEP if answer == UP else -DUTY_STEP))])


def _number(value: object) -> int:
    """A register's value. Raises: ValueError where it is no integer of 32 bits."""
    if not isinstance(value, int) or abs(value) >= 1 << 31:
        raise ValueError
    return value


def driven(wiring: Wiring, seed: int, program: Path = PROGRAM) -> Driven:
    """The device in a process of its own."""
    process = Process(program, wiring.name, seed)
    return Driven(wiring, process.calls, process.close)


def _here(wiring: Wiring, seed: int) -> Plant:
    """The same without a process: examples are taken from our own programs alone."""
    made = machines.make(wiring.name, seed)
    return Driven(wiring, lambda calls: [device.reply(made, call) for call in calls])


# ---- teachers: raw -> the right answer


def _late(raw: I32, register: int) -> int:
    return int(raw[-LATE:, REGISTERS.index(register)].astype(np.int64).mean())


def _pressed(raw: I32) -> int:
    return ON if _late(raw, GPIO_IN) > 127 else OFF


def _followed(raw: I32) -> int:
    return _towards(_late(raw, ADC) - _late(raw, PWM), 10)


def _alarmed(raw: I32) -> int:
    level = _late(raw, ADC)
    kept = ON if _late(raw, GPIO_OUT) > 127 else OFF
    return ON if level >= machines.HIGH else OFF if level <= machines.LOW else kept


def _cooled(raw: I32) -> int:
    return _towards(_late(raw, I2C_DATA) - machines.BAND_MIDDLE, machines.BAND // 2)


def _towards(over: int, dead: int) -> int:
    return UP if over > dead else DOWN if over < -dead else HOLD


TEACHERS = {"lamp": _pressed, "servo": _followed, "alarm": _alarmed, "fan": _cooled, "valve": _cooled}


def _task(level: int, wiring: Wiring) -> Task:
    name, teacher = wiring.name, TEACHERS[wiring.name]
    draw = taught(name, lambda seed: _here(wiring, seed), teacher, wiring.classes)
    plant = lambda seed: driven(wiring, seed)  # noqa: E731
    return Task(name, level, ABOUT[name], wiring.classes, draw, plant, teacher, name == "valve")


def devices() -> Suite:
    """Five devices that one network drives; the last is held out."""
    return Suite(
        name="devices",
        about="five devices with registers: GPIO, PWM, ADC, I2C",
        channels=len(REGISTERS),
        samples=SAMPLES,
        unit=1.0,
        labels=LABELS,
        encoders=("level:96,160,208", "population:8,0,255"),
        bursts=1,
        settle=2,
        tasks=tuple(_task(level, wiring) for level, wiring in enumerate(WIRINGS, 1)),
    )
