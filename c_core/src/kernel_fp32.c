/* the fp32 kernel: binary32 throughout, no contraction, no reassociation; docs/numbers.md, fp32.
 *
 * An accumulator holds -0 until any input reaches it: no weight, stimulus or power is -0, so no sum ever is. */
#include "kernel.h"

#if defined(__FAST_MATH__)
#error "espike must not be built with -ffast-math: results would depend on the compiler"
#endif

typedef float potential_t;
typedef float number_t;
typedef float retained_t;
typedef uint32_t factor_t; /* unused: fp32 weights carry no shift */
typedef uint32_t mark_t;   /* unused: -0 marks */

#define WEIGHT_BYTES 4
#define UNIFORM_BYTES 4
#define INPUT_EMPTY (-0.0f)
#define RETAINED_ALL 0x3F800000u /* record word of an area that does not leak */
#define EMPTY_WORD 0x80000000u /* 32 bits of accumulators that no input has reached */
#define POTENTIAL_MOST 3e38f

static inline float weight_load(const uint8_t *bytes) {
    float weight;
    memcpy(&weight, bytes, sizeof weight);
    return weight;
}

static inline float uniform_load(const uint8_t *bytes) { return weight_load(bytes); }

static inline float weight_times(float weight, factor_t factor) {
    (void)factor;
    return weight;
}

/* v + input in one addition. */
SPK_INLINE float potential_sum(float v, float input, uint32_t guard_bits) {
    (void)guard_bits;
    return v + input;
}

/* v cut to +-3e38. */
SPK_INLINE float potential_cut(float v) {
    v = v > POTENTIAL_MOST ? POTENTIAL_MOST : v;
    return v < -POTENTIAL_MOST ? -POTENTIAL_MOST : v;
}

static inline float potential_add(spk_engine_t *engine, float v, float input, uint32_t guard_bits) {
    v = potential_sum(v, input, guard_bits);
    if (v > POTENTIAL_MOST || v < -POTENTIAL_MOST) {
        engine->counters.saturations++;
        v = potential_cut(v);
    }
    return v;
}

SPK_INLINE float leak(float v, retained_t retained) { return v * retained; }

/* Not 0 where any of the potentials was not. */
static inline float any_charge(float any, float v) { return v != 0 ? 1.0f : any; }

/* A stimulus or power value as an accumulator takes it. */
SPK_INLINE float input_load(uint32_t value, mark_t mark) {
    (void)mark;
    return spk_float_from_bits(value);
}

static inline float parameter_potential(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                        uint32_t index) {
    return spk_float_from_bits(spk_parameter32(image, area, parameter, index));
}

static inline retained_t retained_load(const spk_image_t *image, const uint32_t *area, uint32_t index) {
    return parameter_potential(image, area, AREA_RETAINED, index);
}

static int area_is_plain(const uint32_t *area) { return spk_area_is_plain(area, 0x7F800000u); }

#include "kernel_neuron.inc"

static inline float input_add_f(float a, float x, mark_t mark) {
    (void)mark;
    return a + x;
}

static inline int input_reached_f(float a) { return spk_bits_from_float(a) != 0x80000000u; }

static inline float input_value_f(float a) { return a; }

SPK_INLINE float any_lane_f(float any, float v) { return v != 0 ? 1.0f : any; }

SPK_INLINE float leak_lane_f(float v, retained_t retained) { return leak(v, retained); }

#define ACC_T float
#define LANE_T float
#define NAME(x) x##_f
#include "kernel.inc"

/* Two sums that come out otherwise where products are fused into additions, or subnormals are flushed. */
static int self_test(void) {
    volatile float a = 1.0f + 1.0f / 4096.0f;
    volatile float b = -(1.0f + 2.0f / 4096.0f);
    volatile float small = 1e-38f;
    volatile float fused = a * a + b;
    volatile float subnormal = small * 0.25f;
    return fused == 0.0f && subnormal != 0.0f;
}

static int accepts(const uint32_t *area, uint32_t value) {
    return value != 0x80000000u && (value & 0x7FFFFFFFu) <= area[AREA_STIMULUS_LIMIT];
}

static float *input_of(spk_engine_t *engine, uint32_t area) {
    return (float *)(void *)(engine->arena + spk_area_state(engine, area)[STATE_INPUT]);
}

static void input(spk_engine_t *engine, uint32_t area, const uint32_t *pairs, uint32_t count) {
    add_pairs_f(input_of(engine, area), spk_area_state(engine, area)[STATE_FIRST], pairs, count, 0);
}

static uint32_t scatter(spk_engine_t *engine, const uint32_t *projection, spk_row_t row) {
    return scatter_f(input_of(engine, projection[PROJECTION_ENDS] >> 16), row, projection[PROJECTION_CODEC], 1, 0);
}

const spk_kernel_t spk_kernel_fp32 = {SPK_PRECISION_FP32, 0x80000000u, self_test, accepts, input, scatter, update_f};
