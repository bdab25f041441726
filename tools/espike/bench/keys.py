"""key -> figure: every key of the bench, its unit, its goal, and what takes it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from .. import traces
from ..presented import Presented
from . import (
    agreement,
    code,
    fidelity,
    forge,
    growth,
    instructions,
    native,
    networks,
    peers,
    power_cuts,
    rsnn,
    segments,
    sizes,
    speed,
    telemetry,
    trained,
    transfers,
)

Number = int | float
RESIDENT_BURSTS = 100


@dataclass
class Bench:
    """What the keys of one run share: built once, when the first key needs it."""

    folder: Path
    full: bool = False
    boards: Sequence[agreement.EngineMaker] = ()
    python: str | None = None
    """The interpreter that has the peers; None: `peers.against_peers` says."""
    tell: Callable[[str], None] = lambda _: None
    """Called with what a key that takes long does next."""
    races: dict[str, tuple[float, list[speed.Rate]] | None] = field(default_factory=dict)
    peer_races: dict[str, peers.Race] = field(default_factory=dict)
    forges: dict[str, forge.Forged] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why keys without a figure have none, as far as it is known."""

    @cached_property
    def cross(self) -> bool:
        """Are the compiler and the emulator of the rv32 board installed?"""
        return instructions.RV32.available

    @cached_property
    def program(self) -> instructions.Program | None:
        """The instruction counter, None where it cannot be built or run."""
        return instructions.build(self.folder) if self.cross else None

    @cached_property
    def lx106_program(self) -> instructions.Program | None:
        """The same for the lx106 board."""
        target = instructions.LX106
        return instructions.build(self.folder, target=target) if target.available else None

    @cached_property
    def firmware(self) -> Path | None:
        """The firmware of the rv32 board."""
        return code.build_firmware() if self.cross else None

    @cached_property
    def million(self) -> native.NativeRun | None:
        """A run of the largest network."""
        if not native.available(callgrind=False):
            return None
        return native.run(networks.peer_network("1200k_12m"), self.folder, RESIDENT_BURSTS, RESIDENT_BURSTS)

    @cached_property
    def segment_times(self) -> dict[str, float] | None:
        """Nanoseconds of the segment codec on this machine."""
        return segments.times(self.folder)

    def forged(self, name: str) -> forge.Forged:
        """A run of the forge, once."""
        if name not in self.forges:
            self.tell(f"forge {name}")
            self.forges[name] = forge.forged(name, self.folder)
        return self.forges[name]

    def race(self, name: str) -> tuple[float, list[speed.Rate]] | None:
        """The host engine against the plain loop on one of networks.PEERS."""
        if name not in self.races:
            self.races[name] = speed.against_loop(name, self.folder)
        return self.races[name]

    def peer_ratio(self, peer: str, name: str) -> float | None:
        """The host engine over a peer on one of networks.PEERS; None with its reason where there is none."""
        if name not in self.peer_races:
            self.peer_races[name] = peers.against_peers(name, self.folder, self.python, tell=self.tell)
        race = self.peer_races[name]
        if peer in race.reasons:
            self.reasons[f"host_ratio_{peer}_{name}"] = race.reasons[peer]
        return race.ratios.get(peer)


@dataclass(frozen=True)
class Key:
    """One figure. `goal`: at most (direction "<=") or at least (">="); None = reported."""

    name: str
    unit: str
    goal: Number | None
    direction: str
    about: str
    take: Callable[[Bench], Number | None]
    full: bool = False
    """Taken only in a full run, or when named."""

    def reached(self, value: Number | None) -> bool | None:
        """Does a value meet the goal? None where there is no goal or no value."""
        if value is None or self.goal is None:
            return None
        return value <= self.goal if self.direction == "<=" else value >= self.goal


def _rv32(measure: Callable[[instructions.Program], Number]) -> Callable[[Bench], Number | None]:
    return lambda bench: None if bench.program is None else measure(bench.program)


def _lx106(measure: Callable[[instructions.Program], Number]) -> Callable[[Bench], Number | None]:
    return lambda bench: None if bench.lx106_program is None else measure(bench.lx106_program)


