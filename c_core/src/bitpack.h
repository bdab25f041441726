/* Packing for callers that own more than the packed bytes: `room` >= spk_packed_bytes(count, bits) may be written with
 * anything, or read, which lets whole registers run to the end. */
#ifndef ESPIKE_BITPACK_ROOM_H
#define ESPIKE_BITPACK_ROOM_H

#include "espike/bitpack.h"

int bitpack_pack(uint8_t *bytes, size_t room, const uint8_t *codes, size_t count, uint32_t bits);
int bitpack_unpack(uint8_t *codes, const uint8_t *bytes, size_t room, size_t count, uint32_t bits);

#endif
