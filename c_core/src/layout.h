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
    HEADER_HISTORY = 18,
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
    HEADER_LEARNING_OFFSET = 68,
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
    AREA_PSP_FACTOR,
    AREA_MODEL, /* byte offset of a neuron model, 0 = FEAGI's neurons */
    AREA_RESERVED,
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

enum { /* words of a neuron model: how areas of trained networks are updated */
    MODEL_FLAGS,
    MODEL_COLUMNS,
    MODEL_RESET,
    MODEL_BIAS,
    MODEL_CURRENT_RETAINED,
    MODEL_RESERVED,
    MODEL_WORDS = 8
};

/* Flags of a neuron model. What a reset is in 0..1, a current's shift in 8..11. */
#define MODEL_FLAGS_KNOWN 0xF3Fu
#define MODEL_RESETS(flags) ((flags) & 3u)
#define MODEL_RESET_VALUE 0u
#define MODEL_RESET_SUBTRACT 1u
#define MODEL_RESET_NONE 2u
#define MODEL_LATE 4u        /* the reset acts in the next burst */
#define MODEL_GRADED 8u      /* neurons send their potential */
#define MODEL_CURRENT_NEW 16u /* the potential takes a current that has the burst's input */
#define MODEL_CURRENT_OLD 32u /* the potential takes it as it was before */
#define MODEL_CURRENT (MODEL_CURRENT_NEW | MODEL_CURRENT_OLD)
#define MODEL_SHIFT(flags) ((flags) >> 8 & 15u)
/* Bit of a parameter in MODEL_COLUMNS: set = its word is the byte offset of one value per neuron. */
#define MODEL_COLUMN(parameter) (1u << ((parameter) - MODEL_RESET))

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
    PROJECTION_BOOK,
    PROJECTION_BODIES,
    PROJECTION_WORDS
};

/* The same words where rows have no index, and of shared rows. */
#define PROJECTION_COLUMNS PROJECTION_BASES
#define PROJECTION_COLUMN_FIRST PROJECTION_OFFSETS
#define PROJECTION_FAN_OUT PROJECTION_BASES
#define PROJECTION_SEED PROJECTION_OFFSETS
#define PROJECTION_ENTRIES PROJECTION_BOOK

enum { /* words of a learning record */
    LEARNING_PROJECTION,
    LEARNING_WINDOW,
    LEARNING_LTP,
    LEARNING_LTD,
    LEARNING_LOW,
    LEARNING_HIGH,
    LEARNING_FIRST,
    LEARNING_WEIGHTS,
    LEARNING_WORDS
};
#define HISTORY_MOST 1024u
/* Of a network, so that an arena stays below 4 GiB: words of kept fire queues, synapses that learn. */
#define FRAME_WORDS_MOST (1u << 25)
#define LEARNED_MOST (1u << 25)

/* 32-bit words of a bitmap of `bits` bits. */
static inline uint32_t spk_words_for(uint32_t bits) { return (bits + 31) / 32; }

/* Codec word: codec in 0..7, shift in 8..15, log2 of rows per index block in 16..23, escapes present in 24, weights
 * driven by the source's potential in 25. */
