"""name -> engine: reference, host, or a board that holds the network or is given it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from espike_sim.engine import Engine
from espike_sim.errors import EspikeError
from espike_sim.host import KERNELS, Host, ImageView
from espike_sim.quantized import NUMBER_TYPES, QuantizedConnectome
from espike_sim.reference import Reference

from . import selftest
from .board import BoardEngine, read_meta
from .boards import Running, boards, connect, running
from .flasher import flash
from .image import Packed
from .network import Network, read_network
from .recording import Recording

HOST_ENGINES = ("reference", "host")
AUTO = "auto"
"""Any engine here that runs the network's precision."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EngineInfo:
    """An engine that espike knows."""

    name: str
    title: str
    precisions: tuple[str, ...]
    """What it runs."""
    reason: str = ""
    """Why it does not run on this machine; empty where it does."""

    def why_not(self, precision: str) -> str:
        """Why it does not run a precision here, or an empty string."""
        if precision not in self.precisions:
            return f"does not run {precision}"
        return self.reason


def known() -> list[EngineInfo]:
    """Every engine: those of the host in the order in which `auto` takes them, then each board."""
    kernels = tuple(sorted(KERNELS.values()))
    found = [
        EngineInfo("host", "the C core in this process", kernels),
        EngineInfo("reference", "numpy, written to be read; slow", tuple(sorted(NUMBER_TYPES))),
    ]
    for board in boards().values():
        reason = "" if board.state == "ready" else board.state
        found.append(EngineInfo(board.name, board.title, kernels, reason))
    return found


def choose(precision: str, exclude: str = "") -> str:
    """The first engine that runs a precision here, other than `exclude`.

    Raises: EspikeError saying of each why it does not.
    """
    reasons = []
    for engine in known():
        if engine.name == exclude:
            continue
        why_not = engine.why_not(precision)
        if not why_not:
            return engine.name
        reasons.append(f"{engine.name} {why_not}")
    raise EspikeError(f"no engine here runs {precision}: {'; '.join(reasons)}", do="choose another --precision")


def make(name: str, q: QuantizedConnectome, *, put: bool = False, progress: Progress | None = None) -> Engine:
    """The engine of a name for a network: `auto`, `reference`, `host`, or a board's name or port.

    A board must hold the network's image, or gets it where `put`. Raises: EspikeError where it does not.
    """
    if name == AUTO:
        name = choose(q.precision)
    if name == "reference":
        return Reference(q)
    packed = selftest.pack(q)
    view = ImageView(packed.data)
    if name == "host":
        return Host(view)
    running = connect(name)
    try:
        hello = running.link.hello()
        if hello.network_hash != q.hash:
            if not put:
                holds = f"holds network {hello.network_hash[:12]}" if hello.has_image else "is empty"
                raise EspikeError(
                    f"the board {holds}, not {q.hash[:12]}", where=f"board {name}", do="add --flash, or: espike flash"
                )
            flash(running, packed.data, progress=progress)
        return BoardEngine(running)
    except BaseException:
        running.close()
        raise


def of_recording(recording: Recording, name: str, *, put: bool = False, progress: Progress | None = None) -> Engine:
    """The engine of a name, host or a board, for the network that a recording holds. Raises: EspikeError."""
    if name == "host":
        return Host(recording.view)
    if name == "reference":
        raise EspikeError("a recording holds the image, not the network that the reference reads", do="use host")
    running = connect(name)
    try:
        if running.link.hello().network_hash != recording.view.network_hash:
            if not put:
                raise EspikeError("the board holds another network", where=f"board {name}", do="add --flash")
            flash(running, recording.image, progress=progress)
        return BoardEngine(running)
    except BaseException:
        running.close()
        raise


def network_of(running: Running) -> Network:
    """The network that a board says it holds. Raises: EspikeError where it holds none."""
    hello, meta = read_meta(running)
    return read_network(meta, hello.precision, f"board {running.name}")


@contextmanager
def ready_boards() -> Iterator[dict[str, Callable[[Packed], Engine]]]:
    """Every board of this machine that is ready, started -> makers of engines by its name: each flashes an image."""
    made: dict[str, Callable[[Packed], Engine]] = {}
    with ExitStack() as stack:
        for name, board in boards().items():
            if not board.missing:
                made[name] = partial(_flashed, stack.enter_context(running(name)))
        yield made


def _flashed(target: Running, packed: Packed) -> Engine:
    flash(target, packed.data)
    return BoardEngine(target, owns=False)
