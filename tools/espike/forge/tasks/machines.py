"""name and seed -> device: five devices with registers, in integers; a program of `device.py`.

Nothing may be imported here that `device.py` does not import, see there. Levels are 0..255, a sample is a millisecond.
"""

from __future__ import annotations

import random
from typing import ClassVar

GPIO_IN, GPIO_OUT, ADC, PWM = 0x00, 0x04, 0x10, 0x20
I2C_ADDRESS, I2C_REGISTER, I2C_DATA = 0x30, 0x34, 0x38
SAMPLES = 800
"""Of an episode."""
SETTLED = 240
"""Samples until a level that was far off is to be where it belongs."""
GRACE = 50
"""Samples that an answer may take: two presentations, and ten."""
SOLVED = 900
"""Of 1000."""
LOW, HIGH, TOLERANCE = 96, 160, 16
BAND_MIDDLE, BAND = 128, 24
KNOB_TOLERANCE = 28
Registers = dict[int, tuple[str, int, int]]
BUS: Registers = {I2C_ADDRESS: ("rw", 0, 127), I2C_REGISTER: ("rw", 0, 255), I2C_DATA: ("r", 0, 0)}


class Machine:
    """What all have: registers, samples that pass, and those that went well among those that count."""

    registers: ClassVar[Registers] = {}

    def __init__(self, seed: int) -> None:
        self.bits = random.Random(seed)
        self.values = dict.fromkeys(self.registers, 0)
        self.passed = self.good = self.counted = 0

    def below(self, high: int) -> int:
        """0 .. high - 1."""
        return self.bits.getrandbits(32) * high >> 32

    def near(self, most: int) -> int:
        """-most .. most."""
        return self.below(2 * most + 1) - most

    def move(self) -> None:
        """The world goes on by a sample."""

    def well(self) -> bool | None:
        """Is all as it should be? None: that does not count now."""
        return None

    def wait(self) -> None:
        """A sample passes."""
        self.passed += 1
        self.move()
        verdict = self.well()
        if verdict is not None and self.passed <= SAMPLES:
            self.counted, self.good = self.counted + 1, self.good + verdict

    def read(self, address: int) -> int | None:
        """A register."""
        return self.values[address]

    def write(self, address: int, value: int) -> None:
        """Set a register."""
        self.values[address] = value

    def judge(self) -> tuple[bool, bool, int]:
        """(done, solved, score in 1/1000)."""
        score = 1000 * self.good // max(1, self.counted)
        done = self.passed >= SAMPLES
        return done, done and score >= SOLVED, score


class Lamp(Machine):
    """A button that bounces for six samples and picks up glitches; the lamp is to be on while it is pressed.

    The ADC's pin is open: noise.
    """

    registers: ClassVar[Registers] = {GPIO_IN: ("r", 0, 0), GPIO_OUT: ("rw", 0, 1), ADC: ("r", 0, 0)}

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.pressed, self.since, self.left = self.below(2), 0, 40 + self.below(120)

    def move(self) -> None:
        """The button is pressed or let go now and then."""
        self.since, self.left = self.since + 1, self.left - 1
        if self.left == 0:
            self.pressed, self.since, self.left = 1 - self.pressed, 0, 100 + self.below(140)
        unsure = self.below(2) if self.since < 6 else self.below(25) == 0
        self.values[GPIO_IN] = self.pressed ^ int(unsure)
        self.values[ADC] = self.below(256)

    def well(self) -> bool | None:
        """Is the lamp as the button is?"""
        return None if self.since < GRACE else self.values[GPIO_OUT] == self.pressed


class Servo(Machine):
    """A knob that is turned to places, read with noise; the servo's pulse is to follow it."""

    registers: ClassVar[Registers] = {ADC: ("r", 0, 0), PWM: ("rw", 0, 255)}

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.knob = self.goal = 40 + self.below(50) + 126 * self.below(2)
        self.values[PWM] = 128

    def move(self) -> None:
        """Every third sample the knob goes on by one, to a place below and above the middle by turns."""
        if self.below(300) == 0:
            self.goal = 40 + self.below(50) + 126 * (self.goal < 128)
        if self.passed % 3 == 0:
            self.knob += (self.goal > self.knob) - (self.goal < self.knob)
        self.values[ADC] = min(4095, max(0, 16 * self.knob + self.near(64)))

    def well(self) -> bool | None:
        """Is the servo where the knob is?"""
        return None if self.passed < SETTLED else abs(self.values[PWM] - self.knob) <= KNOB_TOLERANCE


