"""spec strings -> stimulus: what a person writes on the command line; `docs/stimulus.md` defines it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import stimulus_file
from .connectome import Area
from .errors import EspikeError
from .stimulus import Network, Stimulus, constant, find_areas, merge, periodic, poisson

Maker = Callable[[Area, int, int], Stimulus]
"""(area, bursts, first_burst) -> stimulus"""


def parse(specs: Sequence[str], network: Network, bursts: int, first_burst: int = 1) -> Stimulus:
    """The stimulus of spec strings and file paths, merged; generators cover `bursts` bursts from `first_burst` on.

    Raises: EspikeError naming the spec and its part, or the file and its line.
    """
    return merge([s for spec in specs for s in _parse_one(spec, network, bursts, first_burst)])


def _parse_one(spec: str, network: Network, bursts: int, first_burst: int) -> Iterator[Stimulus]:
    kind, *parts = spec.split(":")
    if kind not in _KINDS:
        yield stimulus_file.load(Path(spec), network)
        return
    where = f"stimulus {spec}"
    if not parts:
        raise EspikeError("names no area", where=where, do=f"write {kind}:AREA:key=value")
    options = _Options(parts[1:], where)
    try:
        make = _KINDS[kind](options)
        options.finish()
        for area in find_areas(parts[0], network):
            yield make(area, bursts, first_burst)
    except EspikeError as error:
        if error.where == where:
            raise
        raise EspikeError(error.what, where=where, do=error.do) from None


class _Options:
    """The key=value parts of a spec; what is not taken is refused."""

    def __init__(self, parts: Sequence[str], where: str) -> None:
        self.where = where
        self.values: dict[str, str] = {}
        self.known: list[str] = []
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals or key in self.values:
                raise EspikeError(f"part {part!r} is no key=value, or repeats a key", where=where)
            self.values[key] = value

    def number(self, key: str, default: float | None = None) -> float:
        text = self._take(key, default is None)
        try:
            return float(default or 0) if text is None else float(text)
        except ValueError:
            raise EspikeError(f"part '{key}={text}' is no number", where=self.where) from None

    def integer(self, key: str, default: int | None = None) -> int:
        text = self._take(key, default is None)
        try:
            return default or 0 if text is None else int(text)
        except ValueError:
            raise EspikeError(f"part '{key}={text}' is no whole number", where=self.where) from None

    def _take(self, key: str, required: bool) -> str | None:
        self.known.append(key)
        if required and key not in self.values:
            raise EspikeError(f"{key} is missing", where=self.where, do=f"add :{key}=...")
        return self.values.pop(key, None)

    def finish(self) -> None:
        for key in self.values:
            raise EspikeError(f"part {key!r} is unknown", where=self.where, do="use " + ", ".join(self.known))


def _poisson_spec(options: _Options) -> Maker:
    rate, amount, seed = options.number("rate"), options.number("amount"), options.integer("seed", 0)
    return lambda area, bursts, first: poisson(area, rate, amount, bursts, seed, first)


def _periodic_spec(options: _Options) -> Maker:
    every, amount, phase = options.integer("every"), options.number("amount"), options.integer("phase", 0)
    return lambda area, bursts, first: periodic(area, every, amount, bursts, phase, first)


def _constant_spec(options: _Options) -> Maker:
    amount = options.number("amount")
    return lambda area, bursts, first: constant(area, amount, bursts, first)


def _power_spec(options: _Options) -> Maker:
    amount = options.number("amount", 1)
    return lambda area, bursts, first: constant(area, amount, bursts, first)


_KINDS: dict[str, Callable[[_Options], Maker]] = {
    "poisson": _poisson_spec,
    "periodic": _periodic_spec,
    "constant": _constant_spec,
    "power": _power_spec,
}
