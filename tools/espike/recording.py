"""a board's run <-> recording: segments of its streams, its image and its stimulus in one segment store."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus, Engine
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.ledger import Ledger, from_queues

from .link import Hello, State
from .network import Network, describe, read_network
from .segment_rows import Tensor
from .segment_store import SegmentStore
from .telemetry import Stream, StreamSegment

Progress = Callable[[int, int], None]
"""(done, all)"""

IMAGE, END = "image", "end"
_STIMULUS = "stimulus/"


class Recorder:
    """Writes a run as it goes on; what was written stays, however the run ends.

    Raises: EspikeError where the file is there already or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.segments = 0
        self._begun = False
        self._store = SegmentStore(path, "new")

    def begin(self, hello: Hello, image: bytes, streams: list[Stream]) -> None:
        """What runs, and what is kept of it; without that the file goes when it is closed."""
        with self._store.batch():
            meta = {"board": hello.board, "network": hello.network_hash, "precision": hello.precision}
            self._store.attach(IMAGE, image, meta)
            for stream in streams:
                self._store.add(_tensor(stream, hello))
        self._begun = True

    def stimulus(self, first_burst: int, coded: CodedStimulus) -> None:
        """What is about to be injected, from `first_burst` on."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, burst=coded.burst, neuron=coded.neuron, value=coded.value)
        self._store.attach(f"{_STIMULUS}{first_burst:012d}", buffer.getvalue(), {"clamped": coded.clamped})

    def segment(self, segment: StreamSegment) -> None:
        """A segment that came."""
        self._store.append(segment.stream.tensor_id, segment.first_burst, segment.data)
        self.bytes += segment.segment.byte_count
        self.segments += 1

    def end(self, state: State) -> None:
        """The run is over: the hashes that a replay has to reach."""
        meta = {"burst": state.burst, "hash": list(state.hash), "potential_hash": list(state.potential_hash)}
        self._store.attach(END, b"", meta | {"dropped": state.dropped, "overruns": state.overruns})

    def close(self) -> None:
        """Close the file."""
        self._store.close()
        if not self._begun:
            self._store.path.unlink(missing_ok=True)


def _tensor(stream: Stream, hello: Hello) -> Tensor:
    meta = {
        "source": stream.source,
        "first": stream.first,
        "unit": "code" if hello.precision == "int8" else "potential",
    }
    return Tensor(
        stream.tensor_id, stream.kind, stream.count, meta, stream.policy, f"board {hello.board}", hello.network_hash
    )


@dataclass(frozen=True)
class End:
    """How a recorded run ended."""

    burst: int
    hash: tuple[int, int]
    potential_hash: tuple[int, int]


def is_recording(store: SegmentStore) -> bool:
    """Does a segment store hold a run?"""
    return IMAGE in store.attachments()


class Recording:
    """A recording, read. Raises: EspikeError where the file is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SegmentStore(path, "read")
        try:
            if not is_recording(self.store):
                raise EspikeError("is a segment store, not a recording", where=str(path))
            image = self.store.attachment(IMAGE)
            self.image = image.data
            self.view = ImageView(self.image, f"{path}: image")
            self.board = str(image.meta.get("board", ""))
            self.network: Network = read_network(self.view.meta, self.view.precision, str(path))
        except BaseException:
            self.store.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    @property
    def end(self) -> End | None:
        """How the run ended; None where the recording broke off."""
        if END not in self.store.attachments():
            return None
        meta = self.store.attachment(END).meta
        try:
            first, second = meta["hash"], meta["potential_hash"]
            return End(int(meta["burst"]), (first[0], first[1]), (second[0], second[1]))
        except (KeyError, IndexError, TypeError, ValueError):
            raise EspikeError("the end is none of a recording", where=str(self.path)) from None

    def fired(self) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """(burst, ids) of every burst whose ids were recorded, in order."""
        for stored in self.store.query("fired", touch=False):
            yield from zip(stored.timestamps.tolist(), stored.segment().sets(), strict=True)

    def ledger(self) -> Ledger:
        """The fire ledger, without hashes; bursts that were dropped are empty. Raises: EspikeError where none is."""
        if "fired" not in [tensor.tensor_id for tensor in self.store.tensors()]:
            raise EspikeError("holds no fired ids", where=str(self.path), do="record them: --stream fired")
        queues = dict(self.fired())
        if not queues:
            raise EspikeError("holds no burst", where=str(self.path))
        first, last = min(queues), max(queues)
        none = np.zeros(0, np.uint32)
        made = [queues.get(burst, none) for burst in range(first, last + 1)]
        zeros = np.zeros((len(made), 2), np.uint32)
        return from_queues(made, first_burst=first, neurons=self.view.neurons, hashes=zeros,
                           network_hash=self.view.network_hash)  # fmt: skip

    def traces(self, neurons: Sequence[int]) -> tuple[dict[str, NDArray[np.float64]], int]:
        """Recorded potentials of some neurons by name, from the first burst on; bursts that were dropped are NaN.

        Raises: EspikeError where a neuron's potential was not recorded.
        """
        streams = [tensor for tensor in self.store.tensors() if tensor.meta.get("source") == "potentials"]
        out: dict[str, NDArray[np.float64]] = {}
        last = self.last_burst()
        for tensor in streams:
            first = int(tensor.meta["first"])
            wanted = [neuron for neuron in neurons if first <= neuron < first + tensor.tensor_len]
            if wanted:
                times, values = self.store.frames(tensor.tensor_id, touch=False)
                for neuron in wanted:
                    trace = np.full(last, np.nan)
                    trace[times - 1] = np.asarray(values)[:, neuron - first]
                    out[describe(self.network.areas, neuron)] = trace
        if len(out) < len(neurons):
            held = ", ".join(tensor.tensor_id for tensor in streams) or "none"
            raise EspikeError(f"not all of these potentials were recorded (streams: {held})", where=str(self.path),
                              do="--neurons names others")  # fmt: skip
        return out, 1

    def stimulus(self) -> CodedStimulus | None:
        """Everything that was injected; None where nothing was."""
        names = sorted(name for name in self.store.attachments() if name.startswith(_STIMULUS))
        if not names:
            return None
        parts = [_arrays(self.store.attachment(name).data, f"{self.path}: {name}") for name in names]
        columns = {key: np.concatenate([part[key] for part in parts]) for key in ("burst", "neuron", "value")}
        coded = CodedStimulus(columns["burst"], columns["neuron"], columns["value"])
        coded.check_order()
        return coded

    def last_burst(self) -> int:
        """The last burst that anything was recorded of."""
        if (end := self.end) is not None:
            return end.burst
        tensors = self.store.tensors()
        return max((s.end for t in tensors for s in self.store.query(t.tensor_id, touch=False)), default=0)


