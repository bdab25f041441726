"""damaged segment store -> what is wrong with it; the same store, mended; a new store of what is readable."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim.errors import EspikeError
from espike_sim.segment import KINDS, TIERS, WIDTHS, Policy, Segment

from .segment_file import ATTACHMENTS, LINEAGE, SALVAGE, SEGMENTS, SOURCES, TABLES, TENSORS, Row, SegmentFile, Table
from .segment_rows import Tensor, read_stored, read_tensor, tier_of, unpack_times
from .segment_store import SegmentStore
from .sqlite_pages import Pages, Record, read_pages


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    table: str
    """Where; `file` where it is no row's fault."""
    name: str
    """Key, id or name of the row."""
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.name}: {self.what}" if self.name else f"{self.table}: {self.what}"


@dataclass(frozen=True)
class Repair:
    """What a repair did, a line each."""

    path: Path
    rebuilt: list[str] = field(default_factory=list)
    """As good as before, or what of it could be known."""
    moved: list[str] = field(default_factory=list)
    """Out of use; the row lies in table `damaged`."""
    lost: list[str] = field(default_factory=list)
    """Not found in the file that was salvaged."""


@dataclass
class _Finding:
    """A row at fault. `tags`: what its tags should be, where that is all."""

    table: Table
    row: Row
    what: str
    tags: Row | None = None

    @property
    def problem(self) -> Problem:
        return Problem(self.table.name, _name(self.table, self.row), self.what)


def check(file: SegmentFile) -> list[Problem]:
    """All that is wrong: pages, checksums, bytes, tags, times, overlaps, lineage."""
    problems = [Problem("file", "", what) for what in _page_faults(file)]
    for table in TABLES:
        try:
            problems += [finding.problem for finding in _findings(file, table)]
            problems += [
                Problem(table.name, _name(table, row), "its parent is missing") for row in _orphans(file, table)
            ]
        except EspikeError as error:
            problems.append(Problem(table.name, "", f"cannot be read: {error.what}"))
    return problems


def repair(store: SegmentStore, file: SegmentFile) -> Repair:
    """Mend a store in place, in one transaction; nothing is thrown away.

    Tags come from the bytes, a segment whose bytes are damaged from its source, a tensor from its segments. What
    cannot be mended moves to table `damaged`. Raises: EspikeError where whole pages are damaged (see `salvage`).
    """
    done = Repair(file.path)
    store.forget()
    if faults := _page_faults(file):
        with suppress(EspikeError):
            file.run("REINDEX")
        if left := _page_faults(file):
            raise EspikeError(f"its pages are damaged ({left[0]})", where=str(file.path), do=SALVAGE)
        done.rebuilt.append(f"indices ({len(faults)} faults)")
    with file.transaction():
        # Lineage and tensors first: segments are judged by them.
        for table in (LINEAGE, SOURCES, ATTACHMENTS, TENSORS):
            for finding in list(_findings(file, table)):
                _move(file, finding)
                if table is TENSORS and _remake_tensor(file, finding.row):
                    done.rebuilt.append(f"{finding.problem}: kind and length from its segments, the rest as readable")
                else:
                    done.moved.append(str(finding.problem))
        for (tensor_id,) in file.rows("SELECT DISTINCT tensor_id FROM segments EXCEPT SELECT tensor_id FROM tensors"):
            if _remake_tensor(file, {"tensor_id": tensor_id}):
                done.rebuilt.append(f"tensors {tensor_id}: was lost; kind and length from its segments")
        for finding in list(_findings(file, SEGMENTS)):
            _mend(store, file, finding, done)
        for table in (SEGMENTS, LINEAGE):
            for row in list(_orphans(file, table)):
                sql = f"UPDATE {table.name} SET parent = NULL, crc32 = ? WHERE id = ?"
                file.run(sql, table.seal(row | {"parent": None}), row["id"])
                done.rebuilt.append(f"{table.name} {_name(table, row)}: its lineage is lost, and ends here")
    return done


