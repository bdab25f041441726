/* frames of 512 values -> nanoseconds per frame: push and decode at every width, beside a plain pass over the frame.
 *
 * Prints lines "name nanoseconds", medians of rounds that take all of them in turn. Callers divide by `pass`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "espike/bitpack.h"
#include "espike/segment.h"
#include "vector.h"

#define LENGTH 512
#define FRAMES 100
#define ROUNDS 41
#define WIDTHS 4
#define CODES 4096

static const uint8_t widths[WIDTHS] = {8, 7, 5, 3};
static float frames[FRAMES][LENGTH];
static float decoded[LENGTH];
static uint8_t buffers[WIDTHS][FRAMES * LENGTH + 1024];
static uint64_t work[4096];
static uint8_t codes[CODES];
static uint8_t packed[CODES];
static volatile uint32_t sink;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The plain pass: largest magnitude of a frame, compiled as the codec is. */
SPK_CLONES __attribute__((noinline)) static uint32_t pass(const float *values) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < LENGTH; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    return most;
}

static double time_pass(void) {
    double begin = now_ns();
    for (int f = 0; f < FRAMES; f++) {
        sink = pass(frames[f]);
    }
    return (now_ns() - begin) / FRAMES;
}

static spk_segment_t segments[WIDTHS];

static double time_push(int w) {
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    uint32_t detail;
    spk_segment_policy_default(&policy);
    memset(policy.bits, widths[w], sizeof policy.bits);
    double begin = now_ns();
    int error = spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_QUANTIZED, LENGTH, work, sizeof work, buffers[w],
                                        sizeof buffers[w], 0);
    for (int f = 0; error == 0 && f < FRAMES; f++) {
        error = spk_segment_push(&writer, frames[f], SPK_VALUES_FLOAT32, 0, &detail) - 1;
    }
    uint32_t bytes = spk_segment_close(&writer);
    double end = now_ns();
    if (error != 0 || spk_segment_open(&segments[w], buffers[w], bytes, &detail) != 0) {
        exit(1);
    }
    return (end - begin) / FRAMES;
}

static double time_decode(int w) {
    spk_segment_reader_t reader;
    double begin = now_ns();
    spk_segment_reader_init(&reader, &segments[w], NULL, NULL, 0);
    for (uint32_t f = 0; f < FRAMES; f++) {
        spk_segment_read(&reader, f, decoded);
        sink = (uint32_t)decoded[f];
    }
    return (now_ns() - begin) / FRAMES;
}

/* Nanoseconds for CODES codes, the slower of packing and unpacking. */
static double time_bits(uint32_t bits) {
    double begin = now_ns();
    for (int i = 0; i < 20; i++) {
        spk_pack_bits(packed, codes, CODES, bits);
        sink = packed[i];
    }
    double middle = now_ns();
    for (int i = 0; i < 20; i++) {
        spk_unpack_bits(codes, packed, CODES, bits);
        sink = codes[i];
    }
    double end = now_ns();
    return (middle - begin > end - middle ? middle - begin : end - middle) / 20;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_median(const char *name, int number, double *times) {
    qsort(times, ROUNDS, sizeof *times, ascending);
    printf("%s%d %.2f\n", name, number, times[ROUNDS / 2]);
}

int main(void) {
    static double passes[ROUNDS], pushes[WIDTHS][ROUNDS], decodes[WIDTHS][ROUNDS], bits[8][ROUNDS];
    uint32_t seed = 1;
    for (int i = 0; i < FRAMES * LENGTH; i++) {
        seed = seed * 1664525u + 1013904223u;
        frames[i / LENGTH][i % LENGTH] = (float)(int32_t)seed * (0.99f / 2147483648.0f);
    }
    for (int r = 0; r < ROUNDS; r++) {
        passes[r] = time_pass();
        for (int w = 0; w < WIDTHS; w++) {
            pushes[w][r] = time_push(w);
            decodes[w][r] = time_decode(w);
        }
        for (uint32_t b = 1; b < 8; b++) {
            bits[b][r] = time_bits(b);
        }
    }
    print_median("pass", 0, passes);
    for (int w = 0; w < WIDTHS; w++) {
        print_median("push", widths[w], pushes[w]);
        print_median("decode", widths[w], decodes[w]);
    }
    for (int b = 1; b < 8; b++) {
        print_median("bits", b, bits[b]);
    }
    return 0;
}