class Alarm(Machine):
    """A level that swings; above HIGH the alarm is to go on, below LOW off, and to stay as it is in between."""

    registers: ClassVar[Registers] = {ADC: ("r", 0, 0), GPIO_OUT: ("rw", 0, 1)}

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.level = self.goal = 128
        self.high = self.below(2)
        self.beyond = self.wrong = 0

    def move(self) -> None:
        """The level goes high, to the middle, low and back by turns, by one per sample, and stays for a while."""
        if self.passed % 200 == 1:
            middle = self.passed % 400 > 200
            self.high = self.high if middle else 1 - self.high
            self.goal = (112 if middle else 190 if self.high else 36) + self.below(32)
        self.level += (self.goal > self.level) - (self.goal < self.level)
        self.values[ADC] = min(4095, max(0, 16 * self.level + self.near(160)))
        self.wrong = max(0, self.wrong - 1)
        over, under = self.level >= HIGH + TOLERANCE, self.level <= LOW - TOLERANCE
        self.beyond = self.beyond + 1 if over or under else 0

    def write(self, address: int, value: int) -> None:
        """Switching between the limits is wrong for a while."""
        early = self.level < HIGH - 2 * TOLERANCE if value else self.level > LOW + 2 * TOLERANCE
        if value != self.values[address] and early and self.passed > GRACE:
            self.wrong = GRACE
        super().write(address, value)

    def well(self) -> bool | None:
        """Beyond a limit, is the alarm as it should be? In between, was it left alone?"""
        if self.beyond == 0:
            return False if self.wrong else None
        return None if self.beyond < GRACE else self.values[GPIO_OUT] == (self.level > HIGH)


class Fan(Machine):
    """A thermometer at 0x48 (register 0, 1/256 degree); the fan is to keep a level of 1/4 degree in a band."""

    registers: ClassVar[Registers] = {**BUS, PWM: ("rw", 0, 255)}
    address, register, scale, noise, slowness, strength = 0x48, 0, 64, 3, 24, 2
    loads, middle = (140, 214), 108

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.level, self.high = 256 * (60 + self.below(140)), self.below(2)
        self.values[PWM] = self.middle
        self.load = 0

    def move(self) -> None:
        """The level goes to where load and fan hold it, a share of the way in each sample."""
        if self.passed % (SAMPLES // 2) == 1:
            self.high = 1 - self.high
            self.load = self.loads[self.high] + self.below(10)
        held = 256 * self.load - 256 * self.values[PWM] // self.strength
        self.level += (held - self.level) // self.slowness

    def ripple(self) -> int:
        """What the sensor adds."""
        return self.near(self.noise)

    def read(self, address: int) -> int | None:
        """The sensor answers at its address, in its register."""
        if address != I2C_DATA:
            return super().read(address)
        if (self.values[I2C_ADDRESS], self.values[I2C_REGISTER]) != (self.address, self.register):
            return None
        return min(255, max(0, (self.level >> 8) + self.ripple())) * self.scale

    def well(self) -> bool | None:
        """Is the level in its band?"""
        return None if self.passed % (SAMPLES // 2) < SETTLED else abs((self.level >> 8) - BAND_MIDDLE) <= BAND


class Valve(Fan):
    """A pressure gauge at 0x76 (register 6, a quarter kPa per level), which a pump makes swing; the valve lets off."""

    address, register, scale, noise, slowness, strength = 0x76, 6, 4, 4, 40, 3
    loads, middle = (134, 194), 126

    def ripple(self) -> int:
        """A stroke of the pump lasts eight samples."""
        return 4 * abs(self.passed % 8 - 4) - 8 + self.near(self.noise)


MACHINES: dict[str, type[Machine]] = {"lamp": Lamp, "servo": Servo, "alarm": Alarm, "fan": Fan, "valve": Valve}


def make(name: str, seed: int) -> Machine:
    """The device of a name."""
    return MACHINES[name](seed)