def salvage(path: Path, into: Path) -> Repair:
    """Read what is readable of a file with damaged pages, or cut short, into a new store; the file stays as it is.

    Every page is searched for rows whose checksum holds; of two that overlap the younger counts. The new store is then
    repaired. Raises: EspikeError where nothing is found, or `into` is there already.
    """
    pages = read_pages(path)
    found: dict[str, list[tuple[Row, bool]]] = {table.name: [] for table in TABLES}
    last = 0
    for record in pages.records():
        for table in TABLES:
            if (row := _as_row(table, record)) is not None:
                found[table.name].append((row, record.is_whole and table.is_sound(row)))
        if len(record.values) == 2 and record.values[0] == SEGMENTS.name and isinstance(record.values[1], int):
            last = max(last, record.values[1])  # sqlite_sequence
    if not any(sound for rows in found.values() for _, sound in rows):
        raise EspikeError("nothing of a recording is found in it", where=str(path))
    lost = []
    if pages.stated > pages.count:
        lost.append(f"file: its last {pages.stated - pages.count} of {pages.stated} pages of {pages.page_bytes} bytes")
    if not pages.stated:
        lost.append("file: its first page is damaged, so that pages missing at its end cannot be told")
    with SegmentStore(into, "new") as store:
        file = store._file
        with file.transaction():
            for table in (TENSORS, LINEAGE, SOURCES, ATTACHMENTS, SEGMENTS):
                lost += _insert_found(file, table, found[table.name])
        mended = repair(store, file)
        lost += _never_found(file, pages, last)
    return replace(mended, lost=lost)


def _never_found(file: SegmentFile, pages: Pages, last: int) -> list[str]:
    """Segments that an index or the count of ids tells of, and no row."""
    moved = [json.loads(row[0]) for row in file.rows('SELECT "row" FROM damaged WHERE "table" = ?', "segments")]
    present = {tuple(row) for row in file.rows("SELECT tensor_id, start FROM segments")}
    present |= {(row.get("tensor_id"), row.get("start")) for row in moved}
    # A start stays one for ever: segments are cut and never joined. So entries of freed pages are true as well.
    stated = {entry[:2] for entry in pages.index_entries() if [type(value) for value in entry] == [str, int, int]}
    starts = sorted(stated - present)
    lines = [f"segments {tensor_id}:{start}: nothing but its start was found" for tensor_id, start in starts]
    known = {row[0] for row in file.rows("SELECT id FROM segments UNION SELECT id FROM lineage")}
    missing = sorted({*range(1, last + 1)} - known - {row.get("id") for row in moved})
    if len(missing) > len(starts):
        lines.append(f"segments: {len(missing)} of {last} in all, ids {_ranges(missing)}")
    return lines


def _page_faults(file: SegmentFile) -> list[str]:
    """What SQLite says of its own structures; rows with a NULL are found by their checksums."""
    try:
        said = [str(row[0]) for row in file.rows("PRAGMA integrity_check(20)")]
    except EspikeError as error:
        return [error.what]
    lines = [line for text in said for line in text.splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith(("NULL value in", "***"))]


def _all(file: SegmentFile, table: Table) -> Iterator[Row]:
    """Rows in order of time or age, one in memory at a time."""
    order = "tensor_id, start, rowid" if table is SEGMENTS else "rowid"
    for (number,) in file.rows(f"SELECT rowid FROM {table.name} ORDER BY {order}"):
        for values in file.rows(f"SELECT {table.names} FROM {table.name} WHERE rowid = ?", number):
            yield table.row(values) | {"rowid": number}


def _findings(file: SegmentFile, table: Table) -> Iterator[_Finding]:
    tensors = {}
    if table in (SEGMENTS, SOURCES):
        for row in _all(file, TENSORS):
            with suppress(EspikeError):
                tensors[row["tensor_id"]] = read_tensor(row, "")
    before: Row | None = None
    for row in _all(file, table):
        what, tags = _fault(table, row, tensors), None
        if table is SEGMENTS and not what:
            tags = _right_tags(row, tensors[row["tensor_id"]].policy)
            differ = [name for name in tags if tags[name] != row[name]]
            what = f"its tags do not agree with its bytes: {', '.join(differ)}" if differ else ""
            if before is not None and before["tensor_id"] == row["tensor_id"] and before["end"] >= row["start"]:
                what, tags = f"overlaps {_name(table, before)}", None
                # The younger one goes, be it this one or that before.
                if row["id"] < before["id"]:
                    row, before = before, row
            else:
                before = row
        if what:
            yield _Finding(table, row, what, tags)


def _fault(table: Table, row: Row, tensors: dict[str, Tensor]) -> str:
    """What is wrong with a row by itself, "" where nothing is."""
    if not table.is_sound(row):
        return "its checksum does not match"
    try:
        if table is TENSORS:
            tensor = read_tensor(row, "")
            if tensor.kind not in KINDS or tensor.tensor_len < 1:
                return "is no tensor"
        if table in (SEGMENTS, SOURCES) and row["tensor_id"] not in tensors:
            return "its tensor is missing"
        if table is SEGMENTS:
            segment = Segment(row["bytes"])
            tensor = tensors[row["tensor_id"]]
            if (segment.kind, segment.tensor_len) != (tensor.kind, tensor.tensor_len):
                return f"is a segment of {segment.kind} of length {segment.tensor_len}, another than its tensor"
            unpack_times(row["start"], row["end"], segment.frames, row["gaps"], "")
        if table is SOURCES:
            unpack_times(row["start"], row["end"], row["frames"], row["gaps"], "")
    except EspikeError as error:
        return error.what
    return ""


