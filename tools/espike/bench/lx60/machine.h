/* QEMU's lx60-nommu board under -icount shift=7: an instruction takes 128 ns, in which CCOUNT counts 5.12 cycles. */
#ifndef ESPIKE_MACHINE_H
#define ESPIKE_MACHINE_H

#include <stdint.h>

#include "xtensa/core.h"

#define UART_DATA (*(volatile uint32_t *)0x9D050020u)
#define UART_STATUS (*(volatile uint32_t *)0x9D050034u)
#define STATUS_ROOM 32u
#define TRAPPED 99

static inline uint32_t counter(void) { return xtensa_cycles(); }

/* Cycles * 25 / 128, rounded: CCOUNT may be off by one. */
static inline uint32_t instructions_since(uint32_t begin) {
    uint32_t cycles = counter() - begin;
    return cycles / 128u * 25u + (cycles % 128u * 25u + 64u) / 128u;
}

static inline void put(uint8_t byte) {
    while (!(UART_STATUS & STATUS_ROOM)) {
    }
    UART_DATA = byte;
}

/* Stop the machine by its call 1; a failure's status is the core's error code without its sign. */
__attribute__((noreturn)) static inline void stop(int error) {
    register uint32_t call __asm__("a2") = 1;
    register int status __asm__("a3") = error < 0 ? -error : 0;
    __asm__ volatile("simcall" ::"a"(call), "a"(status) : "memory");
    for (;;) {
    }
}

/* What start.S has for exceptions and interrupts: there should be none. */
void xtensa_trap(void) { stop(-TRAPPED); }

void xtensa_interrupt(void) { stop(-TRAPPED); }

#endif
