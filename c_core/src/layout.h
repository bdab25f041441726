/* offset -> meaning: the words of an image's records, as docs/image.md lists them. */
#ifndef ESPIKE_LAYOUT_H
#define ESPIKE_LAYOUT_H

#include "espike/image.h"

enum { /* byte offsets in the header */
    HEADER_MAGIC = 0,
    HEADER_VERSION = 4,
    HEADER_TOTAL_BYTES = 8,
    HEADER_CRC = 12,
    HEADER_PRECISION = 16,
    HEADER_UPDATE = 17,
    HEADER_RESERVED = 18,
    HEADER_NEURONS = 20,
    HEADER_SYNAPSES = 24,
    HEADER_AREAS = 28,
    HEADER_PROJECTIONS = 32,
    HEADER_POWERED = 36,
    HEADER_AREAS_OFFSET = 40,
    HEADER_PROJECTIONS_OFFSET = 44,
    HEADER_POWER_OFFSET = 48,
    HEADER_META_OFFSET = 52,
    HEADER_META_BYTES = 56,
    HEADER_BLOCKS_OFFSET = 60,
    HEADER_TIMESTEP_US = 64,
    HEADER_RESERVED_2 = 68,
    HEADER_NETWORK_HASH = 72,
    HEADER_GENOME_HASH = 104
};

enum { /* words of an area record */
    AREA_NEURONS,
    AREA_FLAGS,
    AREA_COLUMNS,
    AREA_THRESHOLD,
    AREA_LIMIT,
    AREA_RETAINED,
    AREA_REFRACTORY,
    AREA_FIRE_LIMIT,
    AREA_SNOOZE,
    AREA_FIRE_DRAW,
    AREA_STIMULUS_LIMIT,
    AREA_PROJECTION_FIRST,
    AREA_PROJECTION_COUNT,
    AREA_RESERVED,
    AREA_RESERVED_2,
    AREA_RESERVED_3,
    AREA_WORDS
};

/* Area flags. Guard bits in 8..10, bytes of the countdown in 12..13, of the fire count in 14..15. */
#define AREA_ACCUMULATE 1u
#define AREA_WIDE_INPUT 2u
#define AREA_FLAGS_KNOWN 0xF703u
#define AREA_GUARD_BITS(flags) ((flags) >> 8 & 7u)
#define AREA_COUNTDOWN_BYTES(flags) ((flags) >> 12 & 3u)
#define AREA_COUNT_BYTES(flags) ((flags) >> 14 & 3u)
/* Bit of a parameter in AREA_COLUMNS: set = its word is the byte offset of one value per neuron. */
#define AREA_COLUMN(parameter) (1u << ((parameter) - AREA_THRESHOLD))

enum { /* words of a projection record */
    PROJECTION_ENDS,
    PROJECTION_CODEC,
    PROJECTION_SOURCE_FIRST,
    PROJECTION_ROWS,
    PROJECTION_BASES,
    PROJECTION_OFFSETS,
    PROJECTION_DATA,
    PROJECTION_DATA_BYTES,
    PROJECTION_SYNAPSES,
    PROJECTION_DELAY,
    PROJECTION_RESERVED,
    PROJECTION_RESERVED_2,
    PROJECTION_WORDS
};

/* Codec word: codec in 0..7, shift in 8..15, log2 of rows per index block in 16..23, escapes present in 24. */
#define CODEC_KIND(word) ((word) & 0xFFu)
#define CODEC_SHIFT(word) ((word) >> 8 & 0xFFu)
#define CODEC_BLOCK_LOG2(word) ((word) >> 16 & 0xFFu)
#define CODEC_ESCAPES(word) ((word) >> 24 & 1u)
#define CODEC_D8 0u           /* 8-bit gaps, one weight per synapse */
#define CODEC_D8_UNIFORM 1u   /* 8-bit gaps, one weight per row */
#define CODEC_WIDE 2u         /* varint gaps, one weight per synapse */
#define CODEC_WIDE_UNIFORM 3u /* varint gaps, one weight per row */
#define CODEC_U16 4u          /* 16-bit targets, one weight per synapse */
#define CODEC_U16_UNIFORM 5u  /* 16-bit targets, one weight per row */
#define CODEC_COUNT 6u
#define CODEC_IS_UNIFORM(kind) ((kind) & 1u)
#define CODEC_IS_WIDE(kind) ((kind) >> 1 & 1u)
#define CODEC_IS_U16(kind) ((kind) >> 2 & 1u)
#define GAP_ESCAPE 255u

/* Sizes of one stored value by precision. */
static inline uint32_t spk_potential_bytes(uint8_t precision) { return precision == SPK_PRECISION_FP32 ? 4u : 2u; }

static inline uint32_t spk_weight_bytes(uint8_t precision, uint32_t codec) {
    if (precision == SPK_PRECISION_FP32) {
        return 4u;
    }
    return CODEC_IS_UNIFORM(codec) ? 2u : 1u;
}

#endif