def _per_event(kind: str, *, candidates_only: bool = False) -> Callable[[instructions.Program], Number]:
    return lambda program: instructions.per_event(
        program, instructions.rows_network(kind, candidates_only=candidates_only)
    )


def _core_text_lx106(bench: Bench) -> Number | None:
    target = instructions.LX106
    return code.core_text_bytes(bench.folder, "int8", target) if target.available else None


def _rows_flash(kind: str) -> Callable[[Bench], Number]:
    return lambda bench: sizes.rows_flash_bytes(kind)


def _core_text(precision: str) -> Callable[[Bench], Number | None]:
    return lambda bench: code.core_text_bytes(bench.folder, precision) if bench.cross else None


def _firmware(measure: Callable[[Path], int]) -> Callable[[Bench], Number | None]:
    return lambda bench: None if bench.firmware is None else measure(bench.firmware)


def _ratio(name: str) -> Callable[[Bench], Number | None]:
    def take(bench: Bench) -> Number | None:
        race = bench.race(name)
        return None if race is None else race[0]

    return take


def _rates(name: str, figure: Callable[[list[speed.Rate]], float]) -> Callable[[Bench], Number | None]:
    def take(bench: Bench) -> Number | None:
        race = bench.race(name)
        return None if race is None else figure(race[1])

    return take


def _peer_keys() -> Iterator[Key]:
    """The same networks in other simulators; those of one network are measured together."""
    for name, floors in peers.FLOORS.items():
        for peer, floor in floors.items():
            yield _peer_ratio_key(peer, name, floor)


def _peer_ratio_key(peer: str, name: str, floor: float) -> Key:
    about = f"events per second over {peers.NAMES[peer]}, {networks.PEERS[name].about}"
    return Key(f"host_ratio_{peer}_{name}", "x", floor, ">=", about,
               lambda bench: bench.peer_ratio(peer, name), full=True)  # fmt: skip


def _million(figure: Callable[[native.NativeRun], float | None]) -> Callable[[Bench], Number | None]:
    return lambda bench: None if bench.million is None else figure(bench.million)


def _peer_flash(name: str) -> Callable[[Bench], Number]:
    return lambda bench: sizes.flash_bytes_per_synapse(networks.peer_network(name))


def _segment_text(bench: Bench) -> Number | None:
    return code.segment_text_bytes(bench.folder) if bench.cross else None


def _times(figure: Callable[[dict[str, float]], float]) -> Callable[[Bench], Number | None]:
    return lambda bench: None if bench.segment_times is None else figure(bench.segment_times)


def _layered_keys() -> Iterator[Key]:
    """int8 beside fp32 on a feed-forward network, free running."""
    yield Key("int8_decision_agreement_layered", "share", 0.99, ">=", "equal (neuron, burst) decisions, free running",
              lambda _: fidelity.of_network("layered").free.decisions_equal)  # fmt: skip
    yield Key("int8_spike_f1_layered", "F1", 0.97, ">=", "spikes of fp32 and int8, free running",
              lambda _: fidelity.of_network("layered").free.f1)  # fmt: skip


def _trained_keys(name: str) -> Iterator[Key]:
    """int8 beside fp32 of a trained network on its test set, free running."""
    about = trained.MODELS[name].about

    def figure(take: Callable[[Presented], float | None]) -> Callable[[Bench], Number | None]:
        def of(bench: Bench) -> Number | None:
            found = trained.of_model(name)
            if found is None:
                missing = trained.MODELS[name].missing()
                bench.reasons |= {f"int8_{key}_{name}": missing for key in trained.FIGURES}
            return None if found is None else take(found)

        return of

    yield Key(f"int8_decision_agreement_{name}", "share", 0.99, ">=", f"equal decisions, {about}",
              figure(lambda found: found.total.decisions_equal))  # fmt: skip
    yield Key(f"int8_spike_f1_{name}", "F1", 0.97, ">=", f"spikes of fp32 and int8, {about}",
              figure(lambda found: found.total.f1))  # fmt: skip
    yield Key(f"int8_accuracy_drop_{name}", "points", 0.5, "<=", f"accuracy that int8 loses, {about}",
              figure(lambda found: found.drop))  # fmt: skip


