/* image + stimulus -> fired ids, burst by burst, and the state hash. */
#include "program.h"

#include "espike/engine.h"
#include "network.h"

static void print_number(program_print_t *print, uint32_t value, uint32_t base, size_t digits) {
    char text[11];
    size_t at = 10;
    text[at] = 0;
    while (value != 0 || 10 - at < digits) {
        text[--at] = "0123456789abcdef"[value % base];
        value /= base;
    }
    print(text + at);
}

static void print_fired(program_print_t *print, const spk_engine_t *engine) {
    uint32_t neurons = engine->image->neuron_count;
    print("burst ");
    print_number(print, engine->burst, 10, 1);
    print(":");
    for (uint32_t i = spk_engine_next_fired(engine, 0); i < neurons; i = spk_engine_next_fired(engine, i + 1)) {
        print(" ");
        print_number(print, i, 10, 1);
    }
    print("\n");
}

/* Inject the entries of the next burst; `at` is the first that has not been injected. Returns an error, or 0. */
static int inject(spk_engine_t *engine, uint32_t *at) {
    int error = 0;
    while (error == 0 && *at < network_stimulus_count && network_stimulus[*at].burst == engine->burst + 1) {
        error = spk_engine_inject(engine, network_stimulus[*at].neuron, network_stimulus[*at].value);
        (*at)++;
    }
    return error;
}

static int finish(program_print_t *print, const spk_engine_t *engine) {
    print("hash ");
    print_number(print, engine->hash[0], 16, 8);
    print_number(print, engine->hash[1], 16, 8);
    if (engine->hash[0] != network_hash[0] || engine->hash[1] != network_hash[1]) {
        print(", which is not the host's\n");
        return 1;
    }
    print(", as on the host\n");
    return 0;
}

int program_run(program_print_t *print, void *arena, size_t arena_bytes) {
    static spk_image_t image;
    static spk_engine_t engine;
    uint32_t at = 0;
    int error = spk_image_open(&image, (const uint8_t *)network_image, network_image_bytes);
    if (error == 0) {
        error = spk_engine_init(&engine, &image, &NETWORK_KERNEL, arena, arena_bytes, 0);
    }
    for (uint32_t burst = 0; error == 0 && burst < network_bursts; burst++) {
        error = inject(&engine, &at);
        if (error == 0) {
            spk_engine_burst(&engine);
            print_fired(print, &engine);
        }
    }
    if (error != 0) {
        print("refused: ");
        print(spk_error_name(error));
        print("\n");
        return 1;
    }
    return finish(print, &engine);
}
