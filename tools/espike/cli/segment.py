"""segment inspect|encode|decode|bench|trace|keep|retier|check|repair."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from numpy.typing import NDArray

from espike_sim import npzfile
from espike_sim.errors import EspikeError
from espike_sim.segment import KINDS, WIDTHS, Policy, Segment
from espike_sim.segment import encode as encode_frames

from .. import frames_file, segment_bench, segment_io, segment_repair, traces
from ..recording import Recording, is_recording
from ..segment_file import Mode
from ..segment_store import SegmentStore
from .common import FILE, json_option, note, print_json, print_table, progress

GROUPS_SHOWN = 8


def _load(path: Path, name: str | None) -> NDArray[Any]:
    """The frames of a file; says how many of their values are no numbers."""
    values = frames_file.load_frames(path, name)
    odd = frames_file.count_odd(values)
    if odd == values.size:
        raise EspikeError("holds no finite number", where=str(path))
    if odd:
        note(f"note: {odd:,} of {values.size:,} values are not finite, and count as 0")
    return values


def _open_store(path: Path, mode: Mode) -> SegmentStore:
    """A store that is there."""
    if not path.exists():
        raise EspikeError("does not exist", where=str(path))
    if path.is_file() and not path.stat().st_size:
        raise EspikeError("is empty", where=str(path))
    if path.is_file() and segment_io.is_segments(path):
        raise EspikeError(
            "is a file of segments, not a store", where=str(path), do="look at it: espike segment inspect"
        )
    return SegmentStore(path, mode)


@click.group(name="segment")
def segment() -> None:
    """Compressed frames: read, write and compare segments (docs/segment.md), keep them in stores."""


tensor_option = click.option("--tensor", metavar="ID", help="Of a store or recording: this tensor.")


@segment.command()
@click.argument("path", metavar="FILE", type=FILE)
@tensor_option
@click.option("--groups", is_flag=True, help=f"Every group's bound; default: the first {GROUPS_SHOWN}.")
@json_option
def inspect(path: Path, tensor: str | None, groups: bool, as_json: bool) -> None:
    """Say what FILE (.tqtc, store, recording) holds, and the error bound of each group."""
    rows: list[dict[str, Any]] = []
    raw = 0
    for part in segment_io.parts(path, tensor):
        s = part.segment
        unpacked = s.raw_bytes
        raw += unpacked
        rows.append(
            {
                "tensor": part.tensor_id, "start": part.start, "frames": s.frames, "version": s.version,
                "kind": s.kind, "bits": s.bits, "tensor_len": s.tensor_len, "group_len": s.group_len,
                "bytes": s.byte_count, "ratio": round(unpacked / s.byte_count, 3), "tier": part.tier,
                "requantized": part.requantized, "bounded": s.bounded if s.version == 2 else None,
                "bounds": s.bounds.tolist(),
            }
        )  # fmt: skip
    recorded = _recorded(path)
    if as_json:
        print_json({"file": path, "bytes": path.stat().st_size, "segments": rows, "recording": recorded})
        return
    named = any(row["tensor"] for row in rows)
    head = ("tensor", "start", "frames", "version", "kind", "bits", "values", "bytes", "ratio", "bound of each group")
    table = [
        (
            row["tensor"], row["start"], row["frames"], row["version"], row["kind"], row["bits"] or "-",
            row["tensor_len"], row["bytes"], row["ratio"], _bounds(row["bounds"], groups),
        )
        for row in rows
    ]  # fmt: skip
    print_table(str(path), head if named else head[1:], table if named else [row[1:] for row in table])
    total = sum(row["bytes"] for row in rows)
    if any(row["version"] == 1 for row in rows):
        note("note: version 1 cannot say whether its writer clamped; the bounds hold for writers with headroom")
    if recorded is not None:
        end = f"its end is burst {recorded['burst']:,}" if recorded["ended"] else "it broke off"
        click.echo(f"a recording of board {recorded['board']}, {recorded['neurons']:,} neurons, "
                   f"{recorded['precision']}, network {recorded['network'][:12]}; {end}")  # fmt: skip
    click.echo(f"{len(rows):,} segments, {total:,} bytes, {raw / max(total, 1):.3f} times smaller than 4-byte values")


def _recorded(path: Path) -> dict[str, Any] | None:
    """What ran where a file is a recording."""
    if not segment_io.is_store(path):
        return None
    with SegmentStore(path) as store:
        if not is_recording(store):
            return None
    with closing(Recording(path)) as recording:
        view, end = recording.view, recording.end
        return {
            "board": recording.board, "network": view.network_hash, "precision": view.precision,
            "neurons": view.neurons, "ended": end is not None, "burst": recording.last_burst(),
        }  # fmt: skip


def _bounds(bounds: list[float], every: bool) -> str:
    if not bounds:
        return "exact"
    shown = bounds if every else bounds[:GROUPS_SHOWN]
    more = f" ... {len(bounds)} groups" if len(shown) < len(bounds) else ""
    return " ".join(f"{bound:.3g}" for bound in shown) + more


@segment.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of segments to write (.tqtc).")
@click.option("--array", "name", metavar="NAME", help="Array of a .npz with several.")
@click.option("--bits", type=click.Choice(list(map(str, WIDTHS))), default="8", show_default=True)
@click.option("--version", type=click.IntRange(1, 2), default=2, show_default=True, help="Of the format.")
@click.option("--kind", type=click.Choice(KINDS[:2]), default="quantized", show_default=True)
@click.option("--group-len", type=click.IntRange(1), default=64, show_default=True, help="Values that share a scale.")
@click.option("--drift", type=click.IntRange(0, 65535), default=26, show_default=True, help="Growth taken, in 1/256.")
@click.option("--plain", is_flag=True, help="As the specification: no headroom, values may be clamped.")
@json_option
def encode(
    path: Path, output: Path, name: str | None, bits: str, version: int, kind: Any, group_len: int, drift: int,
    plain: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compress FILE (.npy, .npz, .csv: a frame per row)."""
    frames_file.check_output(output, (".tqtc",))
    values = _load(path, name)
    made_by = Policy.plain if plain else Policy
    policy = made_by(version=version, group_len=group_len, drift_q8=(drift, drift, drift))
    try:
        made = encode_frames(values, policy, kind=kind, bits=int(bits))
    except EspikeError as error:
        raise EspikeError(error.what, where=str(path), do=error.do) from None
    npzfile.write_atomic(output, b"".join(made))
    size = sum(map(len, made))
    told = {"segments": len(made), "frames": len(values), "bytes": size, "ratio": 4 * values.size / size}
    if as_json:
        print_json({"file": output, **told})
    else:
        click.echo(f"{output}: {told['frames']:,} frames in {len(made):,} segments, {size:,} bytes, "
                   f"{told['ratio']:.3f} times smaller than 4-byte values")  # fmt: skip


