/* frames + weights -> weights: phase 4. */
#ifndef ESPIKE_LEARN_H
#define ESPIKE_LEARN_H

#include "espike/half.h"
#include "half_even.h"
#include "kernel.h"

/* Bytes of one weight that learns: int16 codes, binary16 or binary32. */
static inline uint32_t spk_learned_bytes(uint8_t precision) { return precision == SPK_PRECISION_FP32 ? 4u : 2u; }

/* The weights of a projection that learns, in the arena, in row order. */
static inline void *spk_learned_weights(const spk_engine_t *engine, const uint32_t *projection) {
    return engine->arena + engine->learned[projection[PROJECTION_BOOK]];
}

/* One of them: an int32, or the bits of a float. */
static inline uint32_t spk_learned_weight(const spk_engine_t *engine, const uint32_t *projection, uint32_t synapse) {
    const void *weights = spk_learned_weights(engine, projection);
    if (SPK_PRECISION_OF(engine->image) == SPK_PRECISION_INT8) {
        return (uint32_t)(int32_t)((const int16_t *)weights)[synapse];
    }
    if (SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP16) {
        return spk_half_to_float_bits(((const uint16_t *)weights)[synapse]);
    }
    return ((const spk_word_t *)weights)[synapse];
}

#endif