def _plan_keys() -> Iterator[Key]:
    """A recurrent network of published size, planned for an ESP32-S3 in int8."""
    shape = "96-1024-10, recurrent, 1.157 M synapses"
    yield Key("plan_rsnn_s3_ms_per_burst", "ms", None, "", f"{shape}, S3 at 240 MHz, 10 % firing (float, 160 MHz: 81)",
              lambda _: (rsnn.speed().us or 0) / 1000)  # fmt: skip
    yield Key("plan_rsnn_s3_instructions", "instructions", None, "", "of that burst, as counted for lx106, -Os",
              lambda _: rsnn.speed().instructions)  # fmt: skip
    yield Key("plan_rsnn_s3_bytes", "B", None, "", "flash and RAM of that network",
              lambda _: rsnn.planned().flash_bytes + rsnn.planned().ram_bytes)  # fmt: skip


def _recurrent_keys(name: str) -> Iterator[Key]:
    """int8 beside fp32 on a recurrent network with lognormal weights."""
    what = f"{int(name):,} neurons, recurrent"
    yield Key(f"int8_ahead_agreement_{name}", "share", 0.9995, ">=", f"{what}: one burst ahead from equal states",
              lambda _: fidelity.of_network(name).ahead.decisions_equal)  # fmt: skip
    yield Key(f"int8_ahead_f1_{name}", "F1", 0.995, ">=", "the same, spikes",
              lambda _: fidelity.of_network(name).ahead.f1)  # fmt: skip
    yield Key(f"int8_free_f1_{name}", "F1", None, "", "the same, free running",
              lambda _: fidelity.of_network(name).free.f1)  # fmt: skip
    yield Key(f"int8_rate_correlation_{name}", "r", 0.99, ">=", "rates of neurons over 1,500 bursts",
              lambda _: fidelity.of_network(name).rate_correlation)  # fmt: skip


PUSH, DECODE = {8: 2.1, 7: 2.5, 5: 2.5, 3: 2.5}, {8: 1.25, 7: 1.65, 5: 1.65, 3: 1.65}
ONE, HUNDRED = {8: 3.7, 7: 4.2, 5: 5.8, 3: 9.0}, {8: 3.99, 7: 4.56, 5: 6.38, 3: 10.6}
ERROR = {8: 0.008, 7: 0.016, 5: 0.065, 3: 0.30}


def _width_keys(bits: int) -> Iterator[Key]:
    """What the segment codec is judged by at one width."""
    frame = "a frame of 512 floats, segments of 100"
    yield Key(f"segment_push_ns_512_b{bits}", "ns", None, "", f"pushing {frame}",
              _times(lambda t: t[f"push{bits}"]))  # fmt: skip
    yield Key(f"segment_decode_ns_512_b{bits}", "ns", None, "", f"decoding {frame}",
              _times(lambda t: t[f"decode{bits}"]))  # fmt: skip
    yield Key(f"segment_push_ratio_512_b{bits}", "x", PUSH[bits], "<=", "push over a plain max-abs pass",
              _times(lambda t: t[f"push{bits}"] / t["pass0"]))  # fmt: skip
    yield Key(f"segment_decode_ratio_512_b{bits}", "x", DECODE[bits], "<=", "decode over the same pass",
              _times(lambda t: t[f"decode{bits}"] / t["pass0"]))  # fmt: skip
    yield Key(f"segment_ratio_b{bits}_1", "x", ONE[bits], ">=", "512 values, one frame, groups of 256",
              lambda bench: segments.ratio(bits, 1))  # fmt: skip
    yield Key(f"segment_ratio_b{bits}_100", "x", HUNDRED[bits], ">=", "512 values, 100 frames, one segment",
              lambda bench: segments.ratio(bits, 100))  # fmt: skip
    yield Key(f"segment_error_b{bits}", "share", ERROR[bits], "<=", "error over the frame's largest value, worst frame",
              lambda bench: segments.worst_error(bits))  # fmt: skip
    if bits != 8:
        yield Key(f"bitpack_gints_per_s_b{bits}", "Gint/s", 8, ">=", "packing or unpacking, the slower",
                  _times(lambda t: 4096 / t[f"bits{bits}"]))  # fmt: skip


