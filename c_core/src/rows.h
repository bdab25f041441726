/* row bytes -> (target, weight) pairs: the gap codes that every row codec is made of. */
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

static inline spk_row_t spk_row_find(const spk_image_t *image, const uint32_t *projection, uint32_t row) {
    const uint32_t *bases = (const uint32_t *)(const void *)(image->bytes + projection[PROJECTION_BASES]);
    const uint16_t *offsets = (const uint16_t *)(const void *)(image->bytes + projection[PROJECTION_OFFSETS]);
    uint32_t block_log2 = CODEC_BLOCK_LOG2(projection[PROJECTION_CODEC]);
    const uint8_t *data = image->bytes + projection[PROJECTION_DATA];
    spk_row_t found = {data + spk_row_offset(bases, offsets, block_log2, row),
                       data + spk_row_offset(bases, offsets, block_log2, row + 1)};
    return found;
}

/* An 8-bit gap with its escapes; the bytes are known to be complete. */
static inline uint32_t spk_gap_d8(const uint8_t **at) {
    uint32_t gap = 0;
    uint32_t byte = *(*at)++;
    while (byte == GAP_ESCAPE) {
        gap += GAP_ESCAPE;
        byte = *(*at)++;
    }
    return gap + byte;
}

/* A varint: 7 bits per byte, low bits first, bit 7 = more; the bytes are known to be complete. */
static inline uint32_t spk_gap_wide(const uint8_t **at) {
    uint32_t byte = *(*at)++;
    uint32_t gap = byte;
    for (unsigned shift = 7; byte & 128u; shift += 7) {
        byte = *(*at)++;
        gap += (byte - 1u) << shift; /* less the bit 7 that said so */
    }
    return gap;
}

/* The same where a weight follows, so that two bytes may be read: one or two bytes without a branch. */
static inline uint32_t spk_gap_wide_weighted(const uint8_t **at) {
    uint32_t low = (*at)[0];
    uint32_t high = (*at)[1];
    uint32_t more = low >> 7;
    if (more & high >> 7) {
        return spk_gap_wide(at);
    }
    *at += 1 + more;
    return low + (((high - 1u) << 7) & (0u - more));
}

/* Walk an untrusted row: every target below target_count. Returns the number of synapses, *escapes counting its
 * escape codes, or SPK_ERROR_ROW. */
int spk_row_check(spk_row_t row, uint32_t codec, uint8_t precision, uint32_t target_count, uint32_t *escapes);

#endif
