/* frames -> segment: when one begins, grows and ends. */
#include "segment.h"

#include "bitpack.h"
#include "espike/link.h"

static int goes_together(const spk_segment_policy_t *policy, spk_segment_kind_t kind, uint32_t tensor_len) {
    return spk_segment_policy_check(policy) == SPK_OK && tensor_len != 0 &&
           (policy->coding == NULL ? kind == SPK_SEGMENT_QUANTIZED
                                   : kind <= SPK_SEGMENT_SETS && tensor_len <= SPK_SEGMENT_MOST_VALUES);
}

size_t spk_segment_work_bytes(const spk_segment_policy_t *policy, spk_segment_kind_t kind, uint32_t tensor_len) {
    if (!goes_together(policy, kind, tensor_len)) {
        return 0;
    }
    uint64_t coding = policy->coding != NULL ? policy->coding->work_bytes(kind, tensor_len) : 0;
    return segment_size(writer_own_bytes(policy, kind, tensor_len) + coding);
}

static uint32_t widest(const spk_segment_policy_t *policy) {
    uint32_t bits = policy->bits[0] > policy->bits[1] ? policy->bits[0] : policy->bits[1];
    return bits > policy->bits[2] ? bits : policy->bits[2];
}

/* Bytes of a segment before its data, as binary32 scales make it. */
static uint64_t most_head_bytes(const spk_segment_policy_t *policy, uint32_t kind, uint32_t tensor_len) {
    uint64_t groups = kind == SPK_SEGMENT_QUANTIZED ? segment_groups(tensor_len, policy->group_len) : 0;
    return policy->coding != NULL ? SEGMENT_SCALES_2 + 4 * groups : SPK_SEGMENT_HEAD_BYTES + 2 * groups;
}

size_t spk_segment_buffer_bytes(const spk_segment_policy_t *policy, spk_segment_kind_t kind, uint32_t tensor_len,
                                uint32_t frames) {
    if (!goes_together(policy, kind, tensor_len)) {
        return 0;
    }
    uint64_t bytes = most_head_bytes(policy, kind, tensor_len);
    if (policy->coding == NULL) {
        bytes += frames * (uint64_t)spk_packed_bytes(tensor_len, widest(policy));
    } else {
        uint64_t blocks = frames / policy->block_frames + (frames % policy->block_frames != 0);
        bytes += frames * (uint64_t)policy->coding->frame_bytes(kind, tensor_len, widest(policy)) + 12 * blocks + 4;
    }
    return segment_size(bytes);
}

int spk_segment_writer_init(spk_segment_writer_t *writer, const spk_segment_policy_t *policy, spk_segment_kind_t kind,
                            uint32_t tensor_len, void *work, size_t work_bytes, uint8_t *buffer, uint32_t capacity,
                            uint32_t now) {
    if (!goes_together(policy, kind, tensor_len)) {
        return SPK_ERROR_PARAMETER;
    }
    if ((uintptr_t)work % 8 != 0 || work_bytes < spk_segment_work_bytes(policy, kind, tensor_len)) {
        return SPK_ERROR_RAM;
    }
    if (capacity < spk_segment_buffer_bytes(policy, kind, tensor_len, 1)) {
        return SPK_ERROR_BUFFER;
    }
    *writer = (spk_segment_writer_t){.policy = policy, .buffer = buffer, .work = work, .capacity = capacity,
                                     .tensor_len = tensor_len, .last_access = now, .kind = (uint8_t)kind};
    return SPK_OK;
}

void spk_segment_touch(spk_segment_writer_t *writer, uint32_t now) {
    writer->access_count += writer->access_count != UINT32_MAX;
    writer->last_access = now;
}

void spk_segment_set_access(spk_segment_writer_t *writer, uint32_t access_count, uint32_t last_access) {
    writer->access_count = access_count;
    writer->last_access = last_access;
}

/* Does a writer of this kind take such values? The indices of a set end at tensor_len. */
static int takes(const spk_segment_writer_t *writer, const void *values, spk_values_t type) {
    if (writer->kind == SPK_SEGMENT_SETS) {
        uint32_t odd = writer->tensor_len % 32;
        const uint32_t *bitmap = values;
        return type == SPK_VALUES_BITMAP && (odd == 0 || bitmap[writer->tensor_len / 32] >> odd == 0);
    }
    return type == SPK_VALUES_INT16 || type == SPK_VALUES_INT8 ||
           type == (writer->kind == SPK_SEGMENT_QUANTIZED ? SPK_VALUES_FLOAT32 : SPK_VALUES_INT32);
}

static uint32_t scale_bytes(const spk_segment_writer_t *writer) {
    return writer->state & WRITER_FLOAT_SCALES ? 4 : 2;
}

