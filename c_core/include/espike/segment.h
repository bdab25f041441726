/* frames -> segment -> frames: temporal tensor compression. docs/segment.md specifies the bytes. */
#ifndef ESPIKE_SEGMENT_H
#define ESPIKE_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

#define SPK_SEGMENT_HEAD_BYTES 26 /* of a version-1 segment without scales and data */
#define SPK_SEGMENT_MOST_VALUES 268435456 /* tensor_len of version 2: 2^28 */
#define SPK_SEGMENT_CLOSED 4 /* bit of a writer's state: its buffer holds a complete segment */

/* What the frames of a segment hold. */
typedef enum {
    SPK_SEGMENT_QUANTIZED = 0, /* numbers, within a bound; version 1 knows this kind only */
    SPK_SEGMENT_INTEGERS = 1,  /* int32, exactly */
    SPK_SEGMENT_SETS = 2,      /* sets of indices below tensor_len, exactly: fire queues */
} spk_segment_kind_t;

/* How the values of a frame lie in memory. */
typedef enum {
    SPK_VALUES_FLOAT32 = 0,
    SPK_VALUES_INT16 = 1,
    SPK_VALUES_INT8 = 2,
    SPK_VALUES_INT32 = 3, /* SPK_SEGMENT_INTEGERS only */
    SPK_VALUES_BITMAP = 4, /* SPK_SEGMENT_SETS only: uint32 words, index i is bit i % 32 of word i / 32 */
} spk_values_t;

/* How often a stream is asked for, as its score says. */
typedef enum { SPK_TIER_HOT = 0, SPK_TIER_WARM = 1, SPK_TIER_COLD = 2 } spk_tier_t;

/* The coding of version 2; an application that never calls spk_segment_version_2 does not link it. */
typedef struct spk_segment_coding spk_segment_coding_t;
const spk_segment_coding_t *spk_segment_version_2(void);

/* How a stream is cut and coded. Constant; any number of streams may share one. */
typedef struct {
    const spk_segment_coding_t *coding; /* NULL: version 1; spk_segment_version_2(): version 2 */
    uint32_t group_len;         /* values that share a scale, >= 1 */
    uint32_t hot_min_score;     /* a stream with at least this score is hot, */
    uint32_t warm_min_score;    /* else with at least this one warm, else cold */
    uint16_t drift_q8[3];       /* per tier: growth that a segment takes, in 1/256 of its calibration */
    uint16_t low_q8;            /* a frame whose maximum is below low_q8/256 of the largest scale * qmax begins a new
                                   segment; 0 = never, at most 256 */
    uint16_t block_frames;      /* version 2: frames that are decoded from their first on, >= 1 */
    uint8_t bits[3];            /* per tier: 3, 5, 7 or 8 */
    uint8_t headroom;           /* 1: scales leave room for the drift, nothing is ever clamped, the bound holds.
                                   0: as the specification has it, growth within the drift is clamped */
    uint8_t measure_frames;     /* every so many frames the error is measured; 0 = never */
    uint8_t hysteresis_frames;  /* frames in a row that must fall below low_q8 (without headroom: also pass the drift)
                                   before one begins a new segment, >= 1 */
} spk_segment_policy_t;

/* One stream being compressed. The caller owns it, the buffer that the open segment grows in and the work memory. */
typedef struct {
    const spk_segment_policy_t *policy;
    uint8_t *buffer;
    void *work;
    uint32_t capacity;        /* bytes of buffer */
    uint32_t tensor_len;
    uint32_t frame_count;     /* frames of the open segment */
    uint32_t access_count;    /* spk_segment_touch */
    uint32_t last_access;
    uint32_t measured_frames; /* frames behind the two errors, since the writer began (policy->measure_frames) */
    float max_square;         /* SPK_SEGMENT_QUANTIZED: largest squared error of a finite value so far, */
    float mean_square;        /* and the mean; their roots are the largest and the RMS error */
    uint32_t closed_bytes;    /* of the closed segment (version 2) */
    uint8_t kind;
    uint8_t bits;             /* of the open segment */
    uint8_t low_frames;       /* frames in a row that asked for a new segment, and did not get it */
    uint8_t state;            /* SPK_SEGMENT_CLOSED; other bits are the writer's own */
} spk_segment_writer_t;

/* A checked segment. `bytes` must outlive it. */
typedef struct {
    const uint8_t *bytes;
    uint32_t byte_count;   /* of the segment; more may lie behind it */
    uint32_t group_len;
    uint32_t tensor_len;
    uint32_t frame_count;
    uint32_t scale_count;
    uint32_t data_offset;
    uint32_t data_bytes;
    uint16_t block_frames; /* version 2 */
    uint8_t version;
    uint8_t bits;
    uint8_t kind;
    uint8_t float_scales;  /* scales are binary32 (version 2) */
    uint8_t bounded;       /* version 2: nothing was clamped; version 1 cannot tell: 0 */
} spk_segment_t;

/* Reads frames of one segment. */
typedef struct {
    const spk_segment_t *segment;
    const spk_segment_coding_t *coding;
    void *work;
    uint32_t next; /* version 2: frame that the decoder stands before */
} spk_segment_reader_t;

