/* bits <-> bytes: an adaptive binary range coder that runs either way; docs/segment.md, entropy code. */
#ifndef ESPIKE_CODER_H
#define ESPIKE_CODER_H

#include <stdint.h>

#include "vector.h"

/* How likely a 1 is, and how often the context was used. */
typedef struct {
    uint16_t one; /* Q0.16 */
    uint16_t uses;
} coder_context_t;

/* One run of bits. Encoding appends to `bytes` from `at` and never passes `end`; decoding reads up to `end` and zeros
 * behind it. */
typedef struct {
    uint64_t low;
    uint8_t *bytes;
    const uint8_t *source;
    uint32_t range;
    uint32_t code;
    uint32_t at;
    uint32_t end;
    uint32_t begin;
    uint32_t pending; /* bytes that a carry may still change */
    uint8_t cache;    /* the first of them; the others are 255 */
    uint8_t first;    /* the cache is the byte 0 before the run, which is not written */
    uint8_t decoding;
    uint8_t overflow; /* encoding passed `end` */
} coder_t;

void coder_begin_encode(coder_t *coder, uint8_t *bytes, uint32_t at, uint32_t end);
void coder_begin_decode(coder_t *coder, const uint8_t *bytes, uint32_t at, uint32_t end);

/* Complete an encoded run with as few bytes as tell it. */
void coder_end_encode(coder_t *coder);

/* Contexts that have seen nothing. */
void coder_reset(coder_context_t *contexts, uint32_t count);

/* Encode `bit`, or decode one; returns it. */
uint32_t coder_bit(coder_t *coder, coder_context_t *context, uint32_t bit);

/* The same for `count` bits (at most 32) that are all equally likely, highest first. */
uint32_t coder_bits(coder_t *coder, uint32_t bits, uint32_t count);

/* Bytes that an encoded run has now, were it completed, at most. */
static inline uint32_t coder_bytes(const coder_t *coder) { return coder->at - coder->begin + coder->pending + 4; }

#endif
