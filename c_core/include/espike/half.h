/* binary16 <-> binary32, in integers: the scales of a segment. */
#ifndef ESPIKE_HALF_H
#define ESPIKE_HALF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* Bits of the binary16 nearest to a binary32 given by its bits; ties go away from zero, 65,520 and more are infinite,
 * a NaN keeps the upper bits of its payload and sets bit 0. */
uint16_t spk_half_from_float_bits(uint32_t bits);

/* Bits of the binary32 that equals a binary16; exact, subnormals and NaN payloads included. */
uint32_t spk_half_to_float_bits(uint16_t half);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