/* The defaults: 8, 7 and 3 bits, drift 26/256, scores 512 and 64, groups of 64, version 1 (set `coding` for version 2),
 * headroom, low_q8 143, blocks of 128 frames, errors of every 8th frame. */
void spk_segment_policy_default(spk_segment_policy_t *policy);

/* As the specification's text: no headroom, no lower limit, a scale too small for binary16 becomes 0. */
void spk_segment_policy_plain(spk_segment_policy_t *policy);

/* Returns 0, or SPK_ERROR_PARAMETER where a field is out of range. */
int spk_segment_policy_check(const spk_segment_policy_t *policy);

/* access_count * 1024 / age in u32 (the product saturates); age = now - last_access + 1 modulo 2^32, at least 1. */
uint32_t spk_segment_score(uint32_t access_count, uint32_t last_access, uint32_t now);
spk_tier_t spk_segment_tier(const spk_segment_policy_t *policy, uint32_t score);

/* Bytes of work memory (8-byte aligned) for a writer; 0 where the arguments do not go together. */
size_t spk_segment_work_bytes(const spk_segment_policy_t *policy, spk_segment_kind_t kind, uint32_t tensor_len);

/* Bytes of a buffer that surely takes `frames` frames; 0 where the arguments do not go together. */
size_t spk_segment_buffer_bytes(const spk_segment_policy_t *policy, spk_segment_kind_t kind, uint32_t tensor_len,
                                uint32_t frames);

/* Begin a stream with no access at `now`. Returns 0, SPK_ERROR_PARAMETER (policy, kind or tensor_len), SPK_ERROR_RAM
 * (work memory too small or not aligned) or SPK_ERROR_BUFFER (no room for one frame at the policy's widest). */
int spk_segment_writer_init(spk_segment_writer_t *writer, const spk_segment_policy_t *policy, spk_segment_kind_t kind,
                            uint32_t tensor_len, void *work, size_t work_bytes, uint8_t *buffer, uint32_t capacity,
                            uint32_t now);

/* Record an access, or set both figures. */
void spk_segment_touch(spk_segment_writer_t *writer, uint32_t now);
void spk_segment_set_access(spk_segment_writer_t *writer, uint32_t access_count, uint32_t last_access);

/* Add a frame of tensor_len values. Returns 1 where it was taken; 0 where the open segment has to be closed first (the
 * tier changed, the values drifted, or the buffer is full): close it, take it, push the frame again. Errors take
 * nothing: SPK_ERROR_PARAMETER (this kind does not take such values), SPK_ERROR_SCALE (version 1: binary16 cannot hold
 * the scale of group *detail), SPK_ERROR_BUFFER (the buffer cannot hold one such frame; *detail = bytes that can).
 * Not finite values count as 0. */
int spk_segment_push(spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t now,
                     uint32_t *detail);

/* Complete the open segment, also to recalibrate at once: its bytes are writer->buffer[0 .. result) until the next
 * push. 0 = no frame was open. Idempotent until then. */
uint32_t spk_segment_close(spk_segment_writer_t *writer);

/* Check everything but the coded values: `segment` may then be read. Returns 0; SPK_ERROR_TRUNCATED, _MAGIC, _VERSION,
 * _LAYOUT, _PARAMETER (a scale that is negative or not finite), _CRC (version 2); *offset = the field at fault. */
int spk_segment_open(spk_segment_t *segment, const uint8_t *bytes, size_t count, uint32_t *offset);

/* Scale of a group below scale_count, and the bound that it states: |value - decoded value| of every finite value. */
float spk_segment_scale(const spk_segment_t *segment, uint32_t group);
float spk_segment_bound(const spk_segment_t *segment, uint32_t group);

/* Bytes of work memory (8-byte aligned) for a reader; 0 for version 1. */
size_t spk_segment_reader_bytes(const spk_segment_t *segment, const spk_segment_coding_t *coding);

/* `coding` as in the policy; NULL reads version 1 alone. Returns 0, SPK_ERROR_VERSION or SPK_ERROR_RAM. */
int spk_segment_reader_init(spk_segment_reader_t *reader, const spk_segment_t *segment,
                            const spk_segment_coding_t *coding, void *work, size_t work_bytes);

/* Decode a frame below frame_count; frames in order cost least, others are reached from the first of their block.
 * read: float (tensor_len,), any kind but sets. integers: int32 (tensor_len,): integers, or signed codes (code -
 * qmax) of quantized frames. set: bitmap of ceil(tensor_len / 32) words; returns how many are set.
 * Returns 0 or a count, SPK_ERROR_PARAMETER (not that kind), SPK_ERROR_CODE (version 2: coded values out of range). */
int spk_segment_read(spk_segment_reader_t *reader, uint32_t frame, float *values);
int spk_segment_read_integers(spk_segment_reader_t *reader, uint32_t frame, int32_t *values);
int spk_segment_read_set(spk_segment_reader_t *reader, uint32_t frame, uint32_t *bitmap);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
