/* binary32 -> binary16, ties to even: what fp16 stores. Scales of segments round ties away (espike/half.h). */
#ifndef ESPIKE_HALF_EVEN_H
#define ESPIKE_HALF_EVEN_H

#include "bytes.h"
#include "vector.h"

/* Bits of the binary16 nearest to v. Pre: |v| <= 65504. */
SPK_INLINE uint16_t spk_half_even(float v) {
    const uint32_t bits = spk_bits_from_float(v);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude >= 0x38800000u) { /* 2^-14, the smallest normal binary16 */
        return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13));
    }
    const uint32_t shift = 126u - (magnitude >> 23); /* the last bit kept is 2^-24 */
    if (shift > 24) {
        return (uint16_t)sign;
    }
    const uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    const uint32_t kept = mantissa >> shift;
    const uint32_t rest = mantissa & ((1u << shift) - 1);
    const uint32_t half = 1u << (shift - 1);
    return (uint16_t)(sign | (kept + (rest > half || (rest == half && (kept & 1u)))));
}

#endif
