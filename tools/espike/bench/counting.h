/* What programs that count instructions in an emulator share. The machine's folder has its counter, its wire, its end. */
#ifndef ESPIKE_COUNTING_H
#define ESPIKE_COUNTING_H

#include <stdint.h>

#include "machine.h"

static inline void put_word(uint32_t word, uint8_t separator) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        put((uint8_t)"0123456789abcdef"[word >> shift & 15u]);
    }
    put(separator);
}

#endif
