/* codes of 1 to 8 bits <-> bytes without a gap. */
#ifndef ESPIKE_BITPACK_H
#define ESPIKE_BITPACK_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* Bytes that `count` codes of `bits` bits take: ceil(count * bits / 8). */
size_t spk_packed_bytes(size_t count, uint32_t bits);

/* Pack `count` codes, each below 2^bits, into spk_packed_bytes(count, bits) bytes: the first code in the lowest bits of
 * the first byte; the bits left over in the last byte are zero. Returns 0, or SPK_ERROR_PARAMETER where bits is not
 * 1..8. Higher bits of a code are ignored. `bytes` and `codes` do not overlap. */
int spk_pack_bits(uint8_t *bytes, const uint8_t *codes, size_t count, uint32_t bits);

/* The reverse: `count` codes from spk_packed_bytes(count, bits) bytes; no byte behind them is read. */
int spk_unpack_bits(uint8_t *codes, const uint8_t *bytes, size_t count, uint32_t bits);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