def _right_tags(row: Row, policy: Policy) -> Row:
    """Tags as the bytes have them; a tier that is none is made from the width."""
    segment = Segment(row["bytes"])
    tags = {"bits": segment.bits, "frames": segment.frames, "version": segment.version}
    if segment.kind != "quantized":
        return tags | {"tier": None}
    return tags | {"tier": row["tier"] if row["tier"] in TIERS else tier_of(policy, segment.bits)}


def _orphans(file: SegmentFile, table: Table) -> Iterator[Row]:
    if table not in (SEGMENTS, LINEAGE):
        return iter(())
    sql = f"SELECT {table.names} FROM {table.name} WHERE parent IS NOT NULL AND parent NOT IN (SELECT id FROM lineage)"
    return (table.row(values) for values in file.rows(sql))


def _mend(store: SegmentStore, file: SegmentFile, finding: _Finding, done: Repair) -> None:
    """A segment: by its tags, by its own checksum, from its source, or out of use."""
    row, line = finding.row, str(finding.problem)
    if finding.tags is not None:
        sql = "UPDATE segments SET tier = ?, bits = ?, frames = ?, version = ? WHERE id = ?"
        tags = finding.tags
        file.run(sql, tags["tier"], tags["bits"], tags["frames"], tags["version"], row["id"])
        done.rebuilt.append(f"{line}: tags made from its bytes")
        return
    if SEGMENTS.is_sound(row):
        _move(file, finding)
        done.moved.append(line)
        return
    if _is_proven(file, store, row):
        tags = _right_tags(row, store.tensor(row["tensor_id"]).policy)
        sealed = SEGMENTS.seal(row)
        sql = "UPDATE segments SET tier = ?, bits = ?, frames = ?, version = ?, crc32 = ? WHERE id = ?"
        file.run(sql, tags["tier"], tags["bits"], tags["frames"], tags["version"], sealed, row["id"])
        done.rebuilt.append(f"{line}: its bytes carry a checksum of their own, which holds")
        return
    _move(file, finding, keep=True)
    try:
        keys = _from_source(store, file, row)
        done.rebuilt.append(f"{line}: coded again from its source: {', '.join(keys)}")
    except EspikeError:
        file.run("DELETE FROM segments WHERE id = ?", row["id"])
        done.moved.append(line)


def _is_proven(file: SegmentFile, store: SegmentStore, row: Row) -> bool:
    """Are the bytes (version 2) sound by their own checksum, of this tensor, and do the times fit them and the rest?"""
    try:
        segment, tensor = Segment(row["bytes"]), store.tensor(row["tensor_id"])
        unpack_times(row["start"], row["end"], segment.frames, row["gaps"], "")
    except (EspikeError, TypeError, ValueError):
        return False
    others = file.rows(
        'SELECT 1 FROM segments WHERE tensor_id = ? AND start <= ? AND "end" >= ? AND id != ? LIMIT 1',
        row["tensor_id"], row["end"], row["start"], row["id"],
    )  # fmt: skip
    same = (segment.kind, segment.tensor_len) == (tensor.kind, tensor.tensor_len)
    return segment.version == 2 and same and not others and row["requantized"] in (0, 1)


def _from_source(store: SegmentStore, file: SegmentFile, row: Row) -> tuple[str, ...]:
    """Code a damaged segment again. Raises: EspikeError where its source is not kept."""
    try:
        tensor = store.tensor(row["tensor_id"])
        rows = file.rows(
            f'SELECT {SOURCES.names} FROM sources WHERE tensor_id = ? AND start = ? AND "end" = ?',
            row["tensor_id"], row["start"], row["end"],
        )  # fmt: skip
        old = read_stored(row, str(file.path))
        if rows:
            # The source was stored with the segment: its times are the segment's.
            source = SOURCES.row(rows[0])
            old = replace(old, frames=source["frames"], gaps=source["gaps"])
        old = replace(old, version=old.version if old.version in (1, 2) else tensor.policy.version)
        values = store.source(old)
        if values is None:
            raise EspikeError("the source is not kept")
        bits = old.bits if old.bits in WIDTHS else tensor.policy.bits[0]
        tier = old.tier if old.tier in TIERS else tier_of(tensor.policy, bits)
        return store.recode(old, values, tensor.policy, bits, tier, int(time.time()) & 0xFFFFFFFF)
    except (TypeError, ValueError):
        raise EspikeError("its row is damaged too far") from None


