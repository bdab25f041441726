"""image bytes -> image bytes with other fields and right CRCs, for tests of what a reader refuses.

The offsets are a second copy of those in `c_core/src/layout.h`; `test_damage` asserts that the two agree.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

HEADER_BYTES = 136
BLOCK_BYTES = 4096
CRC = 12
CHECKED_FROM = 16

HEADER_WORDS = {
    "MAGIC": 0,
    "VERSION": 4,
    "TOTAL_BYTES": 8,
    "PRECISION": 16,  # precision, update, two reserved bytes
    "NEURONS": 20,
    "SYNAPSES": 24,
    "AREAS": 28,
    "PROJECTIONS": 32,
    "POWERED": 36,
    "AREAS_OFFSET": 40,
    "PROJECTIONS_OFFSET": 44,
    "POWER_OFFSET": 48,
    "META_OFFSET": 52,
    "META_BYTES": 56,
    "BLOCKS_OFFSET": 60,
    "TIMESTEP_US": 64,
    "LEARNING_OFFSET": 68,
}
"""Byte offset of each word of the header that is not a hash or a CRC."""

AREA_FIELDS = (
    "NEURONS", "FLAGS", "COLUMNS", "THRESHOLD", "LIMIT", "RETAINED", "REFRACTORY", "FIRE_LIMIT", "SNOOZE", "FIRE_DRAW",
    "STIMULUS_LIMIT", "PROJECTION_FIRST", "PROJECTION_COUNT", "PSP_FACTOR", "MODEL", "RESERVED",
)  # fmt: skip
PROJECTION_FIELDS = (
    "ENDS", "CODEC", "SOURCE_FIRST", "ROWS", "BASES", "OFFSETS", "DATA", "DATA_BYTES", "SYNAPSES", "DELAY", "BOOK",
    "BODIES",
)  # fmt: skip
MODEL_FIELDS = ("FLAGS", "COLUMNS", "RESET", "BIAS", "CURRENT_RETAINED", "RESERVED", "RESERVED_2", "RESERVED_3")
UNINDEXED = (6, 7, 8, 9, 15, 18)
"""Codecs whose rows no index finds."""
ESCAPES = 1 << 24
"""Bit of the codec word."""
WIDE_INPUT = 2
"""Area flag: the accumulator has 32 bits."""


@dataclass(frozen=True)
class Field:
    """One 32-bit word of an image."""

    name: str
    offset: int


class Image:
    """The bytes of an image, to be changed and sealed again."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def word(self, offset: int) -> int:
        """The 32-bit word at a byte offset."""
        return int(struct.unpack_from("<I", self.data, offset)[0])

    def put(self, offset: int, value: int) -> Image:
        """Set the 32-bit word at a byte offset."""
        struct.pack_into("<I", self.data, offset, value & 0xFFFFFFFF)
        return self

    def header(self, name: str) -> int:
        """A word of the header."""
        return self.word(HEADER_WORDS[name])

    def area(self, index: int, field: str) -> Field:
        """A word of an area record."""
        at = self.header("AREAS_OFFSET") + 4 * (len(AREA_FIELDS) * index + AREA_FIELDS.index(field))
        return Field(f"area {index} {field}", at)

    def projection(self, index: int, field: str) -> Field:
        """A word of a projection record."""
        at = self.header("PROJECTIONS_OFFSET") + 4 * (len(PROJECTION_FIELDS) * index + PROJECTION_FIELDS.index(field))
        return Field(f"projection {index} {field}", at)

    def models(self) -> list[Field]:
        """Every word of the neuron models and of their columns."""
        found = []
        for i in range(self.header("AREAS")):
            at, count = self.word(self.area(i, "MODEL").offset), self.word(self.area(i, "NEURONS").offset)
            if not at:
                continue
            found += [Field(f"model {i} {name}", at + 4 * k) for k, name in enumerate(MODEL_FIELDS)]
            for k in range(3):
                if self.word(at + 4) >> k & 1:
                    column = self.word(at + 8 + 4 * k)
                    words = min(count, 6) // 2  # columns of 2 or of 4 bytes
                    found += [Field(f"model {i} column {k} +{4 * j}", column + 4 * j) for j in range(words)]
        return found

    def senses(self) -> list[Field]:
        """Every word of the senses' record."""
        at = self.header("META_OFFSET") + self.header("META_BYTES") + 3 & ~3
        if self.data[at : at + 4] != b"SENS":
            return []
        return [Field(f"senses +{k}", at + k) for k in range(0, self.word(at + 4), 4)]

    def fields(self) -> list[Field]:
        """Every word of the header, of all records, of the row indices and of the power table."""
        found = [Field(f"header {name}", offset) for name, offset in HEADER_WORDS.items()]
        found += [self.area(i, name) for i in range(self.header("AREAS")) for name in AREA_FIELDS]
        for i in range(self.header("PROJECTIONS")):
            found += [self.projection(i, name) for name in PROJECTION_FIELDS]
            codec, bases, book, end = (
                self.word(self.projection(i, name).offset) for name in ("CODEC", "BASES", "BOOK", "DATA")
            )
            begin = (book or end) if codec & 255 in UNINDEXED else bases
            found += [Field(f"projection {i} index or book +{at - begin}", at) for at in range(begin, end, 4)]
        power, powered = self.header("POWER_OFFSET"), self.header("POWERED")
        found += [*self.models(), *self.senses()]
        return found + [Field(f"power word {i}", power + 4 * i) for i in range(2 * powered)]

    def rows(self, index: int) -> bytes:
        """The row bytes of a projection."""
        at, count = (self.word(self.projection(index, name).offset) for name in ("DATA", "DATA_BYTES"))
        return bytes(self.data[at : at + count])

    def put_rows(self, index: int, rows: bytes, at: int = 0) -> Image:
        """Overwrite row bytes of a projection from byte `at` of its data on."""
        begin = self.word(self.projection(index, "DATA").offset) + at
        self.data[begin : begin + len(rows)] = rows
        return self

    def sealed(self) -> bytes:
        """The bytes with right CRCs, as far as the header says where they belong."""
        end, total = self.header("BLOCKS_OFFSET"), self.header("TOTAL_BYTES")
        if HEADER_BYTES <= end <= total <= len(self.data):
            for i, begin in enumerate(range(HEADER_BYTES, end, BLOCK_BYTES)):
                if end + 4 * i + 4 <= total:
                    self.put(end + 4 * i, zlib.crc32(self.data[begin : min(begin + BLOCK_BYTES, end)]))
            crc = zlib.crc32(self.data[CHECKED_FROM:HEADER_BYTES], zlib.crc32(self.data[:CRC]))
            self.put(CRC, zlib.crc32(self.data[end:total], crc))
        return bytes(self.data)
