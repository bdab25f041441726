/* the int8 kernel: int8 weights, int16 potentials, int16 or int32 accumulators; docs/numbers.md, int8.
 *
 * Where neurons are updated as candidates only, an accumulator holds 2 * sum + 1 once any input reached it, and 0
 * before: marking costs no memory and two instructions per event. */
#include "kernel.h"

typedef int16_t potential_t;
typedef int32_t number_t;
typedef int32_t factor_t; /* 1 << shift, doubled where candidates count */
typedef uint32_t mark_t;   /* or-ed into an accumulator at every event: 1 where candidates count, else 0 */
typedef uint32_t retained_t;

#define WEIGHT_BYTES 1
#define UNIFORM_BYTES 2
#define INPUT_EMPTY 0
#define HAS_CODES
#define RETAINED_ALL 32768u /* record word of an area that does not leak */
#define EMPTY_WORD 0u /* 32 bits of accumulators that no input has reached */
#define POTENTIAL_MOST 32767
#define NO_LIMIT 32767u /* record word */
#define RETAINED_BYTES 2

SPK_INLINE int16_t potential_load(int16_t stored) { return stored; }

SPK_INLINE int16_t potential_store(int32_t v) { return (int16_t)v; }

static inline int32_t weight_load(const uint8_t *bytes) { return (int8_t)*bytes; }

static inline int32_t uniform_load(const uint8_t *bytes) { return (int16_t)spk_load16(bytes); }

/* a + b without overflow on any input: the packer proves that sums fit, a forged image may wrap. */
static inline int32_t wrapping_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

static inline number_t weight_times(int32_t weight, factor_t factor) { return weight * factor; }

/* v + input * 2^guard_bits. Pre: |v| <= 32767, |input| * 2^guard_bits < 2^30. */
SPK_INLINE number_t potential_sum(int32_t v, int32_t input, uint32_t guard_bits) {
    return wrapping_add(v, (int32_t)((uint32_t)input << guard_bits));
}

/* v cut to +-32767. */
SPK_INLINE number_t potential_cut(int32_t v) {
    v = v > POTENTIAL_MOST ? POTENTIAL_MOST : v;
    return v < -POTENTIAL_MOST ? -POTENTIAL_MOST : v;
}

/* v cut to +-32767, and counted where that changes it. */
static inline number_t potential_kept(spk_engine_t *engine, int32_t v) {
    if (!SPK_LIKELY((uint32_t)v + POTENTIAL_MOST <= 2u * POTENTIAL_MOST)) {
        engine->counters.saturations++;
        v = potential_cut(v);
    }
    return v;
}

static inline number_t potential_add(spk_engine_t *engine, int32_t v, int32_t input, uint32_t guard_bits) {
    return potential_kept(engine, potential_sum(v, input, guard_bits));
}

/* round(x / 2^shift), halves up. */
SPK_INLINE number_t model_divide(int32_t x, uint32_t shift) { return wrapping_add(x, 1 << shift >> 1) >> shift; }

/* leaked + round((input * 2^guard_bits + bias) / 2^shift). Pre: |leaked| <= 32767, and below 2^30 what is divided. */
SPK_INLINE number_t model_add(int32_t leaked, int32_t input, uint32_t guard_bits, int32_t bias, uint32_t shift) {
    return wrapping_add(leaked, model_divide(potential_sum(bias, input, guard_bits), shift));
}

/* round(v * retained / 2^15), at least one unit nearer to rest where any leak is on. Pre: |v| <= 32767. */
SPK_INLINE number_t leak(int32_t v, retained_t retained) {
    int32_t y = (v * (int32_t)retained + 16384) >> 15;
    if (!SPK_LIKELY(y != v) && v != 0 && retained != 32768u) {
        y += v < 0 ? 1 : -1;
    }
    return y;
}

/* Not 0 where any of the potentials was not. */
SPK_INLINE uint32_t any_charge(uint32_t any, number_t v) { return any | (uint32_t)v; }

/* Not 0 where input came, or a potential changed. */
SPK_INLINE uint32_t any_move(uint32_t any, number_t sum, number_t before, number_t after) {
    return any | (uint32_t)sum | (uint32_t)(before ^ after);
}

/* Did nothing come, and nothing change? */
SPK_INLINE int is_still(number_t sum, number_t before, number_t after) { return sum == 0 && before == after; }

