/* What the programs that read segments share: frames are decoded in every way, which must agree. */
#ifndef SEGMENT_READING_H
#define SEGMENT_READING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../c_core/src/segment.h"

#define MOST_BYTES ((size_t)4 << 20) /* of an input */
#define MOST_LENGTH (1u << 16)       /* of a frame that is decoded */

#define need(fine) need_at(fine, __LINE__)

static inline void need_at(int fine, int line) {
    if (!fine) {
        fprintf(stderr, "line %d\n", line);
        abort();
    }
}

static inline void *memory(size_t bytes) {
    void *made = malloc(bytes != 0 ? bytes : 1);
    need(made != NULL);
    return made;
}

typedef struct {
    spk_segment_t segment;
    spk_segment_reader_t reader;
    spk_segment_reader_t beside; /* reads the same frames as integers */
    void *work[2];
    void *values; /* of one frame */
    size_t frame_bytes;
} open_t;

/* Returns 0 where a frame is too large for a test. */
static inline int open_reader(open_t *open) {
    const spk_segment_t *segment = &open->segment;
    const spk_segment_coding_t *coding = spk_segment_version_2();
    size_t work_bytes = spk_segment_reader_bytes(segment, coding);
    if (segment->tensor_len > MOST_LENGTH) {
        return 0;
    }
    open->frame_bytes = 4 * (size_t)(segment->kind == SPK_SEGMENT_SETS ? (segment->tensor_len + 31) / 32
                                                                       : segment->tensor_len);
    open->values = memory(open->frame_bytes);
    open->work[0] = memory(work_bytes);
    open->work[1] = memory(work_bytes);
    int error = spk_segment_reader_init(&open->reader, segment, NULL, open->work[0], work_bytes);
    need(error == (segment->version == 1 ? SPK_OK : SPK_ERROR_VERSION));
    error = work_bytes != 0 ? spk_segment_reader_init(&open->reader, segment, coding, open->work[0], work_bytes - 1) : 0;
    need(error == (work_bytes != 0 ? SPK_ERROR_RAM : SPK_OK));
    need(spk_segment_reader_init(&open->reader, segment, coding, open->work[0], work_bytes) == SPK_OK);
    need(spk_segment_reader_init(&open->beside, segment, coding, open->work[1], work_bytes) == SPK_OK);
    return 1;
}

static inline void close_reader(open_t *open) {
    free(open->work[0]);
    free(open->work[1]);
    free(open->values);
}

/* The set of a frame. Returns SPK_OK or what is wrong. */
static inline int read_set(open_t *open, uint32_t frame) {
    const spk_segment_t *segment = &open->segment;
    const uint32_t *words = open->values;
    uint32_t count = 0;
    int members = spk_segment_read_set(&open->reader, frame, open->values);
    if (members < 0) {
        return members;
    }
    for (uint32_t i = 0; i < open->frame_bytes / 4 * 32; i++) {
        count += words[i / 32] >> i % 32 & 1u;
        need(i < segment->tensor_len || (words[i / 32] >> i % 32 & 1u) == 0);
    }
    need(count == (uint32_t)members);
    return SPK_OK;
}

/* The values of a frame, the codes behind which must tell the same. Returns SPK_OK or what is wrong. */
static inline int read_values(open_t *open, uint32_t frame) {
    const spk_segment_t *segment = &open->segment;
    int32_t *integers = memory(open->frame_bytes);
    const float *values = open->values;
    int error = spk_segment_read(&open->reader, frame, open->values);
    need(spk_segment_read_integers(&open->beside, frame, integers) == error);
    for (uint32_t i = 0; error == SPK_OK && i < segment->tensor_len; i++) {
        int quantized = segment->kind == SPK_SEGMENT_QUANTIZED;
        float wanted = (float)integers[i] * (quantized ? spk_segment_scale(segment, i / segment->group_len) : 1.0f);
        need(memcmp(&wanted, &values[i], sizeof wanted) == 0);
    }
    free(integers);
    return error;
}

static inline int read_frame(open_t *open, uint32_t frame) {
    int sets = open->segment.kind == SPK_SEGMENT_SETS;
    need(sets ? spk_segment_read(&open->reader, frame, open->values) == SPK_ERROR_PARAMETER
              : spk_segment_read_set(&open->reader, frame, open->values) == SPK_ERROR_PARAMETER);
    return sets ? read_set(open, frame) : read_values(open, frame);
}

/* The inputs of a fuzzer that were kept, by their paths. */
static inline int for_each_file(int count, char **paths, void (*each)(const uint8_t *data, size_t size)) {
    uint8_t *data = memory(MOST_BYTES);
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        need(file != NULL);
        each(data, fread(data, 1, MOST_BYTES, file));
        need(fclose(file) == 0);
    }
    free(data);
    return 0;
}

#endif
