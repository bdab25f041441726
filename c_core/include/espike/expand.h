/* image -> rows expanded: for hosts, where memory buys speed. */
#ifndef ESPIKE_EXPAND_H
#define ESPIKE_EXPAND_H

#include <stddef.h>
#include <stdint.h>

#include "espike/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* Rows decoded once: per neuron one list of (target, weight), and what power leaves in every accumulator. Accumulators
 * have 32 bits then. The same results, at the cost of 4 or 8 bytes per synapse and 4 per neuron. */
typedef struct spk_expansion {
    const uint32_t *start;   /* (neurons + 1,): where each neuron's list begins */
    const void *synapses;    /* entries of `kind`, by source, in the order in which they are added */
    const uint32_t *empty;   /* (neurons,): accumulators before a burst's input, power included */
    const uint8_t *powered;  /* (areas,): does power reach any of its neurons? */
    uint32_t kind;
} spk_expansion_t;

/* Bytes that spk_expand needs for a checked image; 0 where the image cannot be expanded. Time is linear in the image's
 * size. */
size_t spk_expansion_bytes(const spk_image_t *image);

/* Expand the rows of an image into `memory` (8-byte aligned, bytes >= spk_expansion_bytes(image)) and let the view refer
 * to them: engines that start from it afterwards use them, and need spk_engine_ram_bytes(image) anew. `expansion` and
 * `memory` must outlive the view's use. Builds for boards run from the image's own rows regardless.
 * Returns SPK_OK or SPK_ERROR_RAM. */
int spk_expand(spk_image_t *image, spk_expansion_t *expansion, void *memory, size_t bytes);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
