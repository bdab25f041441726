/* bytes -> policy and values -> segments -> values: what is written opens, and decodes within its bound. Built under
 * sanitizers. As a program it takes files of inputs; with -DFUZZER it is a libFuzzer target. */
#include <math.h>

#include "segment_reading.h"

typedef struct {
    const uint8_t *bytes;
    size_t left;
} source_t;

/* Zeros where there are no more. */
static uint32_t take(source_t *source, int count) {
    uint32_t value = 0;
    for (int i = 0; i < count && source->left != 0; i++, source->bytes++, source->left--) {
        value |= (uint32_t)*source->bytes << 8 * i;
    }
    return value;
}

/* A writer, and the frames of its open segment as they were given. */
typedef struct {
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    uint32_t tensor_len;
    uint32_t frames;
    uint32_t most_frames;
    float *floats; /* quantized: what each frame held; else its words */
    uint32_t *words;
    void *frame;
} stream_t;

static int choose_policy(spk_segment_policy_t *policy, source_t *source) {
    spk_segment_policy_default(policy);
    uint32_t flags = take(source, 1);
    policy->coding = flags & 1 ? spk_segment_version_2() : NULL;
    policy->headroom = (flags & 2) == 0;
    policy->measure_frames = (uint8_t)(flags >> 2 & 3);
    policy->hysteresis_frames = (uint8_t)(1 + (flags >> 4 & 1) * (flags >> 5 & 3));
    for (int tier = 0; tier < 3; tier++) {
        static const uint8_t widths[] = {3, 5, 7, 8};
        policy->bits[tier] = widths[take(source, 1) % 4];
        policy->drift_q8[tier] = (uint16_t)(flags & 0x80 ? take(source, 2) : 26);
    }
    policy->low_q8 = (uint16_t)(flags & 0x80 ? take(source, 2) % 260 : 143);
    policy->block_frames = (uint16_t)(take(source, 1) % 9 + 1);
    uint32_t group = take(source, 1);
    policy->group_len = group == 255 ? UINT32_MAX : group % 80 + 1;
    return spk_segment_policy_check(policy);
}

/* Every value of a frame as the kind wants it. */
static void check_frame(const stream_t *stream, open_t *open, uint32_t frame) {
    const size_t first = (size_t)frame * stream->tensor_len;
    const spk_segment_t *segment = &open->segment;
    int integers = segment->kind == SPK_SEGMENT_INTEGERS;
    need(integers ? spk_segment_read_integers(&open->reader, frame, open->values) == SPK_OK
                  : read_frame(open, frame) == SPK_OK);
    for (uint32_t i = 0; i < stream->tensor_len; i++) {
        if (segment->kind == SPK_SEGMENT_QUANTIZED) {
            const float scale = spk_segment_scale(segment, i / segment->group_len);
            const double full = (double)scale * segment_qmax(segment->bits);
            const float value = stream->floats[first + i];
            const float decoded = ((const float *)open->values)[i];
            int clamped = !stream->policy.headroom && isfinite(value) && fabs((double)value) > full;
            float wanted = clamped ? copysignf((float)full, value) : isfinite(value) ? value : 0;
            double most = clamped ? 0.0001 * scale : (double)spk_segment_bound(segment, i / segment->group_len);
            need(fabs((double)wanted - (double)decoded) <= most);
        } else if (integers) {
            need(((const uint32_t *)open->values)[i] == stream->words[first + i]);
        } else {
            need((((const uint32_t *)open->values)[i / 32] >> i % 32 & 1u) == stream->words[first + i]);
        }
    }
}

/* Close the segment, twice, and read it back. */
static void check_segment(stream_t *stream) {
    spk_segment_writer_t *writer = &stream->writer;
    uint32_t count = spk_segment_close(writer);
    uint32_t offset;
    open_t open;
    need(count <= writer->capacity && (count != 0) == (stream->frames != 0));
    need(spk_segment_close(writer) == count);
    if (count == 0) {
        return;
    }
    uint8_t *copy = memory(count);
    memcpy(copy, writer->buffer, count);
    need(spk_segment_open(&open.segment, copy, count, &offset) == SPK_OK && open.segment.byte_count == count);
    need(open.segment.frame_count == stream->frames && open_reader(&open));
    for (uint32_t frame = 0; frame < stream->frames; frame++) {
        check_frame(stream, &open, frame);
    }
    close_reader(&open);
    free(copy);
    stream->frames = 0;
}

