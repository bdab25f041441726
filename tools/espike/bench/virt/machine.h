/* QEMU's riscv32 virt board under -icount shift=0: minstret counts instructions. */
#ifndef ESPIKE_MACHINE_H
#define ESPIKE_MACHINE_H

#include <stdint.h>

#define UART_DATA (*(volatile uint8_t *)0x10000000u)
#define UART_STATUS (*(volatile uint8_t *)0x10000005u)
#define STATUS_ROOM 32u
#define TEST_DEVICE (*(volatile uint32_t *)0x00100000u)
#define TEST_PASS 0x5555u
#define TEST_FAIL 0x3333u

static inline uint32_t counter(void) {
    uint32_t count;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(count)::"memory");
    return count;
}

static inline uint32_t instructions_since(uint32_t begin) { return counter() - begin; }

static inline void put(uint8_t byte) {
    while (!(UART_STATUS & STATUS_ROOM)) {
    }
    UART_DATA = byte;
}

/* Stop the machine; a failure's status is the core's error code without its sign. */
__attribute__((noreturn)) static inline void stop(int error) {
    TEST_DEVICE = error < 0 ? (uint32_t)-error << 16 | TEST_FAIL : TEST_PASS;
    for (;;) {
    }
}

#endif
