/* images on standard input -> verdicts: opens each, runs what is accepted. Built under sanitizers.
 *
 * Standard input holds images, each behind its length in 4 bytes (little-endian). One line per image: the error code
 * and offset of a refusal; `ok` and the state hash after the bursts of an image that ran; `large` where its network
 * is too big to be run here. With -DFUZZER the same is a libFuzzer target that repairs the CRCs of what it is given,
 * so that mutations reach the checks behind them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espike/engine.h"
#include "espike/link.h"

#define BURSTS 20
#define MOST_RAM (8u << 20)

static const spk_kernel_t *kernel_for(uint8_t precision) {
    return precision == SPK_PRECISION_FP32   ? &spk_kernel_fp32_learning
           : precision == SPK_PRECISION_FP16 ? &spk_kernel_fp16_learning
                                             : &spk_kernel_int8_learning;
}

/* A checked copy of the bytes in memory of exactly their size, so that a sanitizer sees any step outside. */
static int open_copy(spk_image_t *image, const uint8_t *data, size_t size, uint8_t **copy) {
    *copy = malloc(size != 0 ? size : 1);
    if (*copy == NULL) {
        abort();
    }
    memcpy(*copy, data, size);
    return spk_image_open(image, *copy, size);
}

/* Every neuron that takes it gets the largest stimulus in every burst: all rows are read. */
static void run_bursts(spk_engine_t *engine) {
    for (int burst = 0; burst < BURSTS; burst++) {
        for (uint32_t n = 0; n < engine->image->neuron_count; n += 1 + n / 512) {
            uint32_t value = engine->image->precision != SPK_PRECISION_INT8 ? 0x42C80000u : 100u;
            (void)spk_engine_inject(engine, n, value);
        }
        (void)spk_engine_burst(engine);
    }
    for (uint32_t n = 0; engine->image->precision == SPK_PRECISION_FP32 && n < engine->image->neuron_count; n++) {
        if ((spk_engine_potential(engine, n) & 0x7F800000u) == 0x7F800000u) {
            abort(); /* an accepted image never leaves a potential that is not finite */
        }
    }
}

/* Returns 0 where the network is too big, 1 where it ran; the engine's hash is left in `hash`. */
static int run(const spk_image_t *image, uint32_t *hash) {
    size_t bytes = spk_engine_ram_bytes(image);
    spk_engine_t engine;
    if (bytes > MOST_RAM) {
        return 0;
    }
    void *ram = malloc(bytes != 0 ? bytes : 1);
    if (ram == NULL) {
        abort();
    }
    int error = spk_engine_init(&engine, image, kernel_for(image->precision), ram, bytes, 1);
    if (error != SPK_OK) {
        free(ram);
        if (error != SPK_ERROR_LAYOUT || image->learning_count == 0) { /* a learning record at fault */
            abort();
        }
        return 0;
    }
    run_bursts(&engine);
    memcpy(hash, engine.potential_hash, sizeof engine.potential_hash);
    free(ram);
    return 1;
}

#ifdef FUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Right CRCs for whatever the header says, as far as it says something possible. */
static void seal(uint8_t *image, size_t size) {
    if (size < SPK_IMAGE_HEADER_BYTES) {
        return;
    }
    uint32_t total = get32(image + 8);
    uint32_t end = get32(image + 60);
    if (end < SPK_IMAGE_HEADER_BYTES || end > total || total > size) {
        return;
    }
    uint32_t stored = end;
    for (uint32_t begin = SPK_IMAGE_HEADER_BYTES; begin < end && total - stored >= 4; begin += SPK_IMAGE_BLOCK_BYTES) {
        uint32_t count = end - begin < SPK_IMAGE_BLOCK_BYTES ? end - begin : SPK_IMAGE_BLOCK_BYTES;
        put32(image + stored, spk_crc32(0, image + begin, count));
        stored += 4;
    }
    uint32_t crc = spk_crc32(0, image, 12);
    crc = spk_crc32(crc, image + 16, SPK_IMAGE_HEADER_BYTES - 16);
    put32(image + 12, spk_crc32(crc, image + end, total - end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    spk_image_t image;
    uint8_t *copy;
    uint32_t hash[2];
    uint8_t *sealed = malloc(size != 0 ? size : 1);
    if (sealed == NULL) {
        abort();
    }
    memcpy(sealed, data, size);
    seal(sealed, size);
    if (open_copy(&image, sealed, size, &copy) == SPK_OK) {
        (void)run(&image, hash);
    } else if (image.error_offset > size) {
        abort();
    }
    free(copy);
    free(sealed);
    return 0;
}

#else

static void judge(const uint8_t *data, size_t size) {
    spk_image_t image;
    uint8_t *copy;
    uint32_t hash[2];
    int error = open_copy(&image, data, size, &copy);
    if (error != SPK_OK) {
        printf("%d %u\n", error, (unsigned)image.error_offset);
    } else if (run(&image, hash)) {
        printf("ok %08x%08x\n", (unsigned)hash[0], (unsigned)hash[1]);
    } else {
        printf("large %zu\n", spk_engine_ram_bytes(&image));
    }
    fflush(stdout);
    free(copy);
}

int main(void) {
    uint8_t length[4];
    while (fread(length, 1, sizeof length, stdin) == sizeof length) {
        size_t size = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
        uint8_t *data = malloc(size != 0 ? size : 1);
        if (data == NULL || fread(data, 1, size, stdin) != size) {
            return 2;
        }
        judge(data, size);
        free(data);
    }
    return 0;
}

#endif
