/* the fp32 kernel: binary32 throughout, no contraction, no reassociation; docs/numbers.md, fp32. */
#include "kernel.h"

typedef float potential_t;

#define WEIGHT_BYTES 4
#define POTENTIAL_MOST 3e38f
#define NO_LIMIT 0x7F800000u /* record word */

SPK_INLINE float potential_load(float stored) { return stored; }

SPK_INLINE float potential_store(float v) { return v; }

static inline float weight_load(const uint8_t *bytes) { return spk_float_from_bits(spk_load32(bytes)); }

static inline float parameter_potential(const spk_image_t *image, const uint32_t *area, unsigned parameter,
                                        uint32_t index) {
    return spk_float_from_bits(spk_parameter32(image, area, parameter, index));
}

static inline float model_reset(const spk_image_t *image, const uint32_t *model, uint32_t index) {
    return spk_float_from_bits(spk_model_parameter(image, model, MODEL_RESET, index, 4));
}

static int area_is_plain(const uint32_t *area) { return spk_area_is_plain(area, NO_LIMIT); }

#include "kernel_float.inc"

#define KERNEL(learner, trained) \
    {SPK_PRECISION_FP32, EMPTY_WORD, self_test, accepts, input, scatter, update_f, learner, trained}

const spk_kernel_t spk_kernel_fp32 = KERNEL(NULL, NULL);

const spk_kernel_t spk_kernel_fp32_trained = KERNEL(NULL, &trained);

const spk_kernel_t spk_kernel_fp32_learning = KERNEL(&spk_learner, &trained);
