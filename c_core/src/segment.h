/* What the parts of the segment codec share; docs/segment.md has the layout. */
#ifndef ESPIKE_SEGMENT_PARTS_H
#define ESPIKE_SEGMENT_PARTS_H

#include "bytes.h"
#include "espike/half.h"
#include "espike/segment.h"
#include "vector.h"

enum { /* byte offsets of the head */
    SEGMENT_MAGIC = 0,
    SEGMENT_VERSION = 4,
    SEGMENT_BITS = 5,
    SEGMENT_GROUP_LEN = 6,
    SEGMENT_TENSOR_LEN = 10,
    SEGMENT_FRAME_COUNT = 14,
    SEGMENT_SCALE_COUNT = 18,
    SEGMENT_SCALES_1 = 22, /* version 1: scales, data_len, data */
    SEGMENT_KIND = 22,     /* version 2 */
    SEGMENT_FLAGS = 23,
    SEGMENT_BLOCK_FRAMES = 24,
    SEGMENT_DATA_LEN_2 = 26,
    SEGMENT_SCALES_2 = 30  /* version 2: scales, data, index, CRC-32 */
};

#define SEGMENT_MAGIC_WORD 0x43545154u /* "TQTC" */
#define SEGMENT_FLOAT_SCALES 1u        /* flags */
#define SEGMENT_BOUNDED 2u

#define SEGMENT_PIECE (SPK_BLOCKS ? 512u : 128u) /* values that are handled at a time, a multiple of 32 */
#define SEGMENT_LANES 8u /* errors of values run in so many parts, in the same order on every path */

enum { /* writer->state */
    WRITER_FULL = 1,         /* the open segment takes no more frames */
    WRITER_FLOAT_SCALES = 2, /* its scales are binary32 */
    WRITER_CLOSED = SPK_SEGMENT_CLOSED,
    WRITER_CARRIES = 8       /* the open segment ends for a frame's sake: the next one may remember its scales */
};

/* What a writer knows of a group of the open segment. */
typedef struct {
    float scale;
    float inverse; /* 1 / scale, 0 where the scale is 0 */
    float limit;   /* largest magnitude that the segment takes */
} segment_group_t;

/* What quantizing tells of a frame. */
typedef struct {
    uint32_t reach;               /* its largest finite magnitude, as bits */
    uint32_t rises;               /* some group passes its limit */
    uint32_t measures;            /* in: are errors measured? */
    float most[SEGMENT_LANES];    /* largest squared errors */
    float square[SEGMENT_LANES];  /* sums of them */
} segment_tally_t;

static inline uint32_t segment_groups(uint32_t tensor_len, uint32_t group_len) {
    return tensor_len / group_len + (tensor_len % group_len != 0);
}

static inline uint32_t segment_qmax(uint32_t bits) { return (1u << (bits - 1)) - 1; }

/* First in a writer's work memory: what the open segment's frames need again and again. */
typedef struct {
    float low;             /* a frame whose maximum is below asks for a new segment */
    uint32_t data_offset;
    uint32_t frame_bytes;  /* version 1 */
    uint32_t unmeasured;   /* frames until errors are measured again */
} segment_open_t;

static inline segment_open_t *writer_open(const spk_segment_writer_t *writer) {
    return (segment_open_t *)writer->work;
}

static inline segment_group_t *writer_groups(const spk_segment_writer_t *writer) {
    return (segment_group_t *)(writer_open(writer) + 1);
}

/* A size for callers: what passes a size_t is more than anyone has. */
static inline size_t segment_size(uint64_t bytes) { return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX; }

/* Bytes of a writer's work memory before the coding's part, a multiple of 8. */
static inline uint64_t writer_own_bytes(const spk_segment_policy_t *policy, uint32_t kind, uint32_t tensor_len) {
    uint64_t groups = kind == SPK_SEGMENT_QUANTIZED ? segment_groups(tensor_len, policy->group_len) : 0;
    return (sizeof(segment_open_t) + groups * sizeof(segment_group_t) + 7) / 8 * 8;
}

/* segment_group.c: scales from a frame. Returns 0 or SPK_ERROR_SCALE and the group. */
int segment_calibrate(spk_segment_writer_t *writer, const void *values, spk_values_t type, int tier,
                      uint32_t *detail);

/* Does the open segment take a frame of which quantizing told this? */
int segment_takes(spk_segment_writer_t *writer, const segment_tally_t *tally);

/* segment_quantize.c: biased codes of values first .. first + count - 1, count <= SEGMENT_PIECE; the tally adds up.
 * Codes of a frame that the segment does not take are any. */
void segment_quantize(const spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t first,
                      uint32_t count, uint8_t *codes, segment_tally_t *tally);

/* segment_code.c: version 2. A writer's part of the work memory lies behind its groups. */
struct spk_segment_coding {
    size_t (*work_bytes)(uint32_t kind, uint32_t tensor_len);
    size_t (*frame_bytes)(uint32_t kind, uint32_t tensor_len, uint32_t bits); /* a frame takes at most */
    /* Begin the data of a segment at `offset` of the writer's buffer. */
    void (*begin)(spk_segment_writer_t *writer, uint32_t offset);
    /* Returns 0 where the frame did not find room; nothing was taken then. */
    int (*write)(spk_segment_writer_t *writer, const void *values, spk_values_t type, segment_tally_t *tally);
    /* Complete data and index. Returns the offset behind the index. */
    uint32_t (*end)(spk_segment_writer_t *writer, uint32_t *data_end);
    /* Returns 0, a set's members, or SPK_ERROR_CODE. */
    int (*read)(spk_segment_reader_t *reader, uint32_t frame, void *values, spk_values_t type);
};

#endif
