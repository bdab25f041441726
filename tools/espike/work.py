"""image -> work: how often a burst does each thing that costs instructions.

The names of the counts are those of the cost tables (`costs/*.json`, docs/plan.md). `read` takes from an image what a
burst's work depends on, a `Load` says what a burst does, `counts` names and counts it; `loads.py` makes one of
an activity, `trace.py` of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.core import ffi
from espike_sim.host import ImageView

from . import row_codecs as codecs

BLOCK = 32
"""Neurons that a board looks at together."""
CHUNK = 32
"""Fired neurons whose rows are read together; in fp32 one, where an area has several projections."""
AREA_WORDS, PROJECTION_WORDS, LEARNING_WORDS, MODEL_WORDS = 16, 12, 8, 8
MODEL_SUBTRACTS, MODEL_LATE, MODEL_GRADED, MODEL_CURRENT = 1, 4, 8, 48
PLAIN_MODEL_COLUMNS = 0b101
"""Threshold and what is retained."""
NEVER_DRAWS = 0xFFFFFFFF

F64 = NDArray[np.float64]
Counts = dict[str, float]


@dataclass(frozen=True)
class ModelShape:
    """What the neuron model of an area adds to its update."""

    columns: int
    """Of reset, bias and the current's leak, how many are stored per neuron."""
    current: bool
    late: bool
    subtracts: bool
    graded: bool
    plain: bool
    """Its neurons take the short way: `spk_model_is_plain` of the core."""


@dataclass(frozen=True)
class AreaShape:
    """What the update of an area depends on."""

    first: int
    count: int
    sums: str
    """Accumulators: i16, i32 or f32."""
    plain: bool
    """Whole blocks take the short way."""
    keeps: bool
    """Neurons keep their charge until input comes."""
    refractory: float
    """Mean bursts."""
    counts_down: bool
    counts_fires: bool
    columns: int
    """Of threshold, limit and leak, how many are stored per neuron."""
    draws: bool
    driven: bool
    """Firing keeps the potential for driven weights."""
    powered: int
    power_is_run: bool
    """Powered neurons follow each other."""
    projections: int
    model: ModelShape | None = None
    """None: FEAGI's neurons."""

    @property
    def whole_blocks(self) -> int:
        """Blocks of BLOCK neurons."""
        return self.count // BLOCK


@dataclass(frozen=True)
class ProjectionShape:
    """What reading the rows of a projection depends on."""

    source: int
    target: int
    loop: str
    """Name of its loop in the cost table."""
    rows: int
    """Rows that hold synapses."""
    span: int
    """From the first to the last row with synapses, empty ones among them."""
    synapses: int
    extra: float
    """Escapes and further varint bytes of all rows; vectors of dense ones."""
    delay: int
    window: int
    """Bursts that learning looks back; 0: it does not learn."""


@dataclass(frozen=True)
class Shape:
    """What the work of an image's bursts depends on."""

    precision: str
    candidates_only: bool
    neurons: int
    areas: tuple[AreaShape, ...]
    projections: tuple[ProjectionShape, ...]
    history: int
    """Fire queues that the engine keeps for delays and learning."""

    @property
    def has_delay_zero(self) -> bool:
        """Are there rows that arrive in the same burst?"""
        return any(p.delay == 0 for p in self.projections)

    @property
    def delay_most(self) -> int:
        """The longest delay, at least 1."""
        return max([1, *(p.delay for p in self.projections)])

    def per_chunk(self, area: AreaShape) -> int:
        """Fired neurons of an area that are read together."""
        return 1 if self.precision != "int8" and area.projections > 1 else CHUNK


@dataclass
class AreaLoad:
    """What a burst does in one area; means are allowed everywhere."""

    updated: float = 0
    blocks_checked: float = 0
    """Whole blocks that are looked through for input."""
    blocks_plain: float = 0
    spans: float = 0
    """Blocks and rests that are updated neuron by neuron."""
    skipped: float = 0
    """Neurons of spans that no input reached, where only candidates are updated."""
    processed: float = 0
    """Neurons of spans that are updated and do not rest."""
    resting: float = 0
    fired: float = 0
    fired_plain: float = 0
    """Of the fired, those of plain blocks."""
    still: float = 0
    """Updated neurons at rest without input, which fp32 adds faster."""


