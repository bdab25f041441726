/* row bytes -> (target, weight) pairs: the codes that every row codec is made of. */
#ifndef ESPIKE_ROWS_H
#define ESPIKE_ROWS_H

#include "bytes.h"
#include "layout.h"

/* The bytes of one synapse row, in a checked image or on their way to be checked. */
typedef struct {
    const uint8_t *begin;
    const uint8_t *end;
} spk_row_t;

/* Byte offset of row `row` in its projection's data: a base per block of rows plus 16 bits. row may equal the row
 * count: that is where the last row ends. */
static inline uint32_t spk_row_offset(const uint32_t *bases, const uint16_t *offsets, uint32_t block_log2,
                                      uint32_t row) {
    return bases[row >> block_log2] + offsets[row];
}

static inline const uint32_t *spk_image_words(const spk_image_t *image, uint32_t offset) {
    return (const uint32_t *)(const void *)(image->bytes + offset);
}

static inline uint32_t spk_target_count(const spk_image_t *image, const uint32_t *projection) {
    return image->areas[(projection[PROJECTION_ENDS] >> 16) * AREA_WORDS + AREA_NEURONS];
}

/* A projection's rows in a checked image, as loops read them. */
typedef struct {
    const uint32_t *bases;    /* of shared rows: of their bodies */
    const uint16_t *offsets;
    const uint8_t *data;
    const uint8_t *book;      /* levels; shared rows: a word per row */
    uint32_t block_log2;
    uint32_t first;           /* source neuron of row 0 */
    const uint32_t *projection;
} spk_rows_t;

static inline void spk_rows_open(spk_rows_t *rows, const spk_image_t *image, const uint32_t *projection) {
    rows->bases = spk_image_words(image, projection[PROJECTION_BASES]);
    rows->offsets = (const uint16_t *)(const void *)(image->bytes + projection[PROJECTION_OFFSETS]);
    rows->data = image->bytes + projection[PROJECTION_DATA];
    rows->book = image->bytes + projection[PROJECTION_BOOK];
    rows->block_log2 = CODEC_BLOCK_LOG2(projection[PROJECTION_CODEC]);
    rows->first = projection[PROJECTION_SOURCE_FIRST];
    rows->projection = projection;
}

/* Where a row with an index, or a body, lies. */
static inline spk_row_t spk_rows_find(const spk_rows_t *rows, uint32_t row) {
    spk_row_t found = {rows->data + spk_row_offset(rows->bases, rows->offsets, rows->block_log2, row),
                       rows->data + spk_row_offset(rows->bases, rows->offsets, rows->block_log2, row + 1)};
    return found;
}

/* Of shared rows: first target in bits 0..15, body in 16..31. */
static inline uint32_t spk_rows_entry(const spk_rows_t *rows, uint32_t row) {
    return ((const uint32_t *)(const void *)rows->book)[row];
}

/* A body: its weight (2 or 4 bytes) where it has one, the distance of its last target from the first, its synapses, 16 bits
 * each; gaps, or the first weight, then gaps and weights. */
#define BODY_SPAN_BYTES 4u /* of the two numbers */

static inline uint32_t spk_body_weight_bytes(uint8_t precision, uint32_t kind) {
    return kind == CODEC_SHARED ? spk_weight_bytes(precision, kind) : 0;
}

static inline uint32_t spk_body_span(spk_row_t body, uint8_t precision, uint32_t kind) {
    return spk_load16(body.begin + spk_body_weight_bytes(precision, kind));
}

static inline uint32_t spk_body_synapses(spk_row_t body, uint8_t precision, uint32_t kind) {
    return spk_load16(body.begin + spk_body_weight_bytes(precision, kind) + 2);
}

/* Bits of a float that a weight may be: finite, not -0. */
static inline int spk_weight_is_valid(uint32_t bits) {
    return (bits & 0x7F800000u) != 0x7F800000u && bits != 0x80000000u;
}

/* Bits of a target in rows of codes, or its share of a vector's index. */
uint32_t spk_dense_bits(const uint32_t *projection);

/* Bytes of a dense row. Pre: what it packs has no more than 2^28 columns. */
uint32_t spk_dense_bytes(const uint32_t *projection, uint8_t precision);