#define CODEC_KIND(word) ((word) & 0xFFu)
#define CODEC_SHIFT(word) ((word) >> 8 & 0xFFu)
#define CODEC_BLOCK_LOG2(word) ((word) >> 16 & 0xFFu)
#define CODEC_ESCAPES(word) ((word) >> 24 & 1u)
#define CODEC_ESCAPES_BIT (1u << 24)
#define CODEC_DRIVEN(word) ((word) >> 25 & 1u)
/* What a loop over rows depends on. */
#define CODEC_LOOP(word) ((word) & (CODEC_ESCAPES_BIT | 0xFFu))
#define CODEC_D8 0u           /* 8-bit gaps, one weight per synapse */
#define CODEC_D8_UNIFORM 1u   /* 8-bit gaps, one weight per row */
#define CODEC_WIDE 2u         /* varint gaps, one weight per synapse */
#define CODEC_WIDE_UNIFORM 3u /* varint gaps, one weight per row */
#define CODEC_U16 4u          /* 16-bit targets, one weight per synapse */
#define CODEC_U16_UNIFORM 5u  /* 16-bit targets, one weight per row */
#define CODEC_DENSE 6u        /* every pair of a range of targets, one weight each */
#define CODEC_DENSE4 7u       /* the same in codes of 4 bits into a codebook */
#define CODEC_DENSE3 8u
#define CODEC_DENSE2 9u
#define CODEC_D8W4 10u        /* 8-bit gaps, 4-bit codes */
#define CODEC_B53 11u         /* 5-bit gap and 3-bit code in a byte */
#define CODEC_B62 12u         /* 6-bit gap and 2-bit code in a byte */
#define CODEC_TERNARY 13u     /* one weight per row, a list of targets that add it, one of those that take it off */
#define CODEC_SHARED 14u      /* a first target per row, and a body of one weight and 8-bit gaps that rows share */
#define CODEC_PROCEDURAL 15u  /* a seed: targets and weights are drawn */
#define CODEC_PLASTIC 16u     /* 16-bit targets; weights in the arena, numbered through the projection */
#define CODEC_SHARED_WEIGHTED 17u /* a first target per row, and a body of 8-bit gaps and weights that rows share */
#define CODEC_DENSE_VECTORS 18u /* dense rows of indices of vectors, each of 4 or 8 weights */
/* A build without vectors (-DSPK_NO_VECTORS) refuses them as older ones do, for an unknown codec. */
#ifdef SPK_NO_VECTORS
#define CODEC_COUNT 18u
#define CODEC_IS_VECTORS(kind) ((void)(kind), 0)
#else
#define CODEC_COUNT 19u
#define CODEC_IS_VECTORS(kind) ((kind) == CODEC_DENSE_VECTORS)
#endif
#define CODEC_IS_SHARED(kind) ((kind) == CODEC_SHARED || (kind) == CODEC_SHARED_WEIGHTED)
#define CODEC_IS_UNIFORM(kind) ((kind) < CODEC_DENSE ? (kind) & 1u : (kind) == CODEC_TERNARY || (kind) == CODEC_SHARED)
#define CODEC_IS_WIDE(kind) ((kind) >> 1 == CODEC_WIDE >> 1)
#define CODEC_IS_U16(kind) ((kind) >> 1 == CODEC_U16 >> 1 || (kind) == CODEC_PLASTIC)
#define CODEC_IS_DENSE(kind) (((kind) >= CODEC_DENSE && (kind) <= CODEC_DENSE2) || CODEC_IS_VECTORS(kind))
#define CODEC_HAS_INDEX(kind) (!CODEC_IS_DENSE(kind) && (kind) != CODEC_PROCEDURAL)
/* Codes into the projection's codebook of 1 << bits levels: DENSE4..DENSE2 and D8W4..B62 have 4, 3, 2 bits. */
#define CODEC_HAS_CODES(kind) ((kind) >= CODEC_DENSE4 && (kind) <= CODEC_B62)
#define CODEC_CODE_BITS(kind) (4u - ((kind) - CODEC_DENSE4) % 3u)
/* The bodies' word of dense vectors: how many less 1 in bits 0..7, bit 8 set where they have 8 weights instead of 4. */
#define VECTORS_KNOWN 0x1FFu
#define VECTORS_LAST(word) ((word) & 0xFFu)
#define VECTORS_WIDTH_LOG2(word) (2u + ((word) >> 8 & 1u))
#define GAP_ESCAPE 255u
#define PROCEDURAL_LEVELS_LOG2 4u
#define PROCEDURAL_LEVEL_SHIFT 12u
#define PROCEDURAL_FAN_OUT_MOST 0xFFFFu

/* A build for int8 networks alone (-DSPK_INT8_ONLY) carries no code for the others, and refuses them. */
#ifdef SPK_INT8_ONLY
#define SPK_PRECISION_LAST SPK_PRECISION_INT8
#define SPK_PRECISION_OF(image) ((void)(image), (uint8_t)SPK_PRECISION_INT8)
#else
#define SPK_PRECISION_LAST SPK_PRECISION_FP32
#define SPK_PRECISION_OF(image) ((image)->precision)
#endif

/* Sizes of one stored value by precision. */
static inline uint32_t spk_potential_bytes(uint8_t precision) { return precision == SPK_PRECISION_FP32 ? 4u : 2u; }

static inline uint32_t spk_weight_bytes(uint8_t precision, uint32_t codec) {
    if (codec == CODEC_PLASTIC) {
        return 0;
    }
    if (precision != SPK_PRECISION_INT8) {
        return precision == SPK_PRECISION_FP32 ? 4u : 2u;
    }
    return CODEC_IS_UNIFORM(codec) ? 2u : 1u;
}

#endif
