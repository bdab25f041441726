/* bits <-> bytes: an adaptive binary range coder (after Martin 1979; carries as in LZMA: a byte waits until none can
 * reach it). */
#include "coder.h"

#define TOP ((uint32_t)1 << 24)
#define SLOWEST 6

void coder_begin_encode(coder_t *coder, uint8_t *bytes, uint32_t at, uint32_t end) {
    *coder = (coder_t){.bytes = bytes, .range = UINT32_MAX, .at = at, .begin = at, .end = end, .pending = 1,
                       .first = 1};
}

static uint32_t next_byte(coder_t *coder) { return coder->at < coder->end ? coder->source[coder->at++] : 0; }

void coder_begin_decode(coder_t *coder, const uint8_t *bytes, uint32_t at, uint32_t end) {
    *coder = (coder_t){.source = bytes, .range = UINT32_MAX, .at = at, .begin = at, .end = end, .decoding = 1};
    for (int i = 0; i < 4; i++) {
        coder->code = coder->code << 8 | next_byte(coder);
    }
}

static void put(coder_t *coder, uint32_t byte) {
    if (coder->first) {
        coder->first = 0;
    } else if (coder->at >= coder->end) {
        coder->overflow = 1;
    } else {
        coder->bytes[coder->at++] = (uint8_t)byte;
    }
}

/* Move the top byte of `low` out: written as soon as no carry can reach it. */
static void shift_low(coder_t *coder) {
    uint32_t carry = (uint32_t)(coder->low >> 32);
    uint32_t low = (uint32_t)coder->low;
    if (low < 0xFF000000u || carry != 0) {
        for (uint32_t byte = coder->cache; coder->pending != 0; coder->pending--, byte = 0xFF) {
            put(coder, byte + carry);
        }
        coder->cache = (uint8_t)(low >> 24);
    }
    coder->pending++;
    coder->low = (uint64_t)(low << 8);
}

void coder_end_encode(coder_t *coder) {
    uint64_t high = coder->low + coder->range - 1;
    uint64_t value = coder->low;
    for (uint32_t bits = 32; bits != 0; bits--) { /* the number in the interval with the most zeros at its end */
        value = high >> bits << bits;
        if (value >= coder->low) {
            break;
        }
        value = high;
    }
    coder->low = value;
    for (int i = 0; i < 5; i++) {
        shift_low(coder);
    }
    while (coder->at > coder->begin && coder->bytes[coder->at - 1] == 0) {
        coder->at--; /* a decoder reads zeros behind the end */
    }
}

void coder_reset(coder_context_t *contexts, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        contexts[i] = (coder_context_t){0x8000, 0};
    }
}

/* Learn: fast at first, then by 1/2^SLOWEST. */
SPK_INLINE void learn(coder_context_t *context, uint32_t bit) {
    static const uint8_t rate[28] = {1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    uint32_t shift = SLOWEST;
    if (context->uses < sizeof rate) {
        shift = rate[context->uses++];
    }
    uint32_t one = context->one;
    one = bit != 0 ? one + ((0xFFFFu - one) >> shift) : one - (one >> shift);
    context->one = (uint16_t)one;
}

SPK_INLINE void normalize(coder_t *coder) {
    while (coder->range < TOP) {
        coder->range <<= 8;
        if (coder->decoding) {
            coder->code = coder->code << 8 | next_byte(coder);
        } else {
            shift_low(coder);
        }
    }
}

uint32_t coder_bit(coder_t *coder, coder_context_t *context, uint32_t bit) {
    uint32_t bound = (coder->range >> 16) * context->one;
    if (coder->decoding) {
        bit = coder->code < bound;
        coder->code -= bit != 0 ? 0 : bound;
    } else {
        coder->low += bit != 0 ? 0 : bound;
    }
    coder->range = bit != 0 ? bound : coder->range - bound;
    learn(context, bit);
    normalize(coder);
    return bit;
}

uint32_t coder_bits(coder_t *coder, uint32_t bits, uint32_t count) {
    uint32_t out = 0;
    while (count-- != 0) {
        uint32_t bit = bits >> count & 1u;
        coder->range >>= 1;
        if (coder->decoding) {
            bit = coder->code < coder->range;
            coder->code -= bit != 0 ? 0 : coder->range;
        } else {
            coder->low += bit != 0 ? 0 : coder->range;
        }
        out = out << 1 | bit;
        normalize(coder);
    }
    return out;
}
