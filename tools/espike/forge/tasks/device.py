"""program + calls -> replies: a simulated device behind its register map; run as a script, with limits of its own.

    python -I device.py PROGRAM NAME SEED

PROGRAM is a Python file with `make(name, seed)`, which returns a Device. Calls come in as lines, each a JSON list of
calls; a line of replies goes out for each:

    ["wait"]                    a sample passes             ["ok", 0]
    ["read", address]           a register                  ["ok", value]
    ["write", address, value]                               ["ok", 0]
    ["judge"]                   how it goes, no call        ["ok", [done, solved, score in 1/1000]]

A read or write that the register map does not have, or a value out of its range, is replied to by ["violation", why],
what the device cannot do by ["failed", why]. A program has the modules of this one and what they import: the limits
let it open neither files nor sockets, and start no process. They keep mistakes in; they are no wall against an
attacker.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import random
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

CPU_SECONDS = 1
MEMORY_BYTES = 256 << 20
FILES = 3
"""Standard input, output and errors: nothing more can be opened."""
LIMITS = {
    resource.RLIMIT_CPU: CPU_SECONDS,
    resource.RLIMIT_AS: MEMORY_BYTES,
    resource.RLIMIT_NOFILE: FILES,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_CORE: 0,
}
SHARED = (collections, dataclasses, math, random)
"""Imported for programs, which cannot load modules."""

Call = Sequence[Any]
Reply = list[Any]


class Device(Protocol):
    """What a program makes."""

    @property
    def registers(self) -> Mapping[int, tuple[str, int, int]]:
        """Address -> (`r`, `w` or `rw`, least and most value that may be written)."""

    def wait(self) -> None:
        """A sample passes."""

    def read(self, address: int) -> int | None:
        """A register's value; None: the device does not answer."""

    def write(self, address: int, value: int) -> None:
        """Set a register."""

    def judge(self) -> tuple[bool, bool, int]:
        """(done, solved, score in 1/1000)."""


def reply(device: Device, call: Call) -> Reply:
    """What a device makes of a call, which is checked against its register map first."""
    kind, numbers = (call[0], call[1:]) if call else ("", ())
    if kind in ("wait", "judge") and not numbers:
        if kind == "judge":
            return ["ok", list(device.judge())]
        device.wait()
        return ["ok", 0]
    if (kind, len(numbers)) not in (("read", 1), ("write", 2)) or any(type(n) is not int for n in numbers):
        return ["violation", "is no call"]
    access, least, most = device.registers.get(numbers[0], ("", 0, 0))
    if kind[0] not in access:
        return ["violation", f"no register {numbers[0]:#04x} to {kind}"]
    if kind == "read":
        value = device.read(numbers[0])
        return ["failed", "does not answer"] if value is None else ["ok", value]
    if not least <= numbers[1] <= most:
        return ["violation", f"{numbers[1]} leaves {least}..{most} of register {numbers[0]:#04x}"]
    device.write(numbers[0], numbers[1])
    return ["ok", 0]


def main(program: str, name: str, seed: str) -> None:
    """Serve one device until the input ends."""
    with open(program, encoding="utf-8") as file:
        source = file.read()
    for limit, most in LIMITS.items():
        resource.setrlimit(limit, (most, most))
    scope: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, program, "exec"), scope)
    device = scope["make"](name, int(seed))
    for line in sys.stdin:
        print(json.dumps([reply(device, call) for call in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