@segment.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File to write: .npz, .csv, or .npy (values alone).")
@tensor_option
@click.option("--start", type=int, help="First time (frame number, burst).")
@click.option("--stop", type=int, help="Time behind the last.")
@json_option
def decode(path: Path, output: Path, tensor: str | None, start: int | None, stop: int | None, as_json: bool) -> None:
    """Decode FILE (.tqtc, store, recording)."""
    frames_file.check_output(output, frames_file.SUFFIXES)
    found = segment_io.open_frames(path, tensor, start, stop)
    with progress("decoding") as step:
        frames_file.save_frames(output, found, step)
    if as_json:
        print_json({"file": output, "frames": found.count})
    else:
        click.echo(f"{output}: {found.count:,} frames")


@segment.command(name="bench")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--array", "name", metavar="NAME", help="Array of a .npz with several.")
@click.option("--group-len", type=click.IntRange(1), default=64, show_default=True, help="Values that share a scale.")
@json_option
def bench_verb(path: Path, name: str | None, group_len: int, as_json: bool) -> None:
    """Compare versions and widths, and the compressors that are installed, on FILE (.npy, .npz, .csv)."""
    values = _load(path, name)
    with progress("compressing") as step:
        found = segment_bench.compare(frames_file.finite(values), group_len, progress=step)
    if as_json:
        print_json([vars(row) for row in found])
        return
    print_table(
        f"{path}: {values.shape[0]:,} frames of {values.shape[1]:,}",
        ("codec", "bits", "bytes", "ratio", "largest error / largest value, worst frame"),
        [(row.codec, row.bits, row.bytes, round(row.ratio, 3), f"{row.error:.3%}") for row in found],
    )