static uint32_t group_count(const spk_segment_writer_t *writer) {
    return writer->kind == SPK_SEGMENT_QUANTIZED ? segment_groups(writer->tensor_len, writer->policy->group_len) : 0;
}

/* Bytes of the open segment before its data. */
static uint32_t head_bytes(const spk_segment_writer_t *writer) {
    uint32_t scales = group_count(writer) * scale_bytes(writer);
    return writer->policy->coding != NULL ? SEGMENT_SCALES_2 + scales : SPK_SEGMENT_HEAD_BYTES + scales;
}

static void put_scales(const spk_segment_writer_t *writer, uint8_t *out) {
    const segment_group_t *group = writer_groups(writer);
    for (uint32_t g = group_count(writer); g != 0; g--, group++) {
        uint32_t bits = spk_bits_from_float(group->scale);
        if (scale_bytes(writer) == 4) {
            spk_store32(out, bits);
        } else {
            uint32_t half = spk_half_from_float_bits(bits);
            out[0] = (uint8_t)half;
            out[1] = (uint8_t)(half >> 8);
        }
        out += scale_bytes(writer);
    }
}

static void put_head(const spk_segment_writer_t *writer) {
    const spk_segment_policy_t *policy = writer->policy;
    uint8_t *out = writer->buffer;
    uint32_t quantized = writer->kind == SPK_SEGMENT_QUANTIZED;
    spk_store32(out + SEGMENT_MAGIC, SEGMENT_MAGIC_WORD);
    out[SEGMENT_VERSION] = policy->coding != NULL ? 2 : 1;
    out[SEGMENT_BITS] = quantized ? writer->bits : 0;
    spk_store32(out + SEGMENT_GROUP_LEN, quantized ? policy->group_len : 0);
    spk_store32(out + SEGMENT_TENSOR_LEN, writer->tensor_len);
    spk_store32(out + SEGMENT_SCALE_COUNT, group_count(writer));
    if (policy->coding == NULL) {
        put_scales(writer, out + SEGMENT_SCALES_1);
        return;
    }
    out[SEGMENT_KIND] = writer->kind;
    out[SEGMENT_FLAGS] = (uint8_t)((writer->state & WRITER_FLOAT_SCALES ? SEGMENT_FLOAT_SCALES : 0) |
                                   (!quantized || policy->headroom ? SEGMENT_BOUNDED : 0));
    out[SEGMENT_BLOCK_FRAMES] = (uint8_t)policy->block_frames;
    out[SEGMENT_BLOCK_FRAMES + 1] = (uint8_t)(policy->block_frames >> 8);
    put_scales(writer, out + SEGMENT_SCALES_2);
}

static int begin_segment(spk_segment_writer_t *writer, const void *values, spk_values_t type, int tier,
                         uint32_t *detail) {
    writer->bits = writer->policy->bits[tier];
    int error = SPK_OK;
    if (writer->kind == SPK_SEGMENT_QUANTIZED) {
        error = segment_calibrate(writer, values, type, tier, detail);
    } else {
        writer->state = 0;
    }
    if (error != SPK_OK) {
        return error;
    }
    put_head(writer);
    segment_open_t *open = writer_open(writer);
    open->data_offset = head_bytes(writer);
    open->frame_bytes = (uint32_t)spk_packed_bytes(writer->tensor_len, writer->bits);
    open->unmeasured = 0;
    if (writer->policy->coding != NULL) {
        writer->policy->coding->begin(writer, open->data_offset);
    }
    return SPK_OK;
}

/* Version 1: a frame is its packed codes. They may turn out not to belong to the segment: they lie behind its frames.
 * Returns 0 where there is no room. */
static int write_packed(spk_segment_writer_t *writer, const void *values, spk_values_t type, segment_tally_t *tally) {
    const segment_open_t *open = writer_open(writer);
    uint64_t at = open->data_offset + (uint64_t)writer->frame_count * open->frame_bytes;
    if (at + open->frame_bytes > writer->capacity) {
        return 0;
    }
    uint8_t *out = writer->buffer + at;
    for (uint32_t left = writer->tensor_len, count; left != 0; left -= count) {
        uint8_t codes[SEGMENT_PIECE];
        count = left < SEGMENT_PIECE ? left : SEGMENT_PIECE;
        segment_quantize(writer, values, type, writer->tensor_len - left, count, writer->bits == 8 ? out : codes, tally);
        if (writer->bits != 8) {
            (void)bitpack_pack(out, (size_t)(writer->buffer + writer->capacity - out), codes, count, writer->bits);
        }
        out += spk_packed_bytes(count, writer->bits);
    }
    return 1;
}

