/* binary16 <-> binary32 */
#include "espike/half.h"

uint16_t spk_half_from_float_bits(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7C01u | (magnitude >> 13 & 0x3FFu));
    }
    if (magnitude >= 0x477FF000u) { /* 65,520: halfway from the largest binary16 to the next step */
        return (uint16_t)(sign | 0x7C00u);
    }
    if (magnitude >= 0x38800000u) { /* 2^-14, the smallest normal binary16 */
        return (uint16_t)(sign | ((magnitude - 0x38000000u + 0x1000u) >> 13));
    }
    uint32_t shift = 126u - (magnitude >> 23); /* the last bit kept is 2^-24 */
    if (shift > 24) {
        return (uint16_t)sign;
    }
    uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    return (uint16_t)(sign | ((mantissa >> (shift - 1)) + 1) >> 1);
}

uint32_t spk_half_to_float_bits(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31u;
    uint32_t mantissa = half & 0x3FFu;
    if (exponent == 31) {
        return sign | 0x7F800000u | mantissa << 13;
    }
    if (exponent != 0) {
        return sign | (exponent + 112) << 23 | mantissa << 13;
    }
    if (mantissa == 0) {
        return sign;
    }
    for (exponent = 113; !(mantissa & 0x400u); exponent--) {
        mantissa <<= 1;
    }
    return sign | exponent << 23 | (mantissa & 0x3FFu) << 13;
}