@dataclass(frozen=True)
class Replay:
    """What a replay found. `difference` None: everything that was recorded came again."""

    bursts: int
    compared: int
    """Bursts whose fired ids were compared; the others were dropped."""
    spikes: int
    values: int
    """Potentials and injected values that were compared; those that were requantized are not."""
    hash: list[int]
    hash_equal: bool | None
    """Of the last burst, with and without potentials; None where the recording broke off."""
    difference: str | None

    def as_json(self) -> dict[str, Any]:
        """The replay as JSON values."""
        return vars(self) | {"equal": self.difference is None}


def replay(recording: Recording, engine: Engine, progress: Progress | None = None) -> Replay:
    """Run what was recorded again on `engine`: the same stimulus has to give the same ids in every burst that was
    recorded, the same values within the bound of their segments, and at the end the same hashes.
    """
    bursts, stimulus = recording.last_burst(), recording.stimulus()
    tally = _Tally(recording)
    engine.reset()
    reached: list[tuple[int, ...]] = []
    while engine.burst < bursts and tally.difference is None:
        last = min(bursts, engine.burst + tally.step)
        part = stimulus.between(engine.burst + 1, last) if stimulus is not None else None
        ledger = engine.run(last - engine.burst, part)
        reached = [tuple(h[-1].tolist()) for h in (ledger.hashes, ledger.potential_hashes) if h is not None]
        tally.compare(ledger, part, engine)
        if progress is not None:
            progress(engine.burst, bursts)
    end, difference = recording.end, tally.difference
    equal = None
    if end is not None and difference is None:
        equal = all(a == b for a, b in zip(reached, (end.hash, end.potential_hash), strict=False))
        difference = None if equal else f"the hash of burst {bursts} differs"
    return Replay(
        bursts, tally.bursts, tally.spikes, tally.values, list(reached[0]) if reached else [], equal, difference
    )