def _hour_keys(name: str) -> Iterator[Key]:
    """An hour's trace, every byte counted."""
    yield Key(f"segment_ratio_hour_{name}_warm", "x", 6, ">=", "an hour, version 1, 5 bits",
              lambda bench: segments.hour_ratio(name, 5))  # fmt: skip
    yield Key(f"segment_ratio_hour_{name}_cold", "x", 10, ">=", "an hour, version 1, 3 bits",
              lambda bench: segments.hour_ratio(name, 3))  # fmt: skip
    yield Key(f"segment2_ratio_hour_{name}_warm", "x", 6, ">=", "an hour, version 2, 7 bits",
              lambda bench: segments.hour_ratio_2(name, 7))  # fmt: skip
    yield Key(f"segment2_ratio_hour_{name}_cold", "x", 10, ">=", "an hour, version 2, 3 bits",
              lambda bench: segments.hour_ratio_2(name, 3))  # fmt: skip


def _set_keys(name: str, least: float) -> Iterator[Key]:
    """1,000 frames of 512 at 8 bits, default policy."""
    yield Key(f"segment_ratio_{name}_b8", "x", None, "", "version 1, 1,000 frames of 512",
              lambda bench: segments.set_ratio(name, 1))  # fmt: skip
    yield Key(f"segment2_ratio_{name}_b8", "x", least, ">=", "version 2, the same frames",
              lambda bench: segments.set_ratio(name, 2))  # fmt: skip


PEERS = ("zlib-6", "zstd-1", "zstd-19", "lz4", "heatshrink", "pcodec")


def _peer_key(peer: str, name: str) -> Key:
    return Key(f"segment2_over_{peer.replace('-', '')}_{name}_b8", "x", None, "", f"version 2 over codes in {peer}",
               lambda bench: segments.over_peer(peer, name), full=True)  # fmt: skip


EVENTS = {
    "dense8": (5.0, "whole propagation per event, 64 x 64, 20 fired"),
    "uniform": (8.5, "one weight per row, rows of 64, 2 % fired"),
    "d8w8": (10.2, "one weight per synapse"),
    "d8w4": (11, "16 distinct weights"),
    "b53": (14.5, "8 distinct weights"),
}
"""Kind of rows: goal, and what the network is."""


def _event_keys(core: str) -> Iterator[Key]:
    """Propagation on one instruction set, -O2."""
    take = {"rv32": _rv32, "lx106": _lx106}[core]
    for kind, (goal, about) in EVENTS.items():
        yield Key(f"{core}_instr_per_event_{kind}", "instructions", goal, "<=", about, take(_per_event(kind)))


def _forged(name: str, metric: str, scale: float = 1.0) -> Callable[[Bench], Number | None]:
    def take(bench: Bench) -> Number | None:
        found = bench.forged(name).metric(metric)
        return None if found is None else scale * found

    return take


def _forge_keys() -> list[Key]:
    made = []
    for name in ("digits", "gestures"):
        made += [
            Key(f"forge_compression_{name}", "x", 8, ">=", "12 B per synapse of the adopted network over the image",
                _forged(name, "pack/total_compression_ratio"), full=True),
            Key(f"forge_accuracy_change_{name}", "points", -0.5, ">=", "of the last image, against the adopted network",
                _forged(name, "pack/accuracy_vs_phase1", 100), full=True),
            Key(f"forge_search_{name}", "share", None, "", "hypervolume that the search reached",
                _forged(name, "fit/search/hypervolume"), full=True),
            Key(f"forge_random_{name}", "share", None, "", "hypervolume of as many random networks",
                _forged(name, "fit/search/random_hypervolume"), full=True),
        ]  # fmt: skip
    return [
        *made,
        Key("forge_seconds_digits", "s", 600, "<=", "from candidates to a verified image",
            lambda bench: bench.forged("digits").seconds, full=True),
        Key("forge_devices_solved", "share", 0.85, ">=", "episodes of four devices in a closed loop",
            _forged("devices", "train/tool_use_success_rate"), full=True),
        Key("forge_devices_held_out", "share", None, "", "the same of a device that was never trained on",
            _forged("devices", "tune/solve_rate_held_out"), full=True),
        Key("forge_match_calibration_error", "share", 0.05, "<=", "of the confidence, level 4 of the graded suite",
            _forged("match", "train/calibration/ece"), full=True),
        Key("forge_match_bursts_saved", "share", 0.2, ">=", "by the early exit, there",
            _forged("match", "settle/bursts_saved"), full=True),
        Key("forge_match_settle_change", "points", -0.5, ">=", "what that does to accuracy",
            _forged("match", "settle/accuracy_improvement", 100), full=True),
    ]  # fmt: skip


