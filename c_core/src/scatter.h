/* fired neurons + projection -> what a scatter loop reads */
#ifndef ESPIKE_SCATTER_H
#define ESPIKE_SCATTER_H

#include "rows.h"
#include "vector.h"

/* Compiled for size, loops are shared by all factors and marks. */
#ifdef __OPTIMIZE_SIZE__
#define SPK_COPIES 0
#define SPK_LOOP static inline __attribute__((unused))
#define SPK_APART static __attribute__((noinline, unused))
#else
#define SPK_COPIES 1
#define SPK_LOOP SPK_INLINE
#define SPK_APART SPK_INLINE
#endif

/* A codebook as the loops look it up. Xtensa loads bytes without their sign: there it is held in 16 bits. */
#ifdef __XTENSA__
typedef int16_t spk_level_t;
#define SPK_LEVELS(fired) ((fired)->levels)
#else
typedef int8_t spk_level_t;
#define SPK_LEVELS(fired) ((const int8_t *)(fired)->rows.book)
#endif

/* The fired neurons of an area that have rows in a projection, and those rows. */
typedef struct {
    const uint32_t *begin; /* indices in the source area, ascending */
    const uint32_t *end;
    spk_rows_t rows;
    uint32_t columns;      /* dense rows; procedural ones: fan_out */
    uint32_t column_first; /* dense rows; procedural ones: seed */
    uint32_t row_bytes;    /* dense rows; procedural ones: targets */
#ifdef __XTENSA__
    const spk_level_t *levels;
#endif
} spk_fired_t;

#ifdef __XTENSA__

typedef struct {
    spk_level_t of[16];
} spk_levels_t;

static inline __attribute__((unused)) void spk_levels_open(spk_fired_t *fired, spk_levels_t *levels, uint32_t kind) {
    const uint32_t bits = kind == CODEC_PROCEDURAL ? PROCEDURAL_LEVELS_LOG2 : CODEC_CODE_BITS(kind);
    const uint32_t has_levels = kind == CODEC_PROCEDURAL || CODEC_HAS_CODES(kind);
    for (uint32_t i = 0; i < has_levels << bits; i++) {
        levels->of[i] = (int8_t)fired->rows.book[i];
    }
    fired->levels = levels->of;
}

/* n / 3 without a division: what the sum of quarters falls short by is small. */
SPK_INLINE uint32_t spk_third(uint32_t n) {
    uint32_t third = (n >> 2) + (n >> 4);
    third += third >> 4;
    third += third >> 8;
    third += third >> 16;
    return third + ((n - 3 * third) * 11 >> 5);
}

#else

typedef struct {
    uint8_t none;
} spk_levels_t;

SPK_INLINE void spk_levels_open(spk_fired_t *fired, spk_levels_t *levels, uint32_t kind) {
    (void)fired;
    (void)levels;
    (void)kind;
}

SPK_INLINE uint32_t spk_third(uint32_t n) { return n / 3; }

#endif

SPK_APART void spk_fired_open(spk_fired_t *fired, const spk_image_t *image, const uint32_t *projection,
                           const uint32_t *neurons, uint32_t count) {
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    const uint32_t last = projection[PROJECTION_SOURCE_FIRST] + projection[PROJECTION_ROWS];
    fired->begin = neurons;
    fired->end = neurons + count;
    for (; fired->begin != fired->end && *fired->begin < projection[PROJECTION_SOURCE_FIRST]; fired->begin++) {
    }
    for (; fired->begin != fired->end && fired->end[-1] >= last; fired->end--) {
    }
    spk_rows_open(&fired->rows, image, projection);
    fired->columns = projection[PROJECTION_COLUMNS];
    fired->column_first = projection[PROJECTION_COLUMN_FIRST];
    fired->row_bytes = kind == CODEC_PROCEDURAL ? spk_target_count(image, projection)
                                                : spk_dense_bytes(projection, SPK_PRECISION_OF(image));
}

#ifdef SPK_VECTOR

#define SPK_ROWS_AHEAD 8

/* Ask memory for a row that comes soon. */
SPK_INLINE void spk_read_ahead(const spk_fired_t *fired, const uint32_t *neuron, uint32_t kind) {
    if (fired->end - neuron <= SPK_ROWS_AHEAD) {
        return;
    }
    uint32_t row = neuron[SPK_ROWS_AHEAD] - fired->rows.first;
    row = CODEC_IS_SHARED(kind) ? spk_rows_entry(&fired->rows, row) >> 16 : row;
    const uint8_t *begin = spk_rows_find(&fired->rows, row).begin;
    __builtin_prefetch(begin);
    __builtin_prefetch(begin + 64);
}

#else

/* Boards read from flash or tightly coupled RAM. */
SPK_INLINE void spk_read_ahead(const spk_fired_t *fired, const uint32_t *neuron, uint32_t kind) {
    (void)fired;
    (void)neuron;
    (void)kind;
}

#endif

#endif
