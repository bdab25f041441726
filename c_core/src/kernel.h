/* engine <-> number type: what a kernel supplies, and what the kernels share. */
#ifndef ESPIKE_KERNEL_H
#define ESPIKE_KERNEL_H

#include "espike/engine.h"
#include "layout.h"
#include "rows.h"
#include "vector.h"

/* Inlined into callers with constant arguments, so that each gets a loop of its own. */

/* One number type. All functions take checked images and ids in range. */
struct spk_kernel {
    uint8_t precision;
    uint32_t empty_input; /* bits of an accumulator, 32 bits wide, that no input has reached */
    /* Does this build's arithmetic keep what docs/numbers.md asks of it? */
    int (*self_test)(void);
    /* Is a stimulus value within the area's limit? */
    int (*accepts)(const uint32_t *area, uint32_t value);
    /* Add stimulus or power to accumulators of one area: `count` (neuron, value) pairs, neurons ascending. */
    void (*input)(spk_engine_t *engine, uint32_t area, const uint32_t *pairs, uint32_t count);
    /* Add one row of a projection to the accumulators of its target area. Returns its synapses. */
    uint32_t (*scatter)(spk_engine_t *engine, const uint32_t *projection, spk_row_t row);
    /* One burst of all neurons of an area: consume accumulators, move potentials, set firing bits.
     * Returns STATE_HAS_FIRED and STATE_IS_BUSY where they hold. */
    uint32_t (*update)(spk_engine_t *engine, uint32_t area);
};

enum { /* words of an area's state in the arena; offsets are bytes from its begin */
    STATE_FIRST,
    STATE_INPUT,
    STATE_COUNTDOWN,
    STATE_COUNT,
    STATE_BUSY, /* a byte per block of neurons: 0 where another burst without input would change nothing */
    STATE_FLAGS,
    STATE_WORDS
};

/* Area flags. An area that is neither reached nor busy has nothing to update. */
#define STATE_IS_BUSY 1u   /* a block is */
#define STATE_HAS_FIRED 2u /* in the last burst */
#define STATE_IS_REACHED 4u /* by input, since the last update */

/* Neurons of a block. Hosts skip as many as they update in one go; the arena has a byte per SPK_BLOCK_LEAST. */
#define SPK_BLOCK_LEAST 32u
#define SPK_BLOCK_NEURONS (SPK_BLOCKS ? 128u : SPK_BLOCK_LEAST)

/* The hash behind every draw and state hash: PCG output permutation, reference: docs/numbers.md. */
static inline uint32_t spk_pcg(uint32_t x) {
    uint32_t state = x * 747796405u + 2891336453u;
    uint32_t word = (state >> ((state >> 28) + 4) ^ state) * 277803737u;
    return word >> 22 ^ word;
}

static inline const uint32_t *spk_area_record(const spk_engine_t *engine, uint32_t area) {
    return engine->image->areas + area * AREA_WORDS;
}

static inline uint32_t *spk_area_state(const spk_engine_t *engine, uint32_t area) {
    return engine->area_state + area * STATE_WORDS;
}

/* Builds for hosts run areas of neurons that are alike in vectorizable blocks, refractory periods included. */
#define SPK_PLAIN_REFRACTORY SPK_BLOCKS

/* Are all neurons of the area alike, silent at rest, without fire limit, draw or upper limit (and without a refractory period where
 * the build's plain update knows none)? */
static inline int spk_area_is_plain(const uint32_t *area, uint32_t no_limit) {
    int refractory = area[AREA_REFRACTORY] != 0;
    return (int32_t)area[AREA_THRESHOLD] > 0 && area[AREA_COLUMNS] == 0 && area[AREA_FLAGS] & AREA_ACCUMULATE && area[AREA_LIMIT] == no_limit &&
           area[AREA_FIRE_LIMIT] == 0 && area[AREA_FIRE_DRAW] == 0xFFFFFFFFu &&
           (!refractory || (SPK_PLAIN_REFRACTORY && AREA_COUNTDOWN_BYTES(area[AREA_FLAGS]) == 1));
}

/* A parameter of `bits` that is one word for the area or a column of 16-bit values. */
static inline uint32_t spk_parameter16(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                       uint32_t index) {
    if (!(area[AREA_COLUMNS] & AREA_COLUMN(parameter))) {
        return area[parameter];
    }
    return ((const uint16_t *)(const void *)(image->bytes + area[parameter]))[index];
}

/* The same for a column of 32-bit values. */
static inline uint32_t spk_parameter32(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                       uint32_t index) {
    if (!(area[AREA_COLUMNS] & AREA_COLUMN(parameter))) {
        return area[parameter];
    }
    return ((const uint32_t *)(const void *)(image->bytes + area[parameter]))[index];
}

/* A counter of 0, 1 or 2 bytes per neuron. */
static inline uint32_t spk_counter_load(const uint8_t *counters, uint32_t bytes, uint32_t index) {
    if (bytes == 0) {
        return 0;
    }
    return bytes == 1 ? counters[index] : ((const uint16_t *)(const void *)counters)[index];
}

static inline void spk_counter_store(uint8_t *counters, uint32_t bytes, uint32_t index, uint32_t value) {
    if (bytes == 1) {
        counters[index] = (uint8_t)value;
    } else if (bytes == 2) {
        ((uint16_t *)(void *)counters)[index] = (uint16_t)value;
    }
}

/* A word of an array of any type. */
typedef uint32_t __attribute__((may_alias)) spk_word_t;

static inline void spk_set_firing(spk_engine_t *engine, uint32_t neuron) {
    engine->firing[neuron >> 5] |= 1u << (neuron & 31u);
}

/* 32-bit words of a bitmap of `bits` bits. */
static inline uint32_t spk_words_for(uint32_t bits) { return (bits + 31) / 32; }

/* Place of the lowest set bit; bits != 0. No core of ours counts zeros: a product with a de Bruijn sequence does. */
static inline uint32_t spk_lowest_bit(uint32_t bits) {
    static const uint8_t place[32] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
                                      31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};
    return place[(bits & (0u - bits)) * 0x077CB531u >> 27];
}

/* Excitability: does the neuron's draw of this burst let it fire? (docs/numbers.md, Excitability) */
static inline int spk_draw_fires(uint32_t fire_draw, uint32_t neuron, uint32_t burst) {
    return fire_draw == 0xFFFFFFFFu || spk_pcg(neuron * 2654435761u + burst * 1597334677u) < fire_draw;
}

#endif