/* The next frame, near the one before or anything at all; kept as it is, too. */
static spk_values_t make_frame(stream_t *stream, source_t *source) {
    const uint32_t how = take(source, 1);
    const uint32_t kind = stream->writer.kind;
    const size_t first = (size_t)stream->frames * stream->tensor_len;
    spk_values_t type = kind == SPK_SEGMENT_SETS ? SPK_VALUES_BITMAP : how & 1 ? SPK_VALUES_INT16
                        : how & 2 ? SPK_VALUES_INT8
                        : kind == SPK_SEGMENT_INTEGERS ? SPK_VALUES_INT32 : SPK_VALUES_FLOAT32;
    memset(stream->frame, 0, 4 * (size_t)stream->tensor_len + 4);
    uint32_t word = take(source, 4);
    for (uint32_t i = 0; i < stream->tensor_len; i++) {
        word = how & 4 ? take(source, 4) : how & 8 ? word * 1664525u + 1013904223u : word;
        int32_t value = (int32_t)word >> (how >> 4);
        if (type == SPK_VALUES_BITMAP) {
            stream->words[first + i] = word >> 31;
            ((uint32_t *)stream->frame)[i / 32] |= word >> 31 << i % 32;
        } else if (type == SPK_VALUES_INT16) {
            ((int16_t *)stream->frame)[i] = (int16_t)value;
            stream->words[first + i] = (uint32_t)(int16_t)value;
            stream->floats[first + i] = (int16_t)value;
        } else if (type == SPK_VALUES_INT8) {
            ((int8_t *)stream->frame)[i] = (int8_t)value;
            stream->words[first + i] = (uint32_t)(int8_t)value;
            stream->floats[first + i] = (int8_t)value;
        } else if (type == SPK_VALUES_INT32) {
            ((int32_t *)stream->frame)[i] = value;
            stream->words[first + i] = (uint32_t)value;
        } else { /* any bits at all, or ordinary numbers */
            float number = how & 0x80 ? spk_float_from_bits(word) : (float)value * 0x1p-20f;
            ((float *)stream->frame)[i] = number;
            stream->floats[first + i] = number;
        }
    }
    return type;
}

static void push_frame(stream_t *stream, source_t *source) {
    spk_segment_writer_t *writer = &stream->writer;
    uint32_t detail;
    if (stream->frames == stream->most_frames || take(source, 1) % 16 == 0) {
        check_segment(stream);
        spk_segment_set_access(writer, take(source, 1), 0);
    }
    const size_t frame_bytes = 4 * (size_t)stream->tensor_len;
    spk_values_t type = make_frame(stream, source);
    int taken = spk_segment_push(writer, stream->frame, type, 1, &detail);
    if (taken == 0) {
        size_t first = (size_t)stream->frames * stream->tensor_len;
        check_segment(stream);
        memmove(stream->floats, stream->floats + first, frame_bytes);
        memmove(stream->words, stream->words + first, frame_bytes);
        taken = spk_segment_push(writer, stream->frame, type, 1, &detail);
    }
    need(taken == 1 || (taken == SPK_ERROR_SCALE && stream->policy.coding == NULL && stream->frames == 0));
    need(writer->frame_count == stream->frames + (taken == 1));
    need(!(writer->mean_square < 0) && !isnan(writer->mean_square) && !isnan(writer->max_square));
    stream->frames += taken == 1;
}

static void one_input(const uint8_t *data, size_t size) {
    source_t whole = {data, size};
    source_t *source = &whole;
    stream_t stream = {.frames = 0};
    if (choose_policy(&stream.policy, source) != SPK_OK) {
        return;
    }
    spk_segment_kind_t kind = stream.policy.coding != NULL ? (spk_segment_kind_t)(take(source, 1) % 3) : SPK_SEGMENT_QUANTIZED;
    uint32_t shape = take(source, 2);
    stream.tensor_len = shape % 64 == 0 ? 600 : shape % 90 + 1;
    stream.most_frames = 64;
    size_t all = 4 * (size_t)stream.tensor_len * (stream.most_frames + 1);
    size_t capacity = spk_segment_buffer_bytes(&stream.policy, kind, stream.tensor_len, 1 + shape % 7) + shape % 5;
    size_t work_bytes = spk_segment_work_bytes(&stream.policy, kind, stream.tensor_len);
    void *work = memory(work_bytes);
    uint8_t *buffer = memory(capacity);
    stream.floats = memory(all);
    stream.words = memory(all);
    stream.frame = memory(4 * (size_t)stream.tensor_len + 4);
    memset(stream.floats, 0, all);
    need(spk_segment_writer_init(&stream.writer, &stream.policy, kind, stream.tensor_len, work, work_bytes, buffer,
                                 (uint32_t)capacity, 0) == SPK_OK);
    for (int pushes = 0; source->left != 0 && pushes < 200; pushes++) {
        push_frame(&stream, source);
    }
    check_segment(&stream);
    free(work);
    free(buffer);
    free(stream.floats);
    free(stream.words);
    free(stream.frame);
}

#ifdef FUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    one_input(data, size);
    return 0;
}

#else

int main(int count, char **paths) { return for_each_file(count, paths, one_input); }

#endif
