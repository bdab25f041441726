/* codes -> packed bytes -> codes, of every width and many counts, in memory of exactly their size: a sanitizer sees any
 * step outside. The bytes are checked bit by bit. Prints the cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../c_core/src/bitpack.h"

#define MOST 1100u
#define GUARD 40u

static uint32_t seed = 1;

static uint32_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static uint8_t *memory(size_t count) {
    uint8_t *made = malloc(count != 0 ? count : 1);
    if (made == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        made[i] = (uint8_t)draw();
    }
    return made;
}

static void need(int fine, const char *what, uint32_t bits, uint32_t count) {
    if (!fine) {
        printf("%s: %u codes of %u bits\n", what, (unsigned)count, (unsigned)bits);
        exit(1);
    }
}

/* `room` bytes may be touched, of which the packed codes take the first. */
static void check(uint32_t bits, uint32_t count, size_t room) {
    size_t size = spk_packed_bytes(count, bits);
    need(size == ((size_t)count * bits + 7) / 8, "size", bits, count);
    uint8_t *codes = memory(count);
    uint8_t *bytes = memory(room);
    uint8_t *again = memory(count);
    int error = room == size ? spk_pack_bits(bytes, codes, count, bits) : bitpack_pack(bytes, room, codes, count, bits);
    need(error == SPK_OK, "pack", bits, count);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        uint32_t wanted = bit < (size_t)count * bits ? (uint32_t)codes[bit / bits] >> bit % bits & 1u : 0;
        need(((uint32_t)bytes[bit / 8] >> bit % 8 & 1u) == wanted, "bit", bits, count);
    }
    error = room == size ? spk_unpack_bits(again, bytes, count, bits) : bitpack_unpack(again, bytes, room, count, bits);
    need(error == SPK_OK, "unpack", bits, count);
    for (uint32_t i = 0; i < count; i++) {
        need(again[i] == (codes[i] & ((1u << bits) - 1)), "code", bits, count);
    }
    free(codes);
    free(bytes);
    free(again);
}

int main(void) {
    static const uint32_t no_widths[] = {0, 9, 16, 255, 0x80000001u, UINT32_MAX};
    uint8_t byte = 0;
    unsigned cases = 0;
    for (uint32_t bits = 1; bits <= 8; bits++) {
        for (uint32_t count = 0; count <= MOST; count++, cases++) {
            check(bits, count, spk_packed_bytes(count, bits));
            check(bits, count, spk_packed_bytes(count, bits) + draw() % GUARD + 1);
        }
    }
    for (size_t i = 0; i < sizeof no_widths / sizeof no_widths[0]; i++) {
        need(spk_pack_bits(&byte, &byte, 0, no_widths[i]) == SPK_ERROR_PARAMETER, "no width", no_widths[i], 0);
        need(spk_unpack_bits(&byte, &byte, 0, no_widths[i]) == SPK_ERROR_PARAMETER, "no width", no_widths[i], 0);
    }
    printf("%u\n", cases);
    return 0;
}
