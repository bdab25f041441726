/* nothing -> instructions of a burst of 1,024 and of 2,048 neurons in a float kernel written by hand, counted on QEMU.
 *
 * What a programmer writes for one leaky float neuron in an array, with the limits of docs/numbers.md: the engine's fp32
 * kernel, made from the source that serves all number types, is held against it. Same inputs as `per_neuron` gives. */
#include "counting.h"

#define MOST 2048
#define POTENTIAL_MOST 3e38f

int main(void);

static float potential[MOST];
static float input[MOST];
static uint32_t firing[MOST / 32];
static uint32_t saturations;

static void fill(uint32_t count) {
    for (uint32_t n = 0; n < count; n++) {
        input[n] = (float)(100 + n % 50);
    }
}

__attribute__((noinline)) static void burst(uint32_t count, float threshold, float retained) {
    for (uint32_t n = 0; n < count; n++) {
        float v = potential[n] + input[n];
        input[n] = -0.0f;
        if (v > POTENTIAL_MOST || v < -POTENTIAL_MOST) {
            saturations++;
            v = v > 0 ? POTENTIAL_MOST : -POTENTIAL_MOST;
        }
        if (v < threshold) {
            v *= retained;
        } else {
            v = 0;
            firing[n >> 5] |= 1u << (n & 31u);
        }
        potential[n] = v;
    }
}

int main(void) {
    for (uint32_t count = MOST / 2; count <= MOST; count *= 2) {
        for (uint32_t n = 0; n < count; n++) {
            potential[n] = 0;
        }
        fill(count);
        burst(count, 1016.0f, 0.9375f);
        fill(count);
        uint32_t begin = counter();
        burst(count, 1016.0f, 0.9375f);
        put_word(instructions_since(begin), '\n');
    }
    stop(0);
}