/* Running figures of a stream: a mean that needs no sum which could grow out of its digits. */
static void measure(spk_segment_writer_t *writer, const segment_tally_t *tally) {
    float sum = 0;
    for (uint32_t lane = 0; lane < SEGMENT_LANES; lane++) {
        sum += tally->square[lane];
        writer->max_square = tally->most[lane] > writer->max_square ? tally->most[lane] : writer->max_square;
    }
    writer->measured_frames += writer->measured_frames != UINT32_MAX;
    float before = (float)(writer->measured_frames - 1) * writer->mean_square;
    writer->mean_square = (before + sum / (float)writer->tensor_len) / (float)writer->measured_frames;
}

/* Version 2 codes a frame only once it is known to fit. */
static int fits(spk_segment_writer_t *writer, const void *values, spk_values_t type) {
    segment_tally_t tally = {0};
    uint8_t codes[SEGMENT_PIECE];
    for (uint32_t left = writer->tensor_len, count; left != 0; left -= count) {
        count = left < SEGMENT_PIECE ? left : SEGMENT_PIECE;
        segment_quantize(writer, values, type, writer->tensor_len - left, count, codes, &tally);
    }
    return segment_takes(writer, &tally);
}

/* The frame's data. Returns 1, or 0 where the segment ends before it. */
static int write_frame(spk_segment_writer_t *writer, const void *values, spk_values_t type) {
    const spk_segment_coding_t *coding = writer->policy->coding;
    int is_new = writer->frame_count == 0;
    segment_open_t *open = writer_open(writer);
    segment_tally_t tally = {.measures = open->unmeasured == 0 && writer->policy->measure_frames != 0};
    if (coding == NULL) {
        int room = write_packed(writer, values, type, &tally);
        if (!is_new && !segment_takes(writer, &tally)) {
            return 0;
        }
        writer->state |= room ? 0 : WRITER_FULL | WRITER_CARRIES;
    } else if (writer->kind == SPK_SEGMENT_QUANTIZED && !is_new && !fits(writer, values, type)) {
        return 0;
    } else if (!coding->write(writer, values, type, &tally)) {
        writer->state |= WRITER_FULL | WRITER_CARRIES;
    }
    if (writer->state & WRITER_FULL) {
        return 0;
    }
    if (tally.measures) {
        measure(writer, &tally);
        open->unmeasured = writer->policy->measure_frames;
    }
    open->unmeasured--;
    return 1;
}

int spk_segment_push(spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t now,
                     uint32_t *detail) {
    const spk_segment_policy_t *policy = writer->policy;
    *detail = 0;
    if (!takes(writer, values, type)) {
        return SPK_ERROR_PARAMETER;
    }
    int tier = (int)spk_segment_tier(policy, spk_segment_score(writer->access_count, writer->last_access, now));
    if (writer->frame_count != 0 && !(writer->state & WRITER_CLOSED)) {
        if (writer->kind == SPK_SEGMENT_QUANTIZED && policy->bits[tier] != writer->bits) {
            writer->state |= WRITER_CARRIES;
            return 0;
        }
        if (writer->state & WRITER_FULL || writer->frame_count == UINT32_MAX) {
            return 0;
        }
    } else {
        writer->frame_count = 0;
        int error = begin_segment(writer, values, type, tier, detail);
        if (error != SPK_OK) {
            return error;
        }
    }
    if (write_frame(writer, values, type)) {
        writer->frame_count++;
        return 1;
    }
    if (writer->frame_count != 0) {
        return 0;
    }
    *detail = (uint32_t)spk_segment_buffer_bytes(policy, (spk_segment_kind_t)writer->kind, writer->tensor_len, 1);
    return SPK_ERROR_BUFFER;
}

uint32_t spk_segment_close(spk_segment_writer_t *writer) {
    if (writer->frame_count == 0) {
        return 0;
    }
    uint8_t *out = writer->buffer;
    uint32_t data = writer_open(writer)->data_offset;
    if (writer->policy->coding == NULL) {
        uint32_t bytes = writer->frame_count * writer_open(writer)->frame_bytes;
        spk_store32(out + SEGMENT_FRAME_COUNT, writer->frame_count);
        spk_store32(out + data - 4, bytes);
        writer->state |= WRITER_CLOSED;
        return data + bytes;
    }
    if (!(writer->state & WRITER_CLOSED)) {
        uint32_t data_end = 0;
        uint32_t at = writer->policy->coding->end(writer, &data_end);
        spk_store32(out + SEGMENT_FRAME_COUNT, writer->frame_count);
        spk_store32(out + SEGMENT_DATA_LEN_2, data_end - data);
        spk_store32(out + at, spk_crc32(0, out, at));
        writer->closed_bytes = at + 4;
        writer->state |= WRITER_CLOSED;
    }
    return writer->closed_bytes;
}
