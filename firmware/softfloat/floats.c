/* binary32 by integers: sums, products, quotients, conversions, comparisons */
#include "floats.h"

#define SIGN 0x80000000u
#define INFINITE 0x7F800000u
#define NOT_A_NUMBER 0x7FC00000u
#define FRACTION_BITS 23
#define FRACTION 0x007FFFFFu
#define HIDDEN 0x00800000u
#define LARGEST_EXPONENT 254
#define BIAS 127

/* In here a number other than 0 is significand * 2^(exponent - BIAS - TOP), its highest bit at TOP: the 7 bits below a
 * fraction's last decide how it is rounded, and the lowest of them also stands for all that has been shifted out. */
#define TOP 30
#define ROUND_BITS (TOP - FRACTION_BITS)

#ifndef __XTENSA__
/* Zeros before the highest one; not for 0. */
int __clzsi2(uint32_t value) {
    int count = 0;
    for (int step = 16; step != 0; step >>= 1) {
        if (value >> (32 - step) == 0) {
            value <<= step;
            count += step;
        }
    }
    return count;
}
#endif

static uint32_t shift_sticky(uint32_t value, int32_t shift) {
    if (shift >= 32) {
        return value != 0;
    }
    return shift == 0 ? value : value >> shift | (value << (32 - shift) != 0);
}

/* The nearest binary32, of two the even one. Significand 0 is zero. */
static uint32_t rounded(uint32_t sign, int32_t exponent, uint32_t significand) {
    if (exponent < 1) {
        significand = shift_sticky(significand, 1 - exponent);
        exponent = 1;
    }
    uint32_t half = 1u << (ROUND_BITS - 1);
    uint32_t rest = significand & (2 * half - 1);
    uint32_t fraction = significand >> ROUND_BITS;
    fraction += rest > half || (rest == half && (fraction & 1u) != 0);
    /* the hidden bit, if there is one, adds 1 to the exponent; so does a fraction that rounding has filled */
    uint32_t bits = ((uint32_t)(exponent - 1) << FRACTION_BITS) + fraction;
    return sign | (exponent > LARGEST_EXPONENT || bits > INFINITE ? INFINITE : bits);
}

static uint32_t normalised(uint32_t sign, int32_t exponent, uint32_t significand) {
    if (significand == 0) {
        return sign;
    }
    if (significand >> (TOP + 1) != 0) {
        significand = significand >> 1 | (significand & 1u);
        exponent++;
    }
    if (significand >> TOP == 0) {
        int32_t shift = __builtin_clz(significand) - (31 - TOP);
        significand <<= shift;
        exponent -= shift;
    }
    return rounded(sign, exponent, significand);
}

/* Of a finite number: its fraction with the hidden bit, at TOP unless it is subnormal. */
static uint32_t unpacked(uint32_t bits, int32_t *exponent) {
    uint32_t fraction = bits & FRACTION;
    *exponent = (int32_t)(bits >> FRACTION_BITS & 0xFFu);
    if (*exponent == 0) {
        *exponent = 1;
        return fraction << ROUND_BITS;
    }
    return (fraction | HIDDEN) << ROUND_BITS;
}

uint32_t __addsf3(uint32_t a, uint32_t b) {
    if ((a & ~SIGN) < (b & ~SIGN)) {
        uint32_t larger = b;
        b = a;
        a = larger;
    }
    uint32_t differ = (a ^ b) & SIGN;
    if ((a & ~SIGN) >= INFINITE) {
        int undefined = (a & ~SIGN) > INFINITE || (differ != 0 && (b & ~SIGN) == INFINITE);
        return undefined ? NOT_A_NUMBER : a;
    }
    int32_t exponent;
    int32_t smaller_exponent;
    uint32_t significand = unpacked(a, &exponent);
    uint32_t smaller = unpacked(b, &smaller_exponent);
    smaller = shift_sticky(smaller, exponent - smaller_exponent);
    significand = differ ? significand - smaller : significand + smaller;
    uint32_t sign = differ && significand == 0 ? 0 : a & SIGN;
    return normalised(sign, exponent, significand);
}

uint32_t __subsf3(uint32_t a, uint32_t b) { return __addsf3(a, b ^ SIGN); }

/* The upper 31 or 32 of the 48 bits of a product of 24-bit numbers; sticky. */
#ifdef __riscv_mul
static uint32_t product_48(uint32_t a, uint32_t b) {
    uint64_t product = (uint64_t)a * b;
    return (uint32_t)(product >> 17) | (((uint32_t)product & 0x1FFFFu) != 0);
}
#else
/* From products of 12 bits: cores without the upper half of a product make it by a call. */
static uint32_t product_48(uint32_t a, uint32_t b) {
    uint32_t a0 = a & 0xFFFu;
    uint32_t a1 = a >> 12;
    uint32_t b0 = b & 0xFFFu;
    uint32_t b1 = b >> 12;
    uint32_t low = a0 * b0;
    uint32_t middle = a0 * b1 + a1 * b0 + (low >> 12);
    uint32_t high = a1 * b1 + (middle >> 12);
    uint32_t rest = (middle & 0xFFFu) << 12 | (low & 0xFFFu);
    return high << 7 | rest >> 17 | ((rest & 0x1FFFFu) != 0);
}
#endif