KEYS: tuple[Key, ...] = (
    Key("ram_bytes_per_neuron_lif", "B", 4.5, "<=", "RAM of a plain LIF neuron, int8, N = 1,000",
        lambda bench: sizes.plain_ram_bytes("int8")),
    Key("ram_bytes_per_neuron_lif_fp16", "B", None, "", "the same network in fp16",
        lambda bench: sizes.plain_ram_bytes("fp16")),
    Key("ram_bytes_per_neuron_lif_fp32", "B", None, "", "the same network in fp32",
        lambda bench: sizes.plain_ram_bytes("fp32")),
    Key("ram_bytes_per_neuron_feagi", "B", 6.5, "<=", "int8 with refractory period, consecutive fire limit and snooze",
        lambda bench: sizes.feagi_ram_bytes()),
    Key("fit_ratio_int8_fp32", "x", 2.0, ">=", "neurons that fit an ESP32-C3, fan-out 50, image in RAM, int8 over fp32",
        lambda bench: sizes.fit_ratio()),
    Key("flash_bytes_per_synapse_dense8", "B", 1.05, "<=", "rows and row index, 64 x 64, all pairs",
        _rows_flash("dense8")),
    Key("flash_bytes_per_synapse_d8w8", "B", 2.05, "<=", "the same, N = 1,000, 64 random targets each",
        _rows_flash("d8w8")),
    Key("flash_bytes_per_synapse_uniform", "B", 1.09, "<=", "the same with one weight per row", _rows_flash("uniform")),
    Key("flash_bytes_per_synapse_d8w4", "B", 1.60, "<=", "the same with 16 distinct weights", _rows_flash("d8w4")),
    Key("flash_bytes_per_synapse_b53", "B", 1.20, "<=", "the same with 8 distinct weights", _rows_flash("b53")),
    Key("flash_bytes_per_synapse_procedural", "B", 0.05, "<=", "the same drawn from a seed", _rows_flash("procedural")),
    Key("flash_bytes_per_synapse_22590_500k", "B", 3.15, "<=", "one randomly wired area of 22,590 neurons",
        _peer_flash("22590_500k")),
    Key("flash_bytes_per_synapse_1200k_12m", "B", 4.2, "<=", "one randomly wired area of 1.2 million neurons",
        _peer_flash("1200k_12m")),
    Key("core_text_bytes_rv32", "B", 14336, "<=", "code and constants of the core in an int8 firmware, -Os",
        _core_text("int8")),
    Key("core_text_bytes_lx106", "B", 16384, "<=", "the same on lx106, what its compiler library lacks included",
        _core_text_lx106),
    Key("core_text_bytes_rv32_fp32", "B", None, "", "the same for fp32, software floats included",
        _core_text("fp32")),
    Key("core_text_bytes_rv32_segment", "B", None, "", "segments of both versions, written and read, software floats",
        _segment_text),
    Key("firmware_text_bytes_rv32", "B", 28672, "<=", "flash of the emu-rv32 firmware, int8, segments of version 1",
        lambda bench: code.firmware_text_bytes(code.small_firmware(bench.folder)) if bench.cross else None),
    Key("firmware_text_bytes_rv32_all", "B", None, "", "the same with fp32 and version 2, as it is built by default",
        _firmware(code.firmware_text_bytes)),
    Key("firmware_ram_bytes_rv32", "B", 8192, "<=", "its RAM without the network",
        _firmware(code.firmware_ram_bytes)),
    *_event_keys("rv32"),
    *_event_keys("lx106"),
    Key("rv32_instr_per_event_procedural", "instructions", 17, "<=", "synapses drawn from a seed",
        _rv32(_per_event("procedural"))),
    Key("rv32_instr_per_event_d8w8_candidates", "instructions", 12.2, "<=", "d8w8 where candidates are marked",
        _rv32(_per_event("d8w8", candidates_only=True))),
    Key("rv32_instr_per_neuron_lif", "instructions", 20, "<=", "an updated neuron, int8, plain LIF",
        _rv32(lambda program: instructions.per_neuron(program, quiet=False))),
    Key("rv32_instr_per_neuron_quiet", "instructions", 1.5, "<=", "a neuron at rest without input",
        _rv32(lambda program: instructions.per_neuron(program, quiet=True))),
    Key("rv32_instr_per_neuron_lif_fp32", "instructions", None, "", "an updated neuron, fp32, floats in software",
        _rv32(lambda program: instructions.per_neuron(program, precision="fp32"))),
    Key("rv32_instr_per_neuron_lif_fp16", "instructions", None, "", "an updated neuron, fp16, floats in software",
        _rv32(lambda program: instructions.per_neuron(program, precision="fp16"))),
    Key("rv32_instr_ratio_fp32_by_hand", "x", 1.02, "<=", "the same over a float kernel written by hand",
        lambda bench: None if bench.program is None else instructions.float_ratio(bench.program, bench.folder)),
    Key("rv32_instr_per_burst_empty", "instructions", 600, "<=", "a burst of 1,000 neurons at rest",
        _rv32(instructions.burst_empty)),
    Key("rv32_instr_per_value_segment_push_b8", "instructions", 40, "<=", "an int16 value of a frame of 512, 8 bits",
        lambda bench: segments.rv32_push(bench.folder) if bench.cross else None),
    Key("rv32_instr_per_value_segment2_push_b8", "instructions", None, "", "the same in version 2, noise",
        lambda bench: segments.rv32_push(bench.folder, 2) if bench.cross else None),
    Key("host_ratio_c_loop_1k_50k", "x", 1.0, ">=", "events per second over a plain C loop, 1,000 neurons",
        _ratio("1k_50k")),
    Key("host_ratio_c_loop_10k_1m", "x", 1.2, ">=", "the same, 10,000 neurons, 1 million synapses",
        _ratio("10k_1m")),
    Key("host_ratio_c_loop_22590_500k", "x", 1.5, ">=", "the same, 22,590 neurons, 500,000 synapses",
        _ratio("22590_500k")),
    Key("host_ratio_c_loop_100k_10m", "x", 2.0, ">=", "the same, 100,000 neurons, 10 million synapses",
        _ratio("100k_10m"), full=True),
    Key("host_burst_us_22590_500k", "us", None, "", "a burst at 1 % firing",
        _rates("22590_500k", speed.us_per_burst)),
    Key("host_events_per_s_10k_1m", "events/s", None, "", "whole bursts at 2 % firing",
        _rates("10k_1m", speed.events_per_s)),
    Key("host_speed_ratio_int8_fp32", "x", 1.0, ">=", "int8 over fp32, 10,000 neurons",
        lambda bench: speed.int8_over_fp32("10k_1m")),
    Key("reference_speed_ratio", "x", None, "", "host engine over numpy reference, 10,000 neurons",
        lambda bench: speed.host_over_reference("10k_1m")),
    Key("host_instr_per_event_10k_1m", "instructions", 8.5, "<=", "host instructions, whole bursts (callgrind)",
        lambda bench: native.instructions_per_event("10k_1m", bench.folder), full=True),
    Key("host_instr_per_event_22590_500k", "instructions", 20, "<=", "the same, 22,590 neurons",
        lambda bench: native.instructions_per_event("22590_500k", bench.folder), full=True),
    Key("host_burst_us_1200k_12m", "us", None, "", "a burst of 1.2 million neurons at 1 % firing",
        _million(lambda run: 1e6 * run.seconds / RESIDENT_BURSTS), full=True),
    Key("host_rss_mb_1200k_12m", "MB", 200, "<=", "memory resident while it runs",
        _million(lambda run: run.resident_bytes / 1e6 or None), full=True),
    Key("grow_pack_peak_mb_1200k_12m", "MB", 1024, "<=", "most memory of `grow` and `pack`, 12 million synapses",
        lambda bench: growth.peak_mb(bench.folder), full=True),
    *_peer_keys(),
    Key("segment_state_bytes", "B", 64, "<=", "a stream without its buffer and scales",
        lambda bench: segments.state_bytes()),
    *(key for bits in segments.WIDTHS for key in _width_keys(bits)),
    *(key for name in traces.NAMES for key in _hour_keys(name)),
    *(key for name, least in (("walk", 20), ("gauss", 4.4), ("spike", 48)) for key in _set_keys(name, least)),
    *(_peer_key(peer, name) for name in (*segments.SETS, *traces.NAMES) for peer in PEERS),
    Key("wasm_bytes", "B", 30720, "<=", "the segment module", lambda bench: segments.wasm_bytes(core=False)),
    Key("wasm_core_bytes", "B", 98304, "<=", "the whole core", lambda bench: segments.wasm_bytes(core=True)),
    Key("wasm_push_us_512_b8", "us", 1, "<=", "pushing 512 floats in node, simd module",
        lambda bench: segments.wasm_push_us(simd=True)),
    Key("wasm_push_us_512_b8_plain", "us", None, "", "the same without simd",
        lambda bench: segments.wasm_push_us(simd=False)),
    Key("link_telemetry_ratio", "x", 4, ">=", "4 B per id and potential over bytes on the wire, emu-rv32",
        lambda bench: telemetry.wire_ratio() if bench.cross else None),
    Key("link_efficiency", "share", 0.97, ">=", "bytes of a transfer over all bytes to the board that it took, native",
        lambda bench: transfers.link_efficiency()),
    Key("store_power_cuts_survived", "share", 1.0, ">=", "of all positions and pairs in updates, and of rot in a slot",
        lambda bench: power_cuts.share()),
    Key("transfer_ratio_d8w8", "x", 1.25, ">=", "image over its transfer: N = 1,000, 64 targets each, normal weights",
        lambda bench: transfers.transfer_ratio(networks.normal_rows_network())),
    Key("update_wire_ratio", "x", 4, ">=", "image over bytes sent when 5 % of a 64-32-10 network's weights changed",
        lambda bench: transfers.update_ratio()),
    *_layered_keys(),
    *(key for name in trained.MODELS for key in _trained_keys(name)),
    *_plan_keys(),
    *(key for name in ("100", "1000", "10000") for key in _recurrent_keys(name)),
    *_forge_keys(),
    Key("engines_equal_bursts", "bursts", 100_000, ">=", "bursts in which all engines had equal state hashes",
        lambda bench: agreement.engines_equal_bursts(bench.boards, full=bench.full)),
)  # fmt: skip


