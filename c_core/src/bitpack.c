/* codes <-> packed bytes, eight codes in one 64-bit word at a time */
#include "espike/bitpack.h"

#include "bitpack.h"
#include "bytes.h"
#include "vector.h"

size_t spk_packed_bytes(size_t count, uint32_t bits) { return count / 8 * bits + (count % 8 * bits + 7) / 8; }

/* Fields of `width` bits in every lane of 2 * `step` bits. */
#define EVEN(step, width) (~(uint64_t)0 / (((uint64_t)1 << (step) << (step)) - 1) * (((uint64_t)1 << (width)) - 1))

/* Eight bytes -> 8 * bits bits: neighbours move together three times. `bits` is a constant wherever this is expanded. */
SPK_INLINE uint64_t gather(uint64_t codes, const uint32_t bits) {
    uint64_t x = codes & (0x0101010101010101u * ((1u << bits) - 1));
    x = (x & EVEN(8, bits)) | (x & EVEN(8, bits) << 8) >> (8 - bits);
    x = (x & EVEN(16, 2 * bits)) | (x & EVEN(16, 2 * bits) << 16) >> (16 - 2 * bits);
    return (x & (((uint64_t)1 << 4 * bits) - 1)) | x >> 32 << 4 * bits;
}

/* 8 * bits bits -> eight bytes. */
SPK_INLINE uint64_t spread(uint64_t packed, const uint32_t bits) {
    const uint64_t half = ((uint64_t)1 << 4 * bits) - 1;
    uint64_t x = (packed & half) | (packed >> 4 * bits & half) << 32;
    x = (x & EVEN(16, 2 * bits)) | (x >> 2 * bits & EVEN(16, 2 * bits)) << 16;
    return (x & EVEN(8, bits)) | (x >> bits & EVEN(8, bits)) << 8;
}

/* One by one: the last few, and all of them where 64-bit words are slow. */
SPK_INLINE void pack_rest(uint8_t *bytes, const uint8_t *codes, size_t count, const uint32_t bits) {
    const uint32_t mask = (1u << bits) - 1;
    uint32_t waiting = 0;
    uint32_t held = 0;
    for (size_t i = 0; i < count; i++) {
        waiting |= (codes[i] & mask) << held;
        held += bits;
        if (held >= 8) {
            *bytes++ = (uint8_t)waiting;
            waiting >>= 8;
            held -= 8;
        }
    }
    if (held != 0) {
        *bytes = (uint8_t)waiting;
    }
}

SPK_INLINE void unpack_rest(uint8_t *codes, const uint8_t *bytes, size_t count, const uint32_t bits) {
    const uint32_t mask = (1u << bits) - 1;
    uint32_t waiting = 0;
    uint32_t held = 0;
    for (size_t i = 0; i < count; i++) {
        if (held < bits) {
            waiting |= (uint32_t)*bytes++ << held;
            held += 8;
        }
        codes[i] = (uint8_t)(waiting & mask);
        waiting >>= bits;
        held -= bits;
    }
}

SPK_INLINE void pack(uint8_t *bytes, const uint8_t *codes, size_t count, const uint32_t bits) {
    size_t done = 0;
    for (; SPK_BLOCKS && count - done >= 8; done += 8) {
        uint64_t word;
        memcpy(&word, codes + done, 8);
        word = gather(word, bits);
        memcpy(bytes + done / 8 * bits, &word, bits);
    }
    pack_rest(bytes + done / 8 * bits, codes + done, count - done, bits);
}

SPK_INLINE void unpack(uint8_t *codes, const uint8_t *bytes, size_t count, const uint32_t bits) {
    size_t done = 0;
    for (; SPK_BLOCKS && count - done >= 8; done += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + done / 8 * bits, bits);
        word = spread(word, bits);
        memcpy(codes + done, &word, 8);
    }
    unpack_rest(codes + done, bytes + done / 8 * bits, count - done, bits);
}

/* Packing or unpacking by a width that is a constant in every branch. Returns 0 for a width that is none. */
#define BY_WIDTH(verb) \
    switch (bits) { \
    case 1: verb(to, from, count, 1); return 1; \
    case 2: verb(to, from, count, 2); return 1; \
    case 3: verb(to, from, count, 3); return 1; \
    case 4: verb(to, from, count, 4); return 1; \
    case 5: verb(to, from, count, 5); return 1; \
    case 6: verb(to, from, count, 6); return 1; \
    case 7: verb(to, from, count, 7); return 1; \
    default: return 0; \
    }

static int pack_width(uint8_t *to, const uint8_t *from, size_t count, uint32_t bits) { BY_WIDTH(pack) }

static int unpack_width(uint8_t *to, const uint8_t *from, size_t count, uint32_t bits) { BY_WIDTH(unpack) }

#if SPK_AVX2
#include "bitpack_avx2.inc"

/* Codes that the wide registers took, none where the processor lacks them. */
static size_t pack_wide(uint8_t *bytes, size_t room, const uint8_t *codes, size_t count, uint32_t bits) {
    return __builtin_cpu_supports("avx2") ? pack_avx2(bytes, room, codes, count, bits) : 0;
}

static size_t unpack_wide(uint8_t *codes, const uint8_t *bytes, size_t room, size_t count, uint32_t bits) {
    return __builtin_cpu_supports("avx2") ? unpack_avx2(codes, bytes, room, count, bits) : 0;
}
#else
#define pack_wide(bytes, room, codes, count, bits) 0
#define unpack_wide(codes, bytes, room, count, bits) 0
#endif

int bitpack_pack(uint8_t *bytes, size_t room, const uint8_t *codes, size_t count, uint32_t bits) {
    (void)room;
    if (bits == 8) {
        memcpy(bytes, codes, count);
        return SPK_OK;
    }
    size_t done = bits - 1 < 7 ? pack_wide(bytes, room, codes, count, bits) : 0;
    return pack_width(bytes + done / 8 * bits, codes + done, count - done, bits) ? SPK_OK : SPK_ERROR_PARAMETER;
}

int bitpack_unpack(uint8_t *codes, const uint8_t *bytes, size_t room, size_t count, uint32_t bits) {
    (void)room;
    if (bits == 8) {
        memcpy(codes, bytes, count);
        return SPK_OK;
    }
    size_t done = bits - 1 < 7 ? unpack_wide(codes, bytes, room, count, bits) : 0;
    return unpack_width(codes + done, bytes + done / 8 * bits, count - done, bits) ? SPK_OK : SPK_ERROR_PARAMETER;
}

int spk_pack_bits(uint8_t *bytes, const uint8_t *codes, size_t count, uint32_t bits) {
    return bitpack_pack(bytes, spk_packed_bytes(count, bits), codes, count, bits);
}

int spk_unpack_bits(uint8_t *codes, const uint8_t *bytes, size_t count, uint32_t bits) {
    return bitpack_unpack(codes, bytes, spk_packed_bytes(count, bits), count, bits);
}