def _remake_tensor(file: SegmentFile, row: Row) -> bool:
    """A tensor's row from a segment of it and what is readable of the old row; False where nothing tells its kind."""
    known: Row = {}
    for values in file.rows(f"SELECT {SEGMENTS.names} FROM segments WHERE tensor_id = ?", row["tensor_id"]):
        candidate = SEGMENTS.row(values)
        with suppress(EspikeError):
            if SEGMENTS.is_sound(candidate):
                segment = Segment(candidate["bytes"])
                known = {"kind": segment.kind, "tensor_len": segment.tensor_len}
                break
    if not known and not (
        row.get("kind") in KINDS and isinstance(row.get("tensor_len"), int) and row["tensor_len"] > 0
    ):
        return False
    blank = vars(Tensor(row["tensor_id"], "sets", 1)) | {"meta": "{}", "policy": json.dumps(asdict(Policy()))}
    made = blank | {n: v for n, v in row.items() if n in TENSORS.columns and isinstance(v, type(blank.get(n)))} | known
    for name in ("meta", "policy"):
        whole = made | {"meta": "{}", "policy": blank["policy"], name: made[name]}
        try:
            read_tensor(whole | {"crc32": TENSORS.seal(whole)}, "").policy.tier(0)
        except EspikeError:
            made[name] = blank[name]
    file.insert(TENSORS, made)
    return True


def _move(file: SegmentFile, finding: _Finding, *, keep: bool = False) -> None:
    """A row to table `damaged`; keep: it stays where it is, too."""
    row = finding.row
    told = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
        if name not in ("bytes", "rowid")
    }
    data = row.get("bytes")
    sql = 'INSERT INTO damaged ("table", "row", why, bytes) VALUES (?, ?, ?, ?)'
    file.run(sql, finding.table.name, json.dumps(told), finding.what, data)
    if not keep:
        file.run(f"DELETE FROM {finding.table.name} WHERE rowid = ?", row["rowid"])


def _as_row(table: Table, record: Record) -> Row | None:
    """A record as a row of a table, where it may be one: as many columns, each of its type."""
    if len(record.values) != len(table.columns):
        return None
    row = table.row(record.values)
    if "id" in row:
        if row["id"] is not None:
            return None
        row["id"] = record.rowid
    for name, kind in table.columns.items():
        allowed: tuple[type, ...] = {"I": (int,), "T": (str,), "B": (bytes,)}[kind[0]]
        if not isinstance(row[name], allowed) and (row[name] is not None or "NOT NULL" in kind):
            return None
    return row | {"rowid": record.rowid}


def _insert_found(file: SegmentFile, table: Table, found: list[tuple[Row, bool]]) -> list[str]:
    """Sound rows first, the youngest first; then broken ones that no sound one replaces -> what could not be told."""
    lost = []
    age = "access_count" if table is TENSORS else "rowid"
    taken: set[Any] = set()
    for row, sound in sorted(found, key=lambda item: (item[1], item[0][age]), reverse=True):
        name = row[next(iter(table.columns))]
        if name in taken or (not sound and table is not SEGMENTS):
            if name not in taken:
                lost.append(f"{table.name} {_name(table, row)}")
            continue
        if table in (SEGMENTS, SOURCES) and (row["start"] > row["end"] or _is_covered(file, table, row)):
            continue
        taken.add(name)
        marks = ", ".join("?" * len(table.columns))
        sql = f"INSERT INTO {table.name} ({table.names}) VALUES ({marks})"
        file.run(sql, *(row[column] for column in table.columns))
    return lost


def _is_covered(file: SegmentFile, table: Table, row: Row) -> bool:
    sql = f'SELECT 1 FROM {table.name} WHERE tensor_id = ? AND start <= ? AND "end" >= ? LIMIT 1'
    return bool(file.rows(sql, row["tensor_id"], row["end"], row["start"]))


def _name(table: Table, row: Row) -> str:
    if table in (SEGMENTS, SOURCES):
        return f"{row['tensor_id']}:{row['start']}:{row['end']}"
    return str(row[next(iter(table.columns))])


def _ranges(numbers: list[int]) -> str:
    """Ascending numbers as a short list of ranges."""
    array = np.array(numbers)
    parts = np.split(array, np.flatnonzero(np.diff(array) > 1) + 1)
    told = [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
    return ", ".join(told[:8]) + (f" and {len(told) - 8} more" if len(told) > 8 else "")
