/* frames of int16 -> instructions of pushing them: 100 frames of 512 into one segment at 8 bits. -DCODING chooses the
 * version: NULL for 1, spk_segment_version_2() for 2. */
#include "counting.h"
#include "espike/segment.h"

#define LENGTH 512
#define FRAMES 100

#ifndef CODING
#define CODING NULL
#endif

int main(void);

int main(void) {
    static spk_segment_policy_t policy;
    static spk_segment_writer_t writer;
    static uint64_t work[512];
    static uint8_t buffer[FRAMES * (LENGTH + 2) + 1024];
    static int16_t frames[2][LENGTH];
    uint32_t detail = 0;
    uint32_t seed = 1;
    for (int i = 0; i < 2 * LENGTH; i++) {
        seed = seed * 1664525u + 1013904223u;
        frames[i / LENGTH][i % LENGTH] = (int16_t)((int32_t)(seed >> 16) % 16000 - 8000);
    }
    spk_segment_policy_default(&policy);
    policy.coding = CODING;
    uint32_t begin = counter();
    int error = spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_QUANTIZED, LENGTH, work, sizeof work, buffer,
                                        sizeof buffer, 0);
    spk_segment_set_access(&writer, 1000, 0); /* hot: 8 bits */
    for (int f = 0; error == 0 && f < FRAMES; f++) {
        error = spk_segment_push(&writer, frames[f % 2], SPK_VALUES_INT16, 1, &detail) - 1;
    }
    uint32_t bytes = spk_segment_close(&writer);
    put_word(instructions_since(begin), ' ');
    put_word(bytes, '\n');
    stop(error != 0 ? -1 : 0);
}