@dataclass
class Load:
    """What one burst does. Arrays have an entry per projection."""

    areas: list[AreaLoad]
    sent: dict[int, list[float]]
    """Delay -> per area the fired neurons whose rows of that delay are read."""
    rows: F64
    events: F64
    any_fired: float
    """1 where any neuron fires in this burst, between 0 and 1 as a chance."""
    any_before: float
    """The same of the burst before."""
    moved: F64
    """Synapses that learning moves."""
    visited: F64
    """Synapses that learning looks at."""
    sends: dict[int, list[float]] = field(default_factory=dict)
    """Delay -> per area the chance that any of its neurons is among `sent`."""


def read(view: ImageView) -> Shape:
    """The shape of a checked image."""
    raw, image = view.view, np.frombuffer(ffi.buffer(view.view.bytes, view.total_bytes), np.uint8)
    areas = words(raw.areas, int(raw.area_count), AREA_WORDS)
    records = words(raw.projections, int(raw.projection_count), PROJECTION_WORDS)
    rules = words(raw.learning, int(raw.learning_count), LEARNING_WORDS)
    powered = words(raw.power, int(raw.power_count), 2)[:, 0]
    firsts = np.concatenate(([0], np.cumsum(areas[:, 0]))).tolist()
    whole, marked = view.precision == "int8", bool(raw.candidates_only)
    shapes = [_area(area, image, int(firsts[i]), powered, whole, marked) for i, area in enumerate(areas)]
    windows = {int(rule[0]): int(rule[1]) for rule in rules}
    found = [
        _projection(record, image, shapes, view.precision, marked, windows.get(number, 0))
        for number, record in enumerate(records)
    ]
    return Shape(view.precision, marked, view.neurons, tuple(shapes), tuple(found), int(raw.history))


def words(pointer: Any, count: int, each: int) -> NDArray[np.int64]:
    """int64 (count, each): a copy of records of the core's."""
    if not count:
        return np.zeros((0, each), np.int64)
    return np.frombuffer(ffi.buffer(pointer, count * each * 4), "<u4").reshape(count, each).astype(np.int64)


def _area(
    area: NDArray[np.int64], image: NDArray[np.uint8], first: int, powered: NDArray[np.int64], whole: bool, marked: bool
) -> AreaShape:
    count, flags, columns = (int(word) for word in area[:3])
    threshold, limit, retained, refractory, fire_limit, _, draw = (int(word) for word in area[3:10])
    counts_down, counts_fires = bool(flags >> 12 & 3), bool(flags >> 14 & 3)
    no_limit = limit == 32767 if whole else limit in (0x7F800000, 0x7C00)
    simple = flags & 1 and no_limit and draw == NEVER_DRAWS and not (refractory or fire_limit)
    model = _model(int(area[14]), image, simple=bool(simple) and not columns & ~PLAIN_MODEL_COLUMNS)
    plain = bool(simple and columns == 0 and 0 < threshold < 1 << 31 and not area[13] and not marked and model is None)
    mean = float(refractory)
    if columns >> 3 & 1:
        mean = float(image[refractory : refractory + 2 * count].view("<u2").mean())
    here = powered[(powered >= first) & (powered < first + count)]
    sums = ("i32" if flags & 2 else "i16") if whole else "f32"
    return AreaShape(
        first=first, count=count,
        sums=sums, plain=plain,
        keeps=plain and retained == (32768 if whole else 0x3F800000), refractory=mean, counts_down=counts_down,
        counts_fires=counts_fires, columns=(columns & 7).bit_count(),
        draws=bool(columns >> 6 & 1) or draw != NEVER_DRAWS,
        driven=bool(area[13]), powered=len(here),
        power_is_run=bool(len(here) and here[-1] - here[0] == len(here) - 1), projections=int(area[12]),
        model=model,
    )  # fmt: skip