/* (v * factor + 2^15) >> 16, cut to 0..255, in two halves of the factor that 32 bits hold. */
static inline uint32_t psp_of(int32_t v, uint32_t factor) {
    if (v <= 0) {
        return 0;
    }
    uint32_t psp = (uint32_t)v * (factor >> 16) + (((uint32_t)v * (factor & 0xFFFFu) + 32768) >> 16);
    return psp > 255 ? 255 : psp;
}

/* A stimulus or power value as an accumulator takes it. Pre: |value| < 2^30. */
SPK_INLINE number_t input_load(uint32_t value, mark_t mark) { return (int32_t)(value << mark); }

static inline number_t parameter_potential(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                           uint32_t index) {
    return (int16_t)spk_parameter16(image, area, parameter, index);
}

static inline retained_t retained_load(const spk_image_t *image, const uint32_t *area, uint32_t index) {
    return spk_parameter16(image, area, AREA_RETAINED, index);
}

static inline number_t model_reset(const spk_image_t *image, const uint32_t *model, uint32_t index) {
    return (int16_t)spk_model_parameter(image, model, MODEL_RESET, index, 2);
}

static inline number_t model_bias(const spk_image_t *image, const uint32_t *model, uint32_t index) {
    return (int32_t)spk_model_parameter(image, model, MODEL_BIAS, index, 4);
}

static inline retained_t model_retained(const spk_image_t *image, const uint32_t *model, uint32_t index) {
    return spk_model_parameter(image, model, MODEL_CURRENT_RETAINED, index, 2);
}

/* The same parameters where a value of an area or its neurons lies. */
SPK_INLINE retained_t retained_at(const uint8_t *at) { return *(const uint16_t *)(const void *)at; }

SPK_INLINE number_t bias_at(const uint8_t *at) { return (int32_t)*(const uint32_t *)(const void *)at; }

static int area_is_plain(const uint32_t *area) { return spk_area_is_plain(area, NO_LIMIT); }

#include "kernel_neuron.inc"

#define INPUT_FUNCTIONS                                                                                              \
    SPK_INLINE ACC_T NAME(input_add)(ACC_T a, int32_t x, mark_t mark) {                                              \
        return (ACC_T)((uint32_t)wrapping_add(a, x) | mark);                                                         \
    }                                                                                                                \
    static inline int NAME(input_reached)(ACC_T a) { return a & 1; }                                                 \
    static inline ACC_T NAME(input_value)(ACC_T a) { return (ACC_T)(a >> 1); }                                       \
    /* Without a branch per value; where nothing leaks, `retained` fits no lane. Pre: |v| <= 32767. */               \
    SPK_INLINE LANE_T NAME(any_lane)(LANE_T any, LANE_T v) { return (LANE_T)(any | v); }                                 \
    SPK_INLINE LANE_T NAME(leak_lane)(LANE_T v, retained_t retained) {                                               \
        const LANE_T r = (LANE_T)(retained & 32767u);                                                                \
        const LANE_T y = (LANE_T)(((v * r >> 14) + 1) >> 1); /* leak's rounding, as vector units have it */          \
        const LANE_T sign = (LANE_T)((v > 0) - (v < 0));                                                             \
        const LANE_T stepped = (LANE_T)(y - sign);                                                                   \
        const LANE_T leaked = y == v ? stepped : y;                                                                  \
        return retained == 32768u ? v : leaked;                                                                      \
    }

#define ACC_T int16_t
#define LANE_T int16_t
#define NAME(x) x##_16
INPUT_FUNCTIONS
#include "kernel.inc"

#define ACC_T int32_t
#define LANE_T int16_t
#define NAME(x) x##_32
INPUT_FUNCTIONS
#include "kernel.inc"

static int self_test(void) { return 1; }

static int accepts(const uint32_t *area, uint32_t value) {
    int32_t limit = (int32_t)area[AREA_STIMULUS_LIMIT];
    return (int32_t)value <= limit && (int32_t)value >= -limit;
}

static void *input_of(spk_engine_t *engine, uint32_t area) {
    return engine->arena + spk_area_state(engine, area)[STATE_INPUT];
}

static void input(spk_engine_t *engine, uint32_t area, const uint32_t *pairs, uint32_t count) {
    uint32_t first = spk_area_state(engine, area)[STATE_FIRST];
    mark_t mark = engine->image->candidates_only;
    if (spk_input_is_wide(engine->image, spk_area_record(engine, area))) {
        add_pairs_32(input_of(engine, area), first, pairs, count, mark);
    } else {
        add_pairs_16(input_of(engine, area), first, pairs, count, mark);
    }
}

