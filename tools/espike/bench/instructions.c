/* image + job -> instructions of each burst: the shipped spk_engine_burst, counted in an emulator.
 *
 * The emulator's loader puts both into RAM, where -DJOB_ADDRESS and -DIMAGE_ADDRESS say. A job is words: per run the number
 * of its bursts (0 = no more runs), then per burst the number of its stimulus entries and for each its neuron and value. Every run begins with a reset; stimulus entries are added before the count begins.
 * A line per burst goes to the wire: instructions, synaptic events and fired neurons, in hexadecimal. */
#include "counting.h"
#include "espike/engine.h"

#define JOB ((const uint32_t *)JOB_ADDRESS)
#define IMAGE ((const uint8_t *)IMAGE_ADDRESS)
#define IMAGE_BYTES (16u << 20)
#define ARENA_BYTES (4u << 20)

int main(void);

__attribute__((section(".arena"))) static uint64_t arena[ARENA_BYTES / 8];

static const uint32_t *run_burst(spk_engine_t *engine, const uint32_t *job) {
    for (uint32_t entries = *job++; entries != 0; entries--, job += 2) {
        int error = spk_engine_inject(engine, job[0], job[1]);
        if (error != SPK_OK) {
            stop(error);
        }
    }
    uint64_t events = engine->counters.events;
    uint32_t begin = counter();
    uint32_t fired = spk_engine_burst(engine);
    uint32_t count = instructions_since(begin);
    put_word(count, ' ');
    put_word((uint32_t)(engine->counters.events - events), ' ');
    put_word(fired, '\n');
    return job;
}

/* The kernel that runs an image; the ones that learn do the same where nothing does. */
static const spk_kernel_t *kernel_of(const spk_image_t *image) {
    return image->precision == SPK_PRECISION_FP32   ? &spk_kernel_fp32_learning
           : image->precision == SPK_PRECISION_FP16 ? &spk_kernel_fp16_learning
                                                    : &spk_kernel_int8_learning;
}

int main(void) {
    static spk_image_t image;
    static spk_engine_t engine;
    int error = spk_image_open(&image, IMAGE, IMAGE_BYTES);
    for (const uint32_t *job = JOB; error == SPK_OK && *job != 0;) {
        uint32_t bursts = *job++;
        error = spk_engine_init(&engine, &image, kernel_of(&image), arena, sizeof arena, 0);
        for (; error == SPK_OK && bursts != 0; bursts--) {
            job = run_burst(&engine, job);
        }
    }
    stop(error);
}