/* A number other than 0: its significand as a 24-bit number whose highest bit is set. */
static uint32_t factor(uint32_t bits, int32_t *exponent) {
    uint32_t significand = unpacked(bits, exponent);
    if (significand >> TOP == 0) {
        int32_t shift = __builtin_clz(significand) - (31 - TOP);
        *exponent -= shift;
        significand <<= shift;
    }
    return significand >> ROUND_BITS;
}

uint32_t __mulsf3(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & SIGN;
    uint32_t a_size = a & ~SIGN;
    uint32_t b_size = b & ~SIGN;
    if (a_size >= INFINITE || b_size >= INFINITE) {
        int undefined = a_size > INFINITE || b_size > INFINITE || a_size == 0 || b_size == 0;
        return undefined ? NOT_A_NUMBER : sign | INFINITE;
    }
    if (a_size == 0 || b_size == 0) {
        return sign;
    }
    int32_t a_exponent;
    int32_t b_exponent;
    uint32_t product = product_48(factor(a, &a_exponent), factor(b, &b_exponent));
    return normalised(sign, a_exponent + b_exponent - BIAS + 1, product);
}

uint32_t __divsf3(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & SIGN;
    uint32_t a_size = a & ~SIGN;
    uint32_t b_size = b & ~SIGN;
    if (a_size > INFINITE || b_size > INFINITE || (a_size == b_size && (a_size == 0 || a_size == INFINITE))) {
        return NOT_A_NUMBER;
    }
    if (a_size == INFINITE || b_size == 0) {
        return sign | INFINITE;
    }
    if (a_size == 0 || b_size == INFINITE) {
        return sign;
    }
    int32_t a_exponent;
    int32_t b_exponent;
    uint32_t rest = factor(a, &a_exponent);
    uint32_t divisor = factor(b, &b_exponent);
    uint32_t quotient = 0;
    for (int i = 0; i <= TOP; i++) { /* the bit of 2^0 first: rest < 2 * divisor */
        quotient = quotient << 1 | (rest >= divisor);
        rest = (rest >= divisor ? rest - divisor : rest) << 1;
    }
    return normalised(sign, a_exponent - b_exponent + BIAS, quotient | (rest != 0));
}

uint32_t __floatunsisf(uint32_t value) { return normalised(0, BIAS + TOP, value); }

uint32_t __floatsisf(int32_t value) {
    uint32_t size = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    return normalised((uint32_t)value & SIGN, BIAS + TOP, size);
}

uint32_t __fixunssfsi(uint32_t value) {
    int32_t exponent = (int32_t)(value >> FRACTION_BITS & 0xFFu) - BIAS;
    if ((value & SIGN) != 0 || exponent < 0 || (value & ~SIGN) > INFINITE) {
        return 0;
    }
    if (exponent > 31) {
        return UINT32_MAX;
    }
    uint32_t fraction = (value & FRACTION) | HIDDEN;
    return exponent > FRACTION_BITS ? fraction << (exponent - FRACTION_BITS) : fraction >> (FRACTION_BITS - exponent);
}

int32_t __fixsfsi(uint32_t value) {
    uint32_t size = __fixunssfsi(value & ~SIGN);
    if ((value & SIGN) != 0) {
        return size > INT32_MAX ? INT32_MIN : -(int32_t)size;
    }
    return size > INT32_MAX ? INT32_MAX : (int32_t)size;
}

/* Numbers as integers in their order; 0 and -0 are one. */
static int32_t ordered(uint32_t bits) {
    int32_t size = (int32_t)(bits & ~SIGN);
    return (bits & SIGN) != 0 ? -size : size;
}

static int32_t compared(uint32_t a, uint32_t b, int32_t unordered) {
    if ((a & ~SIGN) > INFINITE || (b & ~SIGN) > INFINITE) {
        return unordered;
    }
    return (ordered(a) > ordered(b)) - (ordered(a) < ordered(b));
}

int32_t __lesf2(uint32_t a, uint32_t b) { return compared(a, b, 1); }
int32_t __ltsf2(uint32_t a, uint32_t b) { return compared(a, b, 1); }
int32_t __eqsf2(uint32_t a, uint32_t b) { return compared(a, b, 1); }
int32_t __nesf2(uint32_t a, uint32_t b) { return compared(a, b, 1); }
int32_t __gesf2(uint32_t a, uint32_t b) { return compared(a, b, -1); }
int32_t __gtsf2(uint32_t a, uint32_t b) { return compared(a, b, -1); }
