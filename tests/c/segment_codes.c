/* (bits, scale, value, code) -> does the core quantize so? Every path: strides and rests, measured or not, cut or not.
 *
 * Standard input: rows of four uint32, scale and value as the bits of a binary32, code biased. Prints the rows read. */
#include <stdio.h>
#include <stdlib.h>

#include "../../c_core/src/segment.h"

#define COPIES 71u /* two strides of 32 and a rest */

typedef struct {
    segment_open_t open;
    segment_group_t group;
} work_t;

static void check(const uint32_t *row, uint32_t measures, int headroom) {
    const uint32_t qmax = segment_qmax(row[0]);
    work_t work = {.group = {.scale = spk_float_from_bits(row[1]), .limit = spk_float_from_bits(0x7F7FFFFFu)}};
    spk_segment_policy_t policy;
    spk_segment_policy_default(&policy);
    policy.group_len = COPIES;
    policy.headroom = (uint8_t)headroom;
    spk_segment_writer_t writer = {.policy = &policy, .work = &work, .tensor_len = COPIES, .bits = (uint8_t)row[0]};
    segment_tally_t tally = {.measures = measures};
    float values[COPIES];
    uint8_t codes[COPIES];
    work.group.inverse = work.group.scale > 0 ? 1.0f / work.group.scale : 0;
    for (uint32_t i = 0; i < COPIES; i++) {
        values[i] = spk_float_from_bits(row[2]);
    }
    segment_quantize(&writer, values, SPK_VALUES_FLOAT32, 0, COPIES, codes, &tally);
    for (uint32_t i = 0; i < COPIES; i++) {
        if (codes[i] != row[3]) {
            printf("bits %u scale %08x value %08x: code %u, not %u (copy %u, measures %u, headroom %d)\n",
                   (unsigned)row[0], (unsigned)row[1], (unsigned)row[2], codes[i], (unsigned)row[3], (unsigned)i,
                   (unsigned)measures, headroom);
            exit(1);
        }
    }
    if (tally.reach > 0x7F7FFFFFu || row[3] > 2 * qmax) {
        printf("value %08x: reach %08x\n", (unsigned)row[2], (unsigned)tally.reach);
        exit(1);
    }
}

int main(void) {
    uint32_t row[4];
    unsigned rows = 0;
    for (; fread(row, sizeof row, 1, stdin) == 1; rows++) {
        check(row, 0, 0);
        check(row, 1, 0);
        check(row, 1, 1);
        if (row[3] != 0 && row[3] != 2 * segment_qmax(row[0])) { /* with headroom nothing needs to be cut */
            check(row, 0, 1);
        }
    }
    printf("%u\n", rows);
    return 0;
}
