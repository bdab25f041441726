/* special registers of an Xtensa core, and what start.S calls */
#ifndef ESPIKE_XTENSA_CORE_H
#define ESPIKE_XTENSA_CORE_H

#include <stdint.h>

#define XTENSA_TIMER_INTERRUPT (1u << 6) /* CCOUNT has come to CCOMPARE0; level 1, as every interrupt used here */

/* A port's. A level-1 interrupt is pending and enabled; anything that is a bug has come to an exception. */
void xtensa_interrupt(void);
void xtensa_trap(void);

static inline uint32_t xtensa_cycles(void) {
    uint32_t count;
    __asm__ volatile("rsr.ccount %0" : "=a"(count)::"memory");
    return count;
}

/* The interrupt of the timer comes `after` cycles from now; one that is pending ends. */
static inline void xtensa_compare(uint32_t at) {
    __asm__ volatile("wsr.ccompare0 %0\n\tesync" ::"a"(at) : "memory");
}

static inline void xtensa_enable(uint32_t interrupts) {
    __asm__ volatile("wsr.intenable %0\n\trsync" ::"a"(interrupts) : "memory");
}

static inline uint32_t xtensa_pending(void) {
    uint32_t interrupts;
    __asm__ volatile("rsr.interrupt %0" : "=a"(interrupts)::"memory");
    return interrupts;
}

/* Hold interrupts back; `xtensa_wait` or `xtensa_release` lets them through. */
static inline void xtensa_hold(void) {
    uint32_t before;
    __asm__ volatile("rsil %0, 1" : "=a"(before)::"memory");
}

static inline void xtensa_release(void) {
    uint32_t before;
    __asm__ volatile("rsil %0, 0" : "=a"(before)::"memory");
}

/* Let interrupts through and stop the core until one has been served. */
static inline void xtensa_wait(void) { __asm__ volatile("waiti 0" ::: "memory"); }

#endif
