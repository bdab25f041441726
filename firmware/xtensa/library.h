/* What the compiler calls for C's operators on integers and the compiler library of the lx106 core leaves out. */
#ifndef ESPIKE_XTENSA_LIBRARY_H
#define ESPIKE_XTENSA_LIBRARY_H

#include <stdint.h>

/* Quotients towards zero, rests with the sign of the dividend. By zero: all bits set, and the dividend as the rest. */
uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);
int32_t __divsi3(int32_t dividend, int32_t divisor);
int32_t __modsi3(int32_t dividend, int32_t divisor);
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);
uint64_t __umoddi3(uint64_t dividend, uint64_t divisor);
int64_t __divdi3(int64_t dividend, int64_t divisor);
int64_t __moddi3(int64_t dividend, int64_t divisor);

/* The low 64 bits of a product. */
uint64_t __muldi3(uint64_t a, uint64_t b);

#endif
