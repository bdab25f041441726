/* the fp16 kernel: weights, thresholds and potentials are binary16 in memory, arithmetic is binary32; docs/numbers.md. */
#include "espike/half.h"
#include "half_even.h"
#include "kernel.h"

typedef uint16_t potential_t;

#define WEIGHT_BYTES 2
#define POTENTIAL_MOST 65504.0f
#define NO_LIMIT 0x7C00u /* record word */

SPK_INLINE float potential_load(uint16_t stored) { return spk_float_from_bits(spk_half_to_float_bits(stored)); }

SPK_INLINE uint16_t potential_store(float v) { return spk_half_even(v); }

static inline float weight_load(const uint8_t *bytes) { return potential_load((uint16_t)spk_load16(bytes)); }

static inline float parameter_potential(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                        uint32_t index) {
    return potential_load((uint16_t)spk_parameter16(image, area, parameter, index));
}

static inline float model_reset(const spk_image_t *image, const uint32_t *model, uint32_t index) {
    return potential_load((uint16_t)spk_model_parameter(image, model, MODEL_RESET, index, 2));
}

/* The record's word is a binary16: one with its sign set is no threshold above rest. */
static int area_is_plain(const uint32_t *area) {
    return area[AREA_THRESHOLD] < 0x8000u && spk_area_is_plain(area, NO_LIMIT);
}

#include "kernel_float.inc"

#define KERNEL(learner, trained) \
    {SPK_PRECISION_FP16, EMPTY_WORD, self_test, accepts, input, scatter, update_f, learner, trained}

const spk_kernel_t spk_kernel_fp16 = KERNEL(NULL, NULL);

const spk_kernel_t spk_kernel_fp16_trained = KERNEL(NULL, &trained);

const spk_kernel_t spk_kernel_fp16_learning = KERNEL(&spk_learner, &trained);