/* The hash behind every draw and state hash: PCG output permutation, reference: docs/numbers.md. */
static inline uint32_t spk_pcg(uint32_t x) {
    uint32_t state = x * 747796405u + 2891336453u;
    uint32_t word = (state >> ((state >> 28) + 4) ^ state) * 277803737u;
    return word >> 22 ^ word;
}

/* Procedural rows: what a source neuron begins with, and the number that each next synapse is made from. */
static inline uint32_t spk_procedural_begin(uint32_t seed, uint32_t source) {
    return spk_pcg(seed + source * 2654435761u);
}

static inline uint32_t spk_procedural_next(uint32_t x) { return x * 747796405u + 2891336453u; }

static inline uint32_t spk_procedural_target(uint32_t x, uint32_t target_count) {
    return (uint32_t)((uint64_t)x * target_count >> 32);
}

static inline uint32_t spk_procedural_level(uint32_t x) {
    return x >> PROCEDURAL_LEVEL_SHIFT & ((1u << PROCEDURAL_LEVELS_LOG2) - 1);
}

/* A gap and what follows it. */
typedef struct {
    const uint8_t *at;
    uint32_t gap;
} spk_gap_t;

/* An 8-bit gap with its escapes; the bytes are known to be complete. */
static inline spk_gap_t spk_gap_d8(const uint8_t *at) {
    spk_gap_t found = {at + 1, *at};
    while (found.at[-1] == GAP_ESCAPE) {
        found.gap += *found.at++;
    }
    return found;
}

/* A varint: 7 bits per byte, low bits first, bit 7 = more; the bytes are known to be complete. */
static inline spk_gap_t spk_gap_wide(const uint8_t *at) {
    uint32_t byte = *at++;
    spk_gap_t found = {at, byte};
    for (unsigned shift = 7; byte & 128u; shift += 7) {
        byte = *found.at++;
        found.gap += (byte - 1u) << shift; /* less the bit 7 that said so */
    }
    return found;
}

/* The same where a weight follows, so that two bytes may be read: one or two bytes without a branch. */
static inline spk_gap_t spk_gap_wide_weighted(const uint8_t *at) {
    uint32_t low = at[0];
    uint32_t high = at[1];
    uint32_t more = low >> 7;
    if (more & high >> 7) {
        return spk_gap_wide(at);
    }
    spk_gap_t found = {at + 1 + more, low + (((high - 1u) << 7) & (0u - more))};
    return found;
}

/* A place in a row that has an index, or in a body. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *split;  /* ternary rows: where the second list begins, NULL in it */
    const uint8_t *book;
    uint32_t kind;
    uint32_t weight_bytes; /* as stored in the row */
    uint32_t target_count; /* targets below this */
    uint32_t bits;         /* of a code that shares a byte with a gap */
    uint32_t target;       /* of the last synapse */
    uint32_t weight;       /* int32 or the bits of a float */
    uint32_t escapes;      /* so far */
    uint32_t is_first;     /* no synapse of the list yet */
    uint32_t is_half;      /* weights are binary16 */
    uint32_t is_odd;       /* of D8W4: the second of a pair comes next */
} spk_cursor_t;

/* Begin with an untrusted row of at least one byte; `book` is NULL or checked. Of a body, target_count is its span + 1.
 * Returns SPK_OK or SPK_ERROR_ROW. */
int spk_cursor_begin(spk_cursor_t *cursor, spk_row_t row, uint32_t kind, uint8_t precision, const uint8_t *book,
                     uint32_t target_count);

/* Go to the next synapse: 1, or 0 at the row's end, or SPK_ERROR_ROW where it is none or leaves the targets. */
int spk_cursor_next(spk_cursor_t *cursor);

/* Walk an untrusted row: every target below target_count. Returns the number of synapses, *escapes counting its
 * escape codes, or SPK_ERROR_ROW. */
int spk_row_check(spk_row_t row, uint32_t kind, uint8_t precision, const uint8_t *book, uint32_t target_count,
                  uint32_t *escapes);

/* What spk_row_each calls for every synapse: its target in the target area; its weight without the projection's shift,
 * an int32 or the bits of a float. */
typedef void (*spk_row_visit_t)(void *context, uint32_t target, uint32_t weight);

/* Visit the synapses of row `row` of a projection of any codec, in row order. Returns how many there are.
 * Pre: the image is checked, row < rows of the projection. */
uint32_t spk_row_each(const spk_image_t *image, const uint32_t *projection, uint32_t row, spk_row_visit_t visit,
                      void *context);

#endif
