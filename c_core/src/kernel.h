/* engine <-> number type: what a kernel supplies, and what the kernels share. */
#ifndef ESPIKE_KERNEL_H
#define ESPIKE_KERNEL_H

#include "espike/engine.h"
#include "espike/expand.h"
#include "layout.h"
#include "rows.h"
#include "vector.h"

/* Inlined into callers with constant arguments, so that each gets a loop of its own. */

/* A row that is read synapse by synapse: its weights learn, or the source's potential drives them. */
typedef struct {
    const spk_engine_t *engine;
    const uint32_t *projection;
    spk_cursor_t cursor;
    uint32_t psp;     /* what drives the weights, 1 = nothing */
    int is_graded;    /* psp is a potential: int32, or the bits of a binary32 */
    uint32_t synapse; /* number of the next one in its projection */
} spk_reader_t;

#define SPK_READ_MOST 8u /* synapses of one read */

/* Phase 4 and the rows it moves, for kernels that learn; such kernels also run weights that a potential drives. */
typedef struct {
    int (*check)(const spk_image_t *image); /* SPK_OK, or SPK_ERROR_LAYOUT for a learning record out of range */
    void (*reset)(spk_engine_t *engine);
    void (*learn)(spk_engine_t *engine);
    void (*sum)(const spk_engine_t *engine, uint32_t sum[2]);
    /* Begin with the row of a fired neuron (its place in its area). Returns 0 where there is none. */
    int (*begin)(spk_reader_t *reader, const spk_engine_t *engine, const uint32_t *projection, uint32_t neuron);
    /* The next synapses as (neuron, value) pairs, as inputs are. Returns how many, 0 at the row's end. */
    uint32_t (*read)(spk_reader_t *reader, uint32_t pairs[2 * SPK_READ_MOST]);
} spk_learner_t;

extern const spk_learner_t spk_learner;

/* Areas with neuron models, for kernels that know them. */
typedef struct {
    /* One burst of all neurons of an area, as spk_kernel.update does it. */
    uint32_t (*update)(spk_engine_t *engine, uint32_t area);
    /* SPK_OK, or SPK_ERROR_PARAMETER for a neuron model out of range. */
    int (*check)(const spk_image_t *image);
} spk_trained_t;

int spk_trained_check(const spk_image_t *image);

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
    /* Add the rows of a projection that `count` fired neurons of its source area have, ascending by their place in it,
     * to the accumulators of its target area. Returns their synapses. */
    uint32_t (*scatter)(spk_engine_t *engine, const uint32_t *projection, const uint32_t *neurons, uint32_t count);
    /* One burst of all neurons of an area: consume accumulators, move potentials, set firing bits.
     * Returns STATE_HAS_FIRED and STATE_IS_BUSY where they hold. */
    uint32_t (*update)(spk_engine_t *engine, uint32_t area);
    const spk_learner_t *learner; /* NULL: images that need it are refused */
    const spk_trained_t *trained; /* the same */
};

enum { /* words of an area's state in the arena; offsets are bytes from its begin */
    STATE_FIRST,
    STATE_INPUT,
    STATE_COUNTDOWN,
    STATE_COUNT,
    STATE_BUSY, /* a byte per block of neurons: 0 where another burst without input would change nothing */
    STATE_PSP,   /* a byte per neuron where the area has a psp factor: its potential at the last firing; a potential per
                  * neuron where a neuron model has a current */
    STATE_FLAGS,
    STATE_WORDS
};

/* Area flags. An area that is neither reached nor busy has nothing to update. */
#define STATE_IS_BUSY 1u   /* a block is */
#define STATE_HAS_FIRED 2u /* in the last burst */
#define STATE_IS_REACHED 4u /* by input, since the last update */

/* Neurons of a block. Hosts skip as many as they update in one go; the arena has a byte per SPK_BLOCK_LEAST. */
#define SPK_BLOCK_LEAST 32u
#define SPK_BLOCK_NEURONS (SPK_BLOCKS ? 256u : SPK_BLOCK_LEAST)

static inline const uint32_t *spk_area_record(const spk_engine_t *engine, uint32_t area) {
    return engine->image->areas + area * AREA_WORDS;
}

static inline uint32_t *spk_area_state(const spk_engine_t *engine, uint32_t area) {
    return engine->area_state + area * STATE_WORDS;
}

/* Do the accumulators of an int8 area have 32 bits? */
static inline int spk_input_is_wide(const spk_image_t *image, const uint32_t *area) {
    return (area[AREA_FLAGS] & AREA_WIDE_INPUT) != 0 || (SPK_BLOCKS && image->expansion != NULL);
}

/* What a burst begins with in the accumulators of an area that power reaches, where the image is expanded; else NULL. */
static inline const uint32_t *spk_expanded_empty(const spk_image_t *image, const uint32_t *area,
                                                 const uint32_t *state) {
    if (!SPK_BLOCKS || image->expansion == NULL ||
        !image->expansion->powered[(uint32_t)(area - image->areas) / AREA_WORDS]) {
        return NULL;
    }
    return image->expansion->empty + state[STATE_FIRST];
}

