/* memory blocks, for boards without a C library */
#include <string.h>

#include <stdint.h>

__attribute__((used)) void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    for (; count != 0; count--) {
        *out++ = *in++;
    }
    return to;
}

__attribute__((used)) void *memmove(void *to, const void *from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if (out <= in) {
        return memcpy(to, from, count);
    }
    while (count != 0) {
        count--;
        out[count] = in[count];
    }
    return to;
}

__attribute__((used)) void *memset(void *to, int value, size_t count) {
    uint8_t *out = to;
    uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count != 0 && ((uintptr_t)out & 3u) != 0; count--) {
        *out++ = (uint8_t)value;
    }
    for (; count >= 4; count -= 4, out += 4) {
        *(uint32_t *)(void *)out = word;
    }
    for (; count != 0; count--) {
        *out++ = (uint8_t)value;
    }
    return to;
}

__attribute__((used)) int memcmp(const void *a, const void *b, size_t count) {
    const uint8_t *left = a;
    const uint8_t *right = b;
    for (; count != 0; count--, left++, right++) {
        if (*left != *right) {
            return *left < *right ? -1 : 1;
        }
    }
    return 0;
}
