/* file of streams -> file of segments and what they decode to: one program for every build of the codec.
 *
 * tests/segment_cases.py writes and reads the files: little-endian words. Arguments: input, output. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "espike/segment.h"

enum { VERSION, BITS, GROUP_LEN, HEADROOM, LOW, DRIFT, HYSTERESIS, BLOCK, HOT, WARM, TOUCH, CAPACITY, LENGTH, COUNT, HEAD };

/* An answer that grows. */
typedef struct {
    uint8_t *bytes;
    size_t count;
    uint32_t refused;
    uint32_t segments;
} answer_t;

static void *memory(size_t bytes) {
    void *made = calloc(bytes + 8, 1);
    if (made == NULL) {
        abort();
    }
    return made;
}

static void need(int fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static void append(answer_t *answer, const void *bytes, uint32_t count) {
    answer->bytes = realloc(answer->bytes, answer->count + 4 + count);
    need(answer->bytes != NULL, "no memory");
    for (int i = 0; i < 4; i++) {
        answer->bytes[answer->count++] = (uint8_t)(count >> 8 * i);
    }
    for (uint32_t i = 0; i < count; i++) {
        answer->bytes[answer->count++] = ((const uint8_t *)bytes)[i];
    }
}

static void decode(answer_t *answer, const uint8_t *bytes, uint32_t count) {
    spk_segment_t segment;
    spk_segment_reader_t reader;
    uint32_t offset;
    need(spk_segment_open(&segment, bytes, count, &offset) == SPK_OK, "refused its own segment");
    size_t work_bytes = spk_segment_reader_bytes(&segment, spk_segment_version_2());
    void *work = memory(work_bytes);
    float *values = memory(sizeof *values * segment.frame_count * segment.tensor_len);
    need(spk_segment_reader_init(&reader, &segment, spk_segment_version_2(), work, work_bytes) == SPK_OK, "reader");
    for (uint32_t frame = 0; frame < segment.frame_count; frame++) {
        need(spk_segment_read(&reader, frame, values + (size_t)frame * segment.tensor_len) == SPK_OK, "frame");
    }
    append(answer, values, segment.frame_count * segment.tensor_len * 4);
    free(values);
    free(work);
}

static void close_segment(answer_t *answer, spk_segment_writer_t *writer) {
    uint32_t count = spk_segment_close(writer);
    if (count != 0) {
        append(answer, writer->buffer, count);
        decode(answer, writer->buffer, count);
        answer->segments++;
    }
}

static void encode(answer_t *answer, const uint32_t *head, const float *frames, spk_segment_writer_t *writer) {
    uint32_t detail;
    int open = 0;
    for (uint32_t now = 0; now < head[COUNT]; now++) {
        const float *frame = frames + (size_t)now * head[LENGTH];
        if (head[TOUCH] != 0 && now % head[TOUCH] == 0) {
            spk_segment_touch(writer, now);
        }
        int taken = spk_segment_push(writer, frame, SPK_VALUES_FLOAT32, now, &detail);
        if (taken == 0) {
            close_segment(answer, writer);
            open = 0;
            taken = spk_segment_push(writer, frame, SPK_VALUES_FLOAT32, now, &detail);
        }
        need(taken == 1 || taken == SPK_ERROR_SCALE, "push");
        answer->refused += taken != 1;
        open = open || taken == 1;
    }
    if (open) {
        close_segment(answer, writer);
    }
}

static void run(const uint32_t *head, const float *frames, FILE *output) {
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    answer_t answer = {0};
    spk_segment_policy_default(&policy);
    policy.coding = head[VERSION] == 2 ? spk_segment_version_2() : NULL;
    policy.bits[SPK_TIER_WARM] = (uint8_t)head[BITS];
    policy.group_len = head[GROUP_LEN];
    policy.headroom = (uint8_t)head[HEADROOM];
    policy.low_q8 = (uint16_t)head[LOW];
    policy.drift_q8[0] = policy.drift_q8[1] = policy.drift_q8[2] = (uint16_t)head[DRIFT];
    policy.hysteresis_frames = (uint8_t)head[HYSTERESIS];
    policy.block_frames = (uint16_t)head[BLOCK];
    policy.hot_min_score = head[HOT];
    policy.warm_min_score = head[WARM];
    size_t work_bytes = spk_segment_work_bytes(&policy, SPK_SEGMENT_QUANTIZED, head[LENGTH]);
    void *work = memory(work_bytes);
    uint8_t *buffer = memory(head[CAPACITY]);
    need(spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_QUANTIZED, head[LENGTH], work, work_bytes, buffer,
                                 head[CAPACITY], 0) == SPK_OK, "writer");
    encode(&answer, head, frames, &writer);
    need(fwrite(&answer.refused, 4, 1, output) == 1 && fwrite(&answer.segments, 4, 1, output) == 1, "output");
    need(fwrite(answer.bytes, 1, answer.count, output) == answer.count, "output");
    free(answer.bytes);
    free(buffer);
    free(work);
}

int main(int count, char **arguments) {
    need(count == 3, "arguments: input, output");
    FILE *input = fopen(arguments[1], "rb");
    FILE *output = fopen(arguments[2], "wb");
    need(input != NULL && output != NULL, "files");
    uint32_t head[HEAD];
    while (fread(head, sizeof head, 1, input) == 1) {
        size_t values = (size_t)head[LENGTH] * head[COUNT];
        float *frames = memory(sizeof *frames * values);
        need(fread(frames, sizeof *frames, values, input) == values, "input");
        run(head, frames, output);
        free(frames);
    }
    need(fclose(output) == 0, "output");
    (void)fclose(input);
    return 0;
}