/* Dense rows of vectors: each index names the weights of the next targets, the last those of what is left. */
SPK_LOOP uint32_t add_vectors(void *sums, const spk_fired_t *fired, int is_wide, factor_t factor, mark_t mark) {
    const uint32_t width = 1u << VECTORS_WIDTH_LOG2(fired->rows.projection[PROJECTION_BODIES]);
    uint32_t synapses = 0;
#define EVENT(k)                                                                                           \
    if (is_wide) {                                                                                         \
        wide[k] = input_add_32(wide[k], weight_times(weight_load(weight + (k)), factor), mark);            \
    } else {                                                                                               \
        narrow[k] = input_add_16(narrow[k], weight_times(weight_load(weight + (k)), factor), mark);        \
    }
#define GO_ON(count)       \
    if (is_wide) {         \
        wide += (count);   \
    } else {               \
        narrow += (count); \
    }
    for (const uint32_t *neuron = fired->begin; neuron != fired->end; neuron++) {
        const uint8_t *at = fired->rows.data + (size_t)(*neuron - fired->rows.first) * fired->row_bytes;
        int32_t *wide = (int32_t *)sums + fired->column_first;
        int16_t *narrow = (int16_t *)sums + fired->column_first;
        synapses += fired->columns;
        for (uint32_t left = fired->columns; left != 0;) {
            const uint8_t *weight = fired->rows.book + *at++ * width;
            const uint8_t *stop = weight + (left < width ? left : width);
            left -= (uint32_t)(stop - weight);
            for (; SPK_COPIES && stop - weight >= 4; weight += 4) {
                EVENT(0)
                EVENT(1)
                EVENT(2)
                EVENT(3)
                GO_ON(4)
            }
            for (; weight != stop; weight++) {
                EVENT(0)
                GO_ON(1)
            }
        }
    }
#undef GO_ON
#undef EVENT
    return synapses;
}

/* Apart from the other loops, so that those keep their registers. */
static __attribute__((noinline)) uint32_t scatter_vectors(void *sums, const spk_fired_t *fired, int is_wide,
                                                          factor_t factor, mark_t mark) {
    if (SPK_COPIES && factor == 1 && mark == 0) {
        return is_wide ? add_vectors(sums, fired, 1, 1, 0) : add_vectors(sums, fired, 0, 1, 0);
    }
    return add_vectors(sums, fired, is_wide, factor, mark);
}

static uint32_t scatter(spk_engine_t *engine, const uint32_t *projection, const uint32_t *neurons, uint32_t count) {
    uint32_t target = projection[PROJECTION_ENDS] >> 16;
    uint32_t codec = projection[PROJECTION_CODEC];
    mark_t mark = engine->image->candidates_only;
    factor_t factor = (factor_t)(1u << (CODEC_SHIFT(codec) + mark));
    void *sums = input_of(engine, target);
    spk_fired_t fired;
    spk_levels_t levels;
    spk_fired_open(&fired, engine->image, projection, neurons, count);
    spk_levels_open(&fired, &levels, CODEC_KIND(codec));
    const int is_wide = spk_input_is_wide(engine->image, spk_area_record(engine, target));
    if (CODEC_IS_VECTORS(CODEC_KIND(codec))) {
        return scatter_vectors(sums, &fired, is_wide, factor, mark);
    }
    return is_wide
               ? scatter_32(sums, &fired, codec, factor, mark)
               : scatter_16(sums, &fired, codec, factor, mark);
}

static uint32_t update(spk_engine_t *engine, uint32_t area) {
    if (spk_input_is_wide(engine->image, spk_area_record(engine, area))) {
        return update_32(engine, area);
    }
    return update_16(engine, area);
}

static uint32_t update_models(spk_engine_t *engine, uint32_t area) {
    if (spk_input_is_wide(engine->image, spk_area_record(engine, area))) {
        return update_models_32(engine, area);
    }
    return update_models_16(engine, area);
}

static const spk_trained_t trained = {update_models, spk_trained_check};

#define KERNEL(learner, trained) \
    {SPK_PRECISION_INT8, INPUT_EMPTY, self_test, accepts, input, scatter, update, learner, trained}

const spk_kernel_t spk_kernel_int8 = KERNEL(NULL, NULL);

const spk_kernel_t spk_kernel_int8_trained = KERNEL(NULL, &trained);

const spk_kernel_t spk_kernel_int8_learning = KERNEL(&spk_learner, &trained);