class _Tally:
    """Holds an engine's bursts against a recording's frames, which it reads along."""

    def __init__(self, recording: Recording) -> None:
        self.bursts = self.spikes = self.values = 0
        self.difference: str | None = None
        self._store = recording.store
        self._tensors: dict[str, list[Tensor]] = {}
        for tensor in recording.store.tensors():
            first, source = tensor.meta.get("first"), str(tensor.meta.get("source"))
            if not isinstance(first, int) or not 0 <= first <= recording.view.neurons - tensor.tensor_len:
                raise EspikeError(f"tensor {tensor.tensor_id} is no stream of its network", where=str(recording.path))
            self._tensors.setdefault(source, []).append(tensor)
        self._open: dict[str, Iterator[tuple[int, Any]]] = {}
        self._next: dict[str, tuple[int, Any] | None] = {}
        self.step = 1 if "potentials" in self._tensors else 256
        """Bursts that may be run at once."""

    def _at(self, tensor: Tensor, burst: int) -> Any:
        """What a stream holds of a burst, None where it was dropped."""
        name = tensor.tensor_id
        frames = self._open.setdefault(name, _frames(self._store, tensor))
        while name not in self._next or ((there := self._next[name]) is not None and there[0] < burst):
            self._next[name] = next(frames, None)
        found = self._next[name]
        return found[1] if found is not None and found[0] == burst else None

    def compare(self, ledger: Ledger, stimulus: CodedStimulus | None, engine: Engine) -> None:
        """The bursts of a ledger, behind the last of which the engine stands, and what was injected into them."""
        for burst in range(ledger.first_burst, ledger.last_burst + 1):
            for tensor in self._tensors.get("fired", []):
                self._compare_ids(self._at(tensor, burst), ledger.fired(burst), burst)
            for tensor in self._tensors.get("stimulus", []):
                self._compare_values(tensor, burst, "what was injected into", _injected(stimulus, tensor, burst))
            if self.difference is not None:
                return
        for tensor in self._tensors.get("potentials", []):
            first = int(tensor.meta["first"])
            values = engine.potentials()[first : first + tensor.tensor_len]
            self._compare_values(tensor, ledger.last_burst, "the potential of", values)

    def _compare_ids(self, recorded: Any, fired: NDArray[np.uint32], burst: int) -> None:
        if recorded is None:
            return
        self.bursts += 1
        self.spikes += len(recorded)
        odd = np.setxor1d(recorded, fired)
        if len(odd) and self.difference is None:
            side = "recording" if odd[0] in recorded else "replay"
            self.difference = f"burst {burst}: neuron {odd[0]} fired in the {side} alone"

    def _compare_values(self, tensor: Tensor, burst: int, what: str, values: NDArray[Any]) -> None:
        recorded = self._at(tensor, burst)
        if recorded is None:
            return
        frame, bounds = recorded
        miss = np.abs(values.astype(np.float64) - frame)
        self.values += len(frame)
        if np.any(miss > bounds) and self.difference is None:
            worst = int(np.argmax(miss - bounds))
            neuron = int(tensor.meta["first"]) + worst
            self.difference = f"burst {burst}: {what} neuron {neuron} is off by {miss[worst]:g}"


def _injected(stimulus: CodedStimulus | None, tensor: Tensor, burst: int) -> NDArray[Any]:
    """float64 (tensor_len,): what a burst's entries give a stream's neurons."""
    values = np.zeros(tensor.tensor_len)
    if stimulus is not None:
        part = stimulus.between(burst, burst)
        at = part.neuron.astype(np.int64) - int(tensor.meta["first"])
        inside = (at >= 0) & (at < tensor.tensor_len)
        values[at[inside]] = part.value[inside]
    return values


def _frames(store: SegmentStore, tensor: Tensor) -> Iterator[tuple[int, Any]]:
    """(burst, ids; or values and what each may be off by) of every frame of a tensor."""
    for stored in store.query(tensor.tensor_id, touch=False):
        if stored.requantized:
            continue  # its bound is about values that were decoded before
        segment = stored.segment()
        if segment.kind == "sets":
            yield from zip(stored.timestamps.tolist(), segment.sets(), strict=True)
            continue
        values = segment.decode().astype(np.float64)
        bounds = np.zeros(tensor.tensor_len)
        if segment.kind == "quantized":
            bounds = np.repeat(segment.bounds.astype(np.float64), segment.group_len)[: tensor.tensor_len]
        for burst, frame in zip(stored.timestamps.tolist(), values, strict=True):
            yield burst, (frame, bounds)


def _arrays(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in ("burst", "neuron", "value")}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        raise EspikeError("the stimulus is damaged", where=where) from None