@segment.command()
@click.argument("name", type=click.Choice(traces.NAMES))
@click.option("-o", "--output", type=FILE, required=True, help="Trace to write (.npz).")
@click.option("--seconds", type=click.IntRange(1), default=3600, show_default=True)
@json_option
def trace(name: str, output: Path, seconds: int, as_json: bool) -> None:
    """Make one of the traces that the figures are measured on: the same bytes everywhere."""
    frames_file.check_output(output, (".npz",))
    with progress(f"making {name}") as step:
        made = traces.make(name, seconds, step)
    npzfile.save(output, {"format": "frames", "version": 1, "trace": name, **made.meta}, {"values": made.frames})
    if as_json:
        print_json({"file": output, "frames": made.frames.shape, **made.meta})
    else:
        click.echo(f"{output}: {made.frames.shape[0]:,} frames of {made.frames.shape[1]:,}; {made.meta['about']}")


@segment.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.argument("into", metavar="STORE", type=FILE)
@click.option("--tensor", required=True, metavar="ID", help="Tensor of the store; made where it is not there.")
@click.option("--array", "name", metavar="NAME", help="Array of a .npz with several.")
@click.option("--start", type=int, help="Time of the first frame; default: behind the tensor's last.")
@click.option("--source", is_flag=True, help="Keep the numbers too, so that retier never codes decoded values.")
@json_option
def keep(
    path: Path, into: Path, tensor: str, name: str | None, start: int | None, source: bool, as_json: bool
) -> None:  # fmt: skip
    """Append FILE (.tqtc, or .npy, .npz, .csv: coded at the hot tier's 8 bits) to a tensor of STORE."""
    if segment_io.is_segments(path):
        if source:
            raise click.UsageError("--source goes with numbers: a file of segments has none")
        found, values = [part.segment for part in segment_io.parts(path)], None
    else:
        values = _load(path, name)
        found = [Segment(data) for data in encode_frames(values, Policy(version=2), bits=8)]
    with SegmentStore(into, "write") as store:
        keys = segment_io.keep(store, tensor, found, start, values if source else None)
    if as_json:
        print_json({"store": into, "keys": keys})
        return
    size = sum(item.byte_count for item in found)
    click.echo(f"{into}: {tensor} has {len(keys):,} segments more, {size:,} bytes, {keys[0]} to {keys[-1]}")


@segment.command()
@click.argument("path", metavar="STORE", type=FILE)
@tensor_option
@click.option("--now", type=click.IntRange(0, 2**32 - 1), help="Instead of the clock, seconds.")
@json_option
def retier(path: Path, tensor: str | None, now: int | None, as_json: bool) -> None:
    """Code STORE's segments anew where their tensor's accesses have earned another tier."""
    with _open_store(path, "write") as store, progress("coding anew") as step:
        done = store.retier(tensor, now=now, progress=step)
    if as_json:
        print_json([vars(item) for item in done])
        return
    for item in done:
        kept = f", kept: {item.kept}" if item.kept else ""
        how = " (from decoded values)" if item.requantized else ""
        click.echo(f"{item.key}: {item.bits_before} -> {item.bits} bits, {item.tier}{how}{kept}")
    click.echo(f"{len(done):,} segments were due")


@segment.command()
@click.argument("path", metavar="STORE", type=FILE)
@json_option
def check(path: Path, as_json: bool) -> None:
    """Check STORE: every checksum, segment and tag. Exit 1 where anything is wrong."""
    with _open_store(path, "read") as store:
        problems = store.check()
    size = path.stat().st_size
    if as_json:
        print_json({"problems": [str(problem) for problem in problems], "bytes": size})
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"{path}: {len(problems)} problems, {size:,} bytes")
    sys.exit(1 if problems else 0)


@segment.command()
@click.argument("path", metavar="STORE", type=FILE)
@click.option(
    "-o", "--output", type=FILE, help="Save what is readable into this new file: for damaged pages, cut files."
)
@json_option
def repair(path: Path, output: Path | None, as_json: bool) -> None:
    """Mend STORE: rebuild what can be, set aside what cannot; nothing is thrown away.

    With damaged pages or a cut file, give --output.
    """
    if output is not None:
        done = segment_repair.salvage(path, output)
    else:
        with _open_store(path, "write") as store:
            done = store.repair()
    if as_json:
        print_json(vars(done))
        return
    for what, lines in (("rebuilt", done.rebuilt), ("set aside", done.moved), ("lost", done.lost)):
        for line in lines:
            click.echo(f"{what}: {line}")
    click.echo(f"{done.path}: {len(done.rebuilt)} rebuilt, {len(done.moved)} set aside, {len(done.lost)} lost")