/* Builds for hosts run areas of neurons that are alike in vectorizable blocks, refractory periods included. */
#define SPK_PLAIN_REFRACTORY SPK_BLOCKS

/* Are all neurons of the area alike, silent at rest, without fire limit, draw or upper limit (and without a refractory period where
 * the build's plain update knows none)? */
static inline int spk_area_is_plain(const uint32_t *area, uint32_t no_limit) {
    int refractory = area[AREA_REFRACTORY] != 0;
    return (int32_t)area[AREA_THRESHOLD] > 0 && area[AREA_PSP_FACTOR] == 0 && area[AREA_COLUMNS] == 0 && area[AREA_FLAGS] & AREA_ACCUMULATE && area[AREA_LIMIT] == no_limit &&
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

/* The neuron model of an area that has one. */
static inline const uint32_t *spk_area_model(const spk_image_t *image, const uint32_t *area) {
    return spk_image_words(image, area[AREA_MODEL]);
}

/* A parameter of a neuron model that is one word for the area or a column of 16-bit or 32-bit values. */
static inline uint32_t spk_model_parameter(const spk_image_t *image, const uint32_t *model, unsigned parameter,
                                           uint32_t index, uint32_t bytes) {
    if (!(model[MODEL_COLUMNS] & MODEL_COLUMN(parameter))) {
        return model[parameter];
    }
    const uint8_t *column = image->bytes + model[parameter];
    return bytes == 2 ? ((const uint16_t *)(const void *)column)[index] : ((const uint32_t *)(const void *)column)[index];
}

/* A parameter of successive neurons: one word for the area (step 0) or a column. */
typedef struct {
    const uint8_t *at;
    uint32_t step; /* bytes from one neuron's value to the next */
} spk_values_t;

/* The values from neuron `index` on of a parameter of an area or a neuron model; is_column: its bit. */
static inline spk_values_t spk_values_open(const spk_image_t *image, const uint32_t *word, uint32_t is_column,
                                           uint32_t bytes, uint32_t index) {
    spk_values_t shared = {(const uint8_t *)word, 0};
    spk_values_t column = {image->bytes + *word + index * bytes, bytes};
    return is_column != 0 ? column : shared;
}

/* Is an area with a neuron model one of plain neurons: without refractory period, fire limit, draw, upper limit, current, and
 * neither late nor graded? Threshold, retained fraction, reset and bias may differ. */
static inline int spk_model_is_plain(const spk_image_t *image, const uint32_t *area, uint32_t no_limit) {
    const uint32_t columns = AREA_COLUMN(AREA_THRESHOLD) | AREA_COLUMN(AREA_RETAINED);
    return !(spk_area_model(image, area)[MODEL_FLAGS] & (MODEL_LATE | MODEL_GRADED | MODEL_CURRENT)) &&
           !(area[AREA_COLUMNS] & ~columns) && area[AREA_FLAGS] & AREA_ACCUMULATE && area[AREA_LIMIT] == no_limit &&
           area[AREA_REFRACTORY] == 0 && area[AREA_FIRE_LIMIT] == 0 && area[AREA_FIRE_DRAW] == 0xFFFFFFFFu;
}

/* Did the neuron fire in the last burst? */
static inline int spk_has_fired(const spk_engine_t *engine, uint32_t neuron) {
    return engine->fired[neuron >> 5] >> (neuron & 31u) & 1u;
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

/* Fire queues that an engine holds: those kept, and the one that fills. */
static inline uint32_t spk_frame_count(const spk_image_t *image) {
    return image->history > 1 ? image->history + 1u : 2u;
}

/* The fire queue `age` bursts before the last one. Pre: age < spk_frame_count(image) - 1. */
static inline const uint32_t *spk_frame(const spk_engine_t *engine, uint32_t age) {
    uint32_t frame = engine->frame >= age ? engine->frame - age : engine->frame + spk_frame_count(engine->image) - age;
    return engine->frames + frame * spk_words_for(engine->image->neuron_count);
}

static inline void spk_set_firing(spk_engine_t *engine, uint32_t neuron) {
    engine->firing[neuron >> 5] |= 1u << (neuron & 31u);
}

/* Place of the lowest set bit; bits != 0. No chip of ours counts zeros: a product with a de Bruijn sequence does. */
static inline uint32_t spk_lowest_bit(uint32_t bits) {
    if (SPK_BLOCKS) {
        return (uint32_t)__builtin_ctz(bits);
    }
    static const uint8_t place[32] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
                                      31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};
    return place[(bits & (0u - bits)) * 0x077CB531u >> 27];
}

/* Excitability: does the neuron's draw of this burst let it fire? (docs/numbers.md, Excitability) */
static inline int spk_draw_fires(uint32_t fire_draw, uint32_t neuron, uint32_t burst) {
    return fire_draw == 0xFFFFFFFFu || spk_pcg(neuron * 2654435761u + burst * 1597334677u) < fire_draw;
}

#endif
