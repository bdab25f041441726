/* Host builds: which functions exist once per SIMD extension, and which loops run in blocks that compilers vectorize.
 *
 * One source for every extension, so that every path yields the same bits. SPK_VECTOR is defined by builds for hosts. */
#ifndef ESPIKE_VECTOR_H
#define ESPIKE_VECTOR_H

#include <stdint.h> /* __GLIBC__ */

#define SPK_INLINE static inline __attribute__((always_inline, unused))
#define SPK_LIKELY(condition) __builtin_expect((condition) != 0, 1)

#ifdef SPK_VECTOR
#define SPK_BLOCKS 1
#else
#define SPK_BLOCKS 0
#endif

#if defined(SPK_VECTOR) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(SPK_NO_CLONES)
#define SPK_CLONES __attribute__((target_clones("avx2", "default")))
#define SPK_AVX2 1
#else
#define SPK_CLONES
#define SPK_AVX2 0
#endif

#if SPK_BLOCKS && defined(__SSE2__)
#include <emmintrin.h>

/* 32 flags of 0 or 1 -> bits. */
SPK_INLINE uint32_t spk_flag_bits(const uint8_t *flags) {
    const __m128i zero = _mm_setzero_si128();
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)flags);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(flags + 16));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(low, zero)) |
           (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(high, zero)) << 16;
}
#else
SPK_INLINE uint32_t spk_flag_bits(const uint8_t *flags) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < 32; i++) {
        bits |= (uint32_t)flags[i] << i;
    }
    return bits;
}
#endif

#endif
