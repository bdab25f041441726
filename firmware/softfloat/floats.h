/* What the compiler calls for C's operators on binary32 where the processor has none, in a quarter of libgcc's bytes. Numbers
 * go in and out as their bits: the calling convention is the same, and no function here computes in floating point. */
#ifndef ESPIKE_SOFTFLOAT_H
#define ESPIKE_SOFTFLOAT_H

#include <stdint.h>

/* Calls that the compiler makes while it links are seen too late to keep what they call. */
#define LIBRARY __attribute__((used))

/* What __builtin_clz calls. */
LIBRARY int __clzsi2(uint32_t value);

/* Round half to even, subnormals kept, NaN always 0x7FC00000. */
LIBRARY uint32_t __addsf3(uint32_t a, uint32_t b);
LIBRARY uint32_t __subsf3(uint32_t a, uint32_t b);
LIBRARY uint32_t __mulsf3(uint32_t a, uint32_t b);
LIBRARY uint32_t __divsf3(uint32_t a, uint32_t b);
LIBRARY uint32_t __floatsisf(int32_t value);
LIBRARY uint32_t __floatunsisf(uint32_t value);

/* Towards zero; what the integer cannot hold becomes the nearest that it can, NaN 0. */
LIBRARY uint32_t __fixunssfsi(uint32_t value);
LIBRARY int32_t __fixsfsi(uint32_t value);

/* Below, at or above 0 as a is below, equal to or above b. A NaN is unequal, and neither below nor above. */
LIBRARY int32_t __eqsf2(uint32_t a, uint32_t b);
LIBRARY int32_t __nesf2(uint32_t a, uint32_t b);
LIBRARY int32_t __ltsf2(uint32_t a, uint32_t b);
LIBRARY int32_t __lesf2(uint32_t a, uint32_t b);
LIBRARY int32_t __gtsf2(uint32_t a, uint32_t b);
LIBRARY int32_t __gesf2(uint32_t a, uint32_t b);

#endif