def _model(offset: int, image: NDArray[np.uint8], *, simple: bool) -> ModelShape | None:
    if not offset:
        return None
    flags, columns, *_ = image[offset : offset + 4 * MODEL_WORDS].view("<u4").tolist()
    current, late, graded = (bool(flags & flag) for flag in (MODEL_CURRENT, MODEL_LATE, MODEL_GRADED))
    plain = simple and not (current or late or graded)
    return ModelShape(int(columns).bit_count(), current, late, flags & 3 == MODEL_SUBTRACTS, graded, plain)


def loop_name(codec: int, escapes: bool, sums: str, *, driven: bool, plain: bool) -> str:
    """The name of a loop over rows in the cost tables; plain: no candidates to mark, no shift."""
    if driven or codec == codecs.PLASTIC:
        return f"{codecs.CODEC_NAMES[codec]}-stepwise.{sums}"
    codec = codecs.D8 if codec == codecs.SHARED_WEIGHTED else codec  # whose loop it is, behind another head
    mode = "" if sums == "f32" else ".every" if plain else ".marked"
    return f"{codecs.CODEC_NAMES[codec]}{'-escapes' if escapes else ''}.{sums}{mode}"


def _projection(
    record: NDArray[np.int64],
    image: NDArray[np.uint8],
    areas: list[AreaShape],
    precision: str,
    marked: bool,
    window: int,
) -> ProjectionShape:
    ends, word, _, rows, bases, offsets, _, data_bytes, synapses, delay, book, bodies = (int(w) for w in record)
    codec, shift, block_log2 = word & 255, word >> 8 & 255, word >> 16 & 255
    escapes, driven = bool(word >> 24 & 1), bool(word >> 25 & 1)
    target = areas[ends >> 16]
    filled, extra = rows, 0.0
    if codec == codecs.DENSE_VECTORS:
        extra = float(data_bytes)
    if codec not in codecs.DENSES and codec != codecs.PROCEDURAL and rows:
        stored = bodies if codec in codecs.SHAREDS else rows
        blocks = image[bases : bases + 4 * ((stored >> block_log2) + 1)].view("<u4").astype(np.int64)
        offset = image[offsets : offsets + 2 * (stored + 1)].view("<u2").astype(np.int64)
        sizes = np.diff(blocks[np.arange(stored + 1) >> block_log2] + offset)
        if codec in codecs.SHAREDS:
            sizes = sizes[image[book : book + 4 * rows].view("<u4") >> 16]
        filled = int(np.count_nonzero(sizes))
        if escapes or codec in codecs.WIDES:
            extra = max(0.0, float(sizes.sum()) - _least_bytes(codec, filled, synapses, precision))
    name = loop_name(codec, escapes, target.sums, driven=driven, plain=not marked and shift == 0)
    return ProjectionShape(ends & 0xFFFF, ends >> 16, name, filled, rows, synapses, extra, delay, window)


def _least_bytes(codec: int, rows: int, synapses: int, precision: str) -> float:
    """Bytes of rows without escapes and with varints of one byte."""
    weight = (
        4
        if precision == "fp32"
        else 2
        if precision == "fp16" or codec in codecs.UNIFORM or codec == codecs.SHARED
        else 1
    )
    if codec in codecs.UNIFORM:
        gap = 2 if codec in codecs.U16S else 1
        return weight * rows + gap * synapses + rows * (codec == codecs.D8_UNIFORM)
    if codec == codecs.SHARED:
        return (weight + 4) * rows + synapses - rows
    if codec == codecs.SHARED_WEIGHTED:
        return (1 + weight) * synapses + 3 * rows
    if codec in codecs.U16S or codec == codecs.PLASTIC:
        return synapses * (2 + (0 if codec == codecs.PLASTIC else weight))
    if codec in (codecs.D8, codecs.WIDE):
        return synapses * (1 + weight) + rows * (codec == codecs.D8)
    if codec == codecs.TERNARY:
        return 3.0 * rows + synapses
    return rows + synapses * (1.5 if codec == codecs.D8W4 else 1)