Progress = Callable[[str, int, int], None]
"""(key about to be taken or what it does next, keys taken, keys to take)"""


def chosen(only: str | None, full: bool) -> list[Key]:
    """The keys of a run: those that begin with `only`; a full run's own ones where it is full or names them whole."""
    return [key for key in KEYS if key.name.startswith(only or "") and (full or not key.full or key.name == only)]


def _tell(progress: Progress, done: int, total: int, what: str) -> None:
    progress(what, done, total)


def measure(
    only: str | None = None,
    *,
    full: bool = False,
    progress: Progress | None = None,
    boards: Sequence[agreement.EngineMaker] = (),
    python: str | None = None,
    reasons: dict[str, str] | None = None,
) -> dict[str, Number | None]:
    """Take the figures whose keys begin with `only` (None: all) -> key to value, None where this machine cannot.

    boards: makers of further engines for `engines_equal_bursts`; each gets a packed image and runs a share.
    python: the interpreter that has other simulators, None: what ESPIKE_PEERS names, else this one.
    reasons: takes why a key has no figure.

    Raises: EspikeError where a build or an emulator fails, or two engines that must agree do not.
    """
    keys = chosen(only, full)
    figures: dict[str, Number | None] = {}
    with tempfile.TemporaryDirectory(prefix="espike-bench-") as folder:
        bench = Bench(Path(folder), full, boards, python)
        for done, key in enumerate(keys):
            if progress is not None:
                progress(key.name, done, len(keys))
                bench.tell = partial(_tell, progress, done, len(keys))
            figures[key.name] = key.take(bench)
    if reasons is not None:
        reasons |= bench.reasons
    return figures
