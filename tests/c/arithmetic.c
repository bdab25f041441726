/* operands -> results of our own compiler helpers beside the processor's: prints what differs, and how many were compared.
 * Usage: arithmetic COUNT SEED */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own_names.h" /* the helpers under names of their own */

#include "softfloat/floats.c"
#include "xtensa/integers.c"

static uint64_t state;
static unsigned long differing;
static unsigned long compared_count;

static uint32_t random_word(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* Any word, small ones, those around powers of two, and the edges of both number systems. */
static uint32_t operand(void) {
    static const uint32_t edges[] = {
        0,          0x80000000, 1,          0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000,
        0x7FC00000, 0x3F800000, 0xBF800000, 0x4F000000, 0xCF000000, 0x4F800000, 0xFFFFFFFF, 0x7FFFFFFF, 2,
    };
    switch (random_word() % 8) {
    case 0:
        return edges[random_word() % (sizeof edges / sizeof edges[0])];
    case 1:
        return random_word() & 0x807FFFFFu;
    case 2:
        return (1u << random_word() % 32) + random_word() % 5 - 2;
    case 3:
    case 4:
        return (random_word() & 0x81FFFFFFu) | 0x3E000000u;
    case 5:
        return random_word() >> random_word() % 32;
    default:
        return random_word();
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
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC00000u : bits;
}

static void compare(const char *name, uint64_t ours, uint64_t theirs, uint64_t a, uint64_t b) {
    compared_count++;
    if (ours != theirs && differing++ < 10) {
        printf("%s %llx %llx: %llx, not %llx\n", name, (unsigned long long)a, (unsigned long long)b,
               (unsigned long long)ours, (unsigned long long)theirs);
    }
}

static void compare_floats(uint32_t a, uint32_t b) {
    volatile float x = as_float(a);
    volatile float y = as_float(b);
    compare("add", __addsf3(a, b), as_bits(x + y), a, b);
    compare("sub", __subsf3(a, b), as_bits(x - y), a, b);
    compare("mul", __mulsf3(a, b), as_bits(x * y), a, b);
    compare("div", __divsf3(a, b), as_bits(x / y), a, b);
    compare("from int", __floatsisf((int32_t)a), as_bits((float)(int32_t)a), a, 0);
    compare("from unsigned", __floatunsisf(a), as_bits((float)a), a, 0);
    compare("<", __ltsf2(a, b) < 0, x < y, a, b);
    compare("<=", __lesf2(a, b) <= 0, x <= y, a, b);
    compare(">", __gtsf2(a, b) > 0, x > y, a, b);
    compare(">=", __gesf2(a, b) >= 0, x >= y, a, b);
    compare("==", __eqsf2(a, b) == 0, x == y, a, b);
    compare("!=", __nesf2(a, b) != 0, x != y, a, b);
    if (fabsf(x) < 2147483648.0f) {
        compare("to int", (uint32_t)__fixsfsi(a), (uint32_t)(int32_t)x, a, 0);
    }
    if (x >= 0 && x < 4294967296.0f) {
        compare("to unsigned", __fixunssfsi(a), (uint32_t)x, a, 0);
    }
}

static void compare_integers(uint32_t a, uint32_t b) {
    if (b == 0) {
        return;
    }
    compare("u/", __udivsi3(a, b), a / b, a, b);
    compare("u%", __umodsi3(a, b), a % b, a, b);
    if (!((int32_t)a == INT32_MIN && (int32_t)b == -1)) {
        compare("s/", (uint32_t)__divsi3((int32_t)a, (int32_t)b), (uint32_t)((int32_t)a / (int32_t)b), a, b);
        compare("s%", (uint32_t)__modsi3((int32_t)a, (int32_t)b), (uint32_t)((int32_t)a % (int32_t)b), a, b);
    }
}

static void compare_wide(uint64_t a, uint64_t b) {
    compare("*", __muldi3(a, b), a * b, a, b);
    if (b == 0) {
        return;
    }
    compare("U/", __udivdi3(a, b), a / b, a, b);
    compare("U%", __umoddi3(a, b), a % b, a, b);
    if (!((int64_t)a == INT64_MIN && (int64_t)b == -1)) {
        compare("S/", (uint64_t)__divdi3((int64_t)a, (int64_t)b), (uint64_t)((int64_t)a / (int64_t)b), a, b);
        compare("S%", (uint64_t)__moddi3((int64_t)a, (int64_t)b), (uint64_t)((int64_t)a % (int64_t)b), a, b);
    }
}

int main(int count, char **arguments) {
    unsigned long rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 1000;
    state = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    state = state * 0x9E3779B97F4A7C15u + 1;
    for (unsigned long i = 0; i < rounds; i++) {
        uint32_t a = operand();
        uint32_t b = operand();
        compare_floats(a, b);
        compare_integers(a, b);
        compare_wide((uint64_t)operand() << 32 | a, (uint64_t)(i % 2 ? operand() : 0) << 32 | b);
    }
    printf("%lu of %lu differ\n", differing, compared_count);
    return differing != 0;
}
