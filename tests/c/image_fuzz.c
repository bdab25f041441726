/* images on standard input -> verdicts: opens each, runs what is accepted. Built under sanitizers.
 *
 * Standard input holds images, each behind its length in 4 bytes (little-endian). One line per image: the error code
 * and offset of a refusal; `ok`, the state hash after the bursts of an image that ran, and what became of its senses
 * (`none`, `refused` or `presented`); `large` where its network is too big to be run here; `models` where a learning
 * record or a neuron model is at fault. With -DFUZZER the same is a libFuzzer target that repairs the CRCs of what it is given,
 * so that mutations reach the checks behind them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espike/engine.h"
#include "espike/link.h"
#include "espike/senses.h"

#define BURSTS 20
#define MOST_RAM (8u << 20)
#define PRESENTED_BURSTS 24

enum { TOO_LARGE, REFUSED, RAN };

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
}

static void check_potentials(const spk_engine_t *engine) {
    for (uint32_t n = 0; engine->image->precision == SPK_PRECISION_FP32 && n < engine->image->neuron_count; n++) {
        if ((spk_engine_potential(engine, n) & 0x7F800000u) == 0x7F800000u) {
            abort(); /* an accepted image never leaves a potential that is not finite */
        }
    }
}

/* A presentation, or its begin: raw values from one end of int32 to the other, and all between. */
static void present(spk_senses_t *senses, spk_engine_t *engine) {
    static const int32_t ends[] = {INT32_MIN, INT32_MAX, -1, 0, 1, 255, -70000, 1 << 24};
    int32_t *raw = calloc(senses->channels, sizeof *raw);
    if (raw == NULL || spk_senses_begin(senses, engine) != SPK_OK) {
        abort();
    }
    for (uint32_t burst = 0; burst < PRESENTED_BURSTS && !spk_senses_is_done(senses);) {
        for (uint32_t i = 0; i < senses->channels; i++) {
            uint32_t drawn = (senses->samples_taken * 977u + i) * 2654435761u;
            raw[i] = drawn >> 31 ? ends[drawn >> 8 & 7u] : (int32_t)drawn >> (drawn & 31u);
        }
        spk_senses_take(senses, raw);
        for (; spk_senses_bursts(senses) != 0 && burst < PRESENTED_BURSTS; burst++) {
            (void)spk_senses_burst(senses, engine);
        }
    }
    spk_senses_read(senses, engine);
    int32_t answer = spk_senses_answer(senses);
    if (answer < SPK_SENSES_NONE || answer >= (int32_t)senses->value_count) {
        abort();
    }
    free(raw);
}

/* Presentations in a row of what senses the image has, in memory of exactly the size that they ask for. */
static const char *run_senses(spk_engine_t *engine) {
    spk_senses_t senses;
    size_t bytes = spk_senses_ram_bytes(engine->image);
    void *ram = malloc(bytes != 0 ? bytes : 1);
    if (ram == NULL) {
        abort();
    }
    int error = spk_senses_init(&senses, engine->image, ram, bytes);
    for (int i = 0; error == SPK_OK && i < 2; i++) {
        present(&senses, engine);
        check_potentials(engine);
    }
    free(ram);
    if (error != SPK_OK && (error != SPK_ERROR_LAYOUT || spk_senses_channels(engine->image) != 0)) {
        abort();
    }
    return error == SPK_OK ? "presented" : engine->image->senses == NULL ? "none" : "refused";
}

/* TOO_LARGE, REFUSED where a learning record or a neuron model is at fault, or RAN: then the engine's hash is left in
 * `hash`, and what became of its senses in `senses`. */
static int run(const spk_image_t *image, uint32_t *hash, const char **senses) {
    size_t bytes = spk_engine_ram_bytes(image);
    spk_engine_t engine;
    if (bytes > MOST_RAM) {
        return TOO_LARGE;
    }
    void *ram = malloc(bytes != 0 ? bytes : 1);
    if (ram == NULL) {
        abort();
    }
    int error = spk_engine_init(&engine, image, kernel_for(image->precision), ram, bytes, 1);
    if (error != SPK_OK) {
        free(ram);
        int is_learning = error == SPK_ERROR_LAYOUT && image->learning_count != 0;
        if (!is_learning && !(error == SPK_ERROR_PARAMETER && image->has_models)) {
            abort();
        }
        return REFUSED;
    }
    run_bursts(&engine);
    check_potentials(&engine);
    memcpy(hash, engine.potential_hash, sizeof engine.potential_hash);
    *senses = run_senses(&engine);
    free(ram);
    return RAN;
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
    const char *senses;
    uint8_t *sealed = malloc(size != 0 ? size : 1);
    if (sealed == NULL) {
        abort();
    }
    memcpy(sealed, data, size);
    seal(sealed, size);
    if (open_copy(&image, sealed, size, &copy) == SPK_OK) {
        (void)run(&image, hash, &senses);
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
    const char *senses = NULL;
    int error = open_copy(&image, data, size, &copy);
    int outcome = error == SPK_OK ? run(&image, hash, &senses) : REFUSED;
    if (error != SPK_OK) {
        printf("%d %u\n", error, (unsigned)image.error_offset);
    } else if (outcome == RAN) {
        printf("ok %08x%08x %s\n", (unsigned)hash[0], (unsigned)hash[1], senses);
    } else {
        printf("%s %zu\n", outcome == REFUSED ? "models" : "large", spk_engine_ram_bytes(&image));
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
