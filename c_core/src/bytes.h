/* bytes <-> numbers: the only place that knows the byte order. */
#ifndef ESPIKE_BYTES_H
#define ESPIKE_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "espike images are read in place: the target must be little-endian"
#endif

#ifdef SPK_NO_ASSERT
#define SPK_ASSERT(condition) ((void)0)
#else
/* A caller's bug, never a property of outside bytes: stop where it happened. */
#define SPK_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#endif

static inline uint32_t spk_load16(const uint8_t *bytes) { return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8; }

static inline uint32_t spk_load32(const uint8_t *bytes) { return spk_load16(bytes) | spk_load16(bytes + 2) << 16; }

static inline void spk_store32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Through a union: builds for bare boards call memcpy as it stands. */
typedef union {
    uint32_t bits;
    float value;
} spk_float_bits_t;

static inline float spk_float_from_bits(uint32_t bits) {
    const spk_float_bits_t both = {.bits = bits};
    return both.value;
}

static inline uint32_t spk_bits_from_float(float value) {
    const spk_float_bits_t both = {.value = value};
    return both.bits;
}

#endif
