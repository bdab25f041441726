/* C's operators -> a hash of what each yields over the same operands, a line per operator. For this machine, and by what
 * stands for a processor's arithmetic for a board without it: the lines are to be equal. */
#include <stdint.h>
#include <string.h>

#if __STDC_HOSTED__
#include <stdio.h>
static void put(uint8_t byte) { (void)putchar(byte); }
static void stop(int error) { (void)error; }
#else
#include "counting.h"
#endif

#ifndef COUNT
#define COUNT 20000u
#endif
#define NOT_A_NUMBER 0x7FC00000u

int main(void);

static uint32_t state;

static uint32_t random_word(void) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* Any word, small ones, those of floats near 1, subnormal ones, and edges. */
static uint32_t operand(void) {
    static const uint32_t edges[] = {0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000,
                                     0xFF800000, 0x7FC00000, 0x3F800000, 0xBF800000, 0x4F000000, 0xCF000000,
                                     0x4F800000, 0xFFFFFFFF};
    uint32_t word = random_word();
    switch (random_word() >> 29) {
    case 0:
        return edges[word >> 28];
    case 1:
        return word & 0x807FFFFFu;
    case 2:
        return (word & 0x81FFFFFFu) | 0x3E000000u;
    case 3:
        return word >> (word & 31u);
    default:
        return word;
    }
}

static float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t as_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? NOT_A_NUMBER : bits;
}

static uint64_t wide(uint32_t high, uint32_t low) { return (uint64_t)high << 32 | low; }

typedef uint64_t (*operator_t)(uint32_t a, uint32_t b);

static uint64_t add(uint32_t a, uint32_t b) { return as_bits(as_float(a) + as_float(b)); }
static uint64_t subtract(uint32_t a, uint32_t b) { return as_bits(as_float(a) - as_float(b)); }
static uint64_t multiply(uint32_t a, uint32_t b) { return as_bits(as_float(a) * as_float(b)); }
static uint64_t divide(uint32_t a, uint32_t b) { return as_bits(as_float(a) / as_float(b)); }

static uint64_t compare(uint32_t a, uint32_t b) {
    float x = as_float(a);
    float y = as_float(b);
    return (uint64_t)((x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4 | (x != y) << 5);
}

static uint64_t from_integers(uint32_t a, uint32_t b) { return wide(as_bits((float)(int32_t)a), as_bits((float)b)); }

/* What no integer holds is left out. */
static uint64_t to_integers(uint32_t a, uint32_t b) {
    float x = as_float(a);
    float y = as_float(b);
    uint32_t to_signed = x > -2147483648.0f && x < 2147483648.0f ? (uint32_t)(int32_t)x : 0;
    return wide(to_signed, y > -1.0f && y < 4294967296.0f ? (uint32_t)y : 0);
}

static uint64_t quotients(uint32_t a, uint32_t b) {
    b = b != 0 && b != UINT32_MAX ? b : 3;
    return wide(a / b ^ a % b, (uint32_t)((int32_t)a / (int32_t)b) ^ (uint32_t)((int32_t)a % (int32_t)b));
}

static uint64_t wide_quotients(uint32_t a, uint32_t b) {
    uint64_t n = wide(a, b);
    uint64_t d = wide(a >> (b & 31u), a ^ b) >> (a & 63u);
    d = d != 0 && d != UINT64_MAX ? d : 3;
    return n / d ^ n % d ^ (uint64_t)((int64_t)n / (int64_t)d) ^ (uint64_t)((int64_t)n % (int64_t)d);
}

static uint64_t wide_products(uint32_t a, uint32_t b) { return wide(a, b) * wide(b, ~a); }

static uint64_t wide_shifts(uint32_t a, uint32_t b) {
    uint64_t n = wide(a, b);
    return n << (b & 63u) ^ n >> (a & 63u) ^ (uint64_t)((int64_t)n >> (b & 63u));
}

static void put_hash(operator_t apply) {
    uint32_t hash = 0x811C9DC5u;
    state = 7;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t a = operand();
        uint64_t result = apply(a, operand());
        hash = (hash ^ (uint32_t)result) * 0x01000193u;
        hash = (hash ^ (uint32_t)(result >> 32)) * 0x01000193u;
    }
    for (int shift = 28; shift >= 0; shift -= 4) {
        put((uint8_t)"0123456789abcdef"[hash >> shift & 15u]);
    }
    put('\n');
}

int main(void) {
    static const operator_t operators[] = {add,       subtract,       multiply,      divide,     compare, from_integers,
                                           to_integers, quotients, wide_quotients, wide_products, wide_shifts};
    for (uint32_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        put_hash(operators[i]);
    }
    stop(0);
    return 0;
}
