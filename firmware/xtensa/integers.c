/* division and 64-bit products of a core that has neither */
#include "library.h"

/* The quotient; *rest: what is left. Invariant: dividend before = quotient * divisor << shift + dividend. */
static uint32_t divide_32(uint32_t dividend, uint32_t divisor, uint32_t *rest) {
    *rest = dividend;
    if (divisor == 0) {
        return UINT32_MAX;
    }
    if (dividend < divisor) {
        return 0;
    }
    int shift = __builtin_clz(divisor) - __builtin_clz(dividend);
    uint32_t quotient = 0;
    for (divisor <<= shift; shift >= 0; shift--, divisor >>= 1) {
        uint32_t fits = dividend >= divisor;
        quotient = quotient << 1 | fits;
        dividend -= fits ? divisor : 0;
    }
    *rest = dividend;
    return quotient;
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t rest;
    return divide_32(dividend, divisor, &rest);
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t rest;
    (void)divide_32(dividend, divisor, &rest);
    return rest;
}

static uint32_t magnitude_32(int32_t value) { return value < 0 ? 0u - (uint32_t)value : (uint32_t)value; }

int32_t __divsi3(int32_t dividend, int32_t divisor) {
    uint32_t quotient = __udivsi3(magnitude_32(dividend), magnitude_32(divisor));
    return (int32_t)((dividend ^ divisor) < 0 ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t dividend, int32_t divisor) {
    uint32_t rest = __umodsi3(magnitude_32(dividend), magnitude_32(divisor));
    return (int32_t)(dividend < 0 ? 0u - rest : rest);
}

static int leading_zeros_64(uint64_t value) {
    uint32_t high = (uint32_t)(value >> 32);
    return high != 0 ? __builtin_clz(high) : 32 + __builtin_clz((uint32_t)value);
}

static uint64_t divide_64(uint64_t dividend, uint64_t divisor, uint64_t *rest) {
    *rest = dividend;
    if (divisor == 0) {
        return UINT64_MAX;
    }
    if (dividend < divisor) {
        return 0;
    }
    int shift = leading_zeros_64(divisor) - leading_zeros_64(dividend);
    uint64_t quotient = 0;
    for (divisor <<= shift; shift >= 0; shift--, divisor >>= 1) {
        quotient <<= 1;
        if (dividend >= divisor) {
            dividend -= divisor;
            quotient |= 1;
        }
    }
    *rest = dividend;
    return quotient;
}

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
    uint64_t rest;
    return divide_64(dividend, divisor, &rest);
}

uint64_t __umoddi3(uint64_t dividend, uint64_t divisor) {
    uint64_t rest;
    (void)divide_64(dividend, divisor, &rest);
    return rest;
}

static uint64_t magnitude_64(int64_t value) { return value < 0 ? 0u - (uint64_t)value : (uint64_t)value; }

int64_t __divdi3(int64_t dividend, int64_t divisor) {
    uint64_t quotient = __udivdi3(magnitude_64(dividend), magnitude_64(divisor));
    return (int64_t)((dividend ^ divisor) < 0 ? 0u - quotient : quotient);
}

int64_t __moddi3(int64_t dividend, int64_t divisor) {
    uint64_t rest = __umoddi3(magnitude_64(dividend), magnitude_64(divisor));
    return (int64_t)(dividend < 0 ? 0u - rest : rest);
}

/* a b = low low + (high low + low high) 2^32 modulo 2^64; the first from products of 16 bits, whose middle ones, and what
 * the lowest carries, fit 33 bits: the carry is added apart. */
uint64_t __muldi3(uint64_t a, uint64_t b) {
    uint32_t a_low = (uint32_t)a;
    uint32_t b_low = (uint32_t)b;
    uint32_t a0 = a_low & 0xFFFFu;
    uint32_t a1 = a_low >> 16;
    uint32_t b0 = b_low & 0xFFFFu;
    uint32_t b1 = b_low >> 16;
    uint32_t middle = a1 * b0 + (a0 * b0 >> 16); /* below 2^32 */
    uint32_t sum = a0 * b1 + middle;
    uint32_t carry = sum < middle ? 0x10000u : 0;
    uint32_t high = a1 * b1 + (sum >> 16) + carry + (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    return (uint64_t)high << 32 | a_low * b_low;
}