def counts(shape: Shape, load: Load) -> Counts:
    """How often a burst does what a cost table has a price for."""
    found: Counts = {}

    def add(name: str, count: float) -> None:
        if count:
            found[name] = found.get(name, 0.0) + count

    add("burst", 1)
    add("area", len(shape.areas))
    add("hash_word", load.any_fired * -(-shape.neurons // 32))
    add("clear_word", (1 if shape.history > 1 else load.any_before) * -(-shape.neurons // 32))
    for area, work in zip(shape.areas, load.areas, strict=True):
        _count_update(area, work, shape.candidates_only, add)
    _count_passes(shape, load, add)
    for i, p in enumerate(shape.projections):
        add(f"row.{p.loop}", load.rows[i])
        add(f"event.{p.loop}", load.events[i])
        if "stepwise" not in p.loop:
            add(f"extra.{p.loop}", p.extra * load.events[i] / max(p.synapses, 1))
        if p.window:
            words = -(-shape.areas[p.target].count // 32)
            add("learn_rule", 1)
            add("learn_word", words * p.window)
            for name, count in (("row", p.span), ("synapse", load.visited[i])):
                add(f"learn_{name}", count)
                add(f"learn_{name}_age", count * p.window)
            add(f"learn_move.{'int8' if shape.precision == 'int8' else 'fp32'}", load.moved[i])
    return found


def _count_update(area: AreaShape, work: AreaLoad, candidates_only: bool, add: Any) -> None:
    k = area.sums
    add(f"power_area.{k}", area.powered > 0)
    add(f"power_entry.{k}", 0 if area.power_is_run else area.powered)
    add(f"power_run.{k}", area.powered if area.power_is_run else 0)
    add(f"update.{k}", work.updated)
    add(f"block.{k}", work.updated * area.whole_blocks)
    add(f"check.{k}", work.blocks_checked)
    add(f"plain.{k}", work.blocks_plain)
    add(f"plain_fired.{k}", work.fired_plain)
    add(f"span.{k}", work.spans)
    add(f"skip.{k}", work.skipped)
    if area.model is None:
        add(f"{'candidate' if candidates_only else 'neuron'}.{k}", work.processed)
        add(f"neuron_column.{k}", work.processed * area.columns)
        add(f"neuron_fired.{k}", work.fired - work.fired_plain)
        add(f"still.{k}", work.still * (k == "f32"))
    else:
        _count_model(area, area.model, work, add)
    add(f"neuron_countdown.{k}", work.processed * area.counts_down)
    add(f"neuron_count.{k}", work.processed * area.counts_fires)
    add(f"rest.{k}", work.resting)
    add(f"rest_count.{k}", work.resting * area.counts_fires)
    add(f"fired_count.{k}", work.fired * area.counts_fires)
    add("draw", work.fired * area.draws)
    add(f"psp.{k}", work.fired * area.driven)
    add("fired", work.fired)


def _count_model(area: AreaShape, model: ModelShape, work: AreaLoad, add: Any) -> None:
    k, name = area.sums, "plain_model" if model.plain else "model"
    add(f"{name}.{k}", work.processed)
    add(f"{name}_{'graded' if model.graded else 'fired'}.{k}", work.fired)
    add(f"{name}_subtracts.{k}", work.fired * (model.subtracts and not model.late))
    add(f"{name}_still.{k}", work.still * (k == "f32"))
    if not model.plain:
        add(f"model_column.{k}", work.processed * (area.columns + model.columns))
        add(f"model_current.{k}", work.processed * model.current)
        add(f"model_late.{k}", work.processed * model.late)


def _count_passes(shape: Shape, load: Load, add: Any) -> None:
    """Fired neurons are looked for area by area, delay by delay, and read in chunks."""
    for delay, sent in load.sent.items():
        add("pass", load.any_before if delay == 1 else delay > 1)
        add("pass_area", len(shape.areas) * (load.any_before if delay == 1 else delay > 1))
        for area, fired, chance in zip(shape.areas, sent, load.sends[delay], strict=True):
            scans = 1.0 if delay > 1 else chance
            if not scans:
                continue
            add("scan_area", scans)
            add("scan_word", scans * -(-(area.first % 32 + area.count) // 32))
            add("sent", fired)
            chunks = max(chance, -(-fired // shape.per_chunk(area))) if fired else 0
            add("chunk", chunks)
            for p in shape.projections:
                if shape.areas[p.source] is area:
                    name = "chunk_projection" if p.delay == delay else "chunk_other"
                    add(name, chunks)
