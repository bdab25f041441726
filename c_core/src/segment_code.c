/* frames <-> coded data of a version-2 segment: blocks, index, plain frames; docs/segment.md, version 2.
 *
 * The model runs both ways: where its coder decodes, what it is given to code is ignored, and what it returns counts. */
#include "espike/bitpack.h"
#include "segment_model.h"

#define CODES 64u /* values at a time */

/* Values first .. of a frame, CODES at most, as the coder takes them. */
static void load_values(const spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t first,
                        uint32_t count, int32_t *out, segment_tally_t *tally) {
    uint8_t codes[CODES];
    if (writer->kind == SPK_SEGMENT_QUANTIZED) {
        segment_quantize(writer, values, type, first, count, codes, tally);
    }
    for (uint32_t i = 0; i < count; i++) {
        switch (writer->kind == SPK_SEGMENT_QUANTIZED ? -1 : (int)type) {
        case SPK_VALUES_INT32: out[i] = ((const int32_t *)values)[first + i]; break;
        case SPK_VALUES_INT16: out[i] = ((const int16_t *)values)[first + i]; break;
        case SPK_VALUES_INT8: out[i] = ((const int8_t *)values)[first + i]; break;
        default: out[i] = codes[i] - (int32_t)segment_qmax(writer->bits);
        }
    }
}

/* Bytes of a plain frame, with what its marks may take. */
static size_t frame_bytes(uint32_t kind, uint32_t tensor_len, uint32_t bits) {
    uint32_t width = kind == SPK_SEGMENT_QUANTIZED ? bits : kind == SPK_SEGMENT_INTEGERS ? 32 : 1;
    return spk_packed_bytes(tensor_len, width) + 2;
}

static model_t *writer_model(const spk_segment_writer_t *writer) {
    return (model_t *)((uint8_t *)writer->work + writer_own_bytes(writer->policy, writer->kind, writer->tensor_len));
}

static void begin(spk_segment_writer_t *writer, uint32_t offset) {
    model_t *model = writer_model(writer);
    memset(model, 0, sizeof *model);
    model->kind = writer->kind;
    model->tensor_len = writer->tensor_len;
    model->most = writer->kind == SPK_SEGMENT_QUANTIZED ? (int32_t)segment_qmax(writer->bits) : 0;
    model->bits = writer->kind == SPK_SEGMENT_QUANTIZED ? writer->bits : 32;
    model->data_begin = model->coder.at = offset;
}

/* Encode a frame behind what there is. Returns 0 where it found no room, or took more than `most` bytes. */
static int encode(spk_segment_writer_t *writer, uint32_t plain, const void *values, spk_values_t type, size_t most,
                  segment_tally_t *tally) {
    model_t *model = writer_model(writer);
    coder_t *coder = &model->coder;
    if (model->frames == 0) {
        model->blocks++;
        uint32_t tail = 4 * model->blocks + 4;
        uint32_t end = writer->capacity > tail ? writer->capacity - tail : 0;
        coder_begin_encode(coder, writer->buffer, coder->at, end);
        model_begin_block(model);
    }
    uint32_t before = coder_bytes(coder);
    model_run_t run = {.plain = coder_bit(coder, &model->plain, plain)};
    if (plain) {
        model_forget(model);
    }
    if (writer->kind == SPK_SEGMENT_SETS) {
        (void)model_set(model, plain, (uint32_t *)(uintptr_t)values);
    }
    for (uint32_t first = 0; writer->kind != SPK_SEGMENT_SETS && first < model->tensor_len; first += CODES) {
        int32_t piece[CODES];
        uint32_t count = model->tensor_len - first < CODES ? model->tensor_len - first : CODES;
        load_values(writer, values, type, first, count, piece, tally);
        (void)model_values(model, &run, first, count, piece);
        if (count < CODES) {
            break;
        }
    }
    return !coder->overflow && (uint64_t)coder->begin + coder_bytes(coder) + 1 <= coder->end &&
           coder_bytes(coder) - before <= most;
}

static void end_block(spk_segment_writer_t *writer, model_t *model) {
    coder_end_encode(&model->coder);
    spk_store32(writer->buffer + writer->capacity - 4 * model->blocks, model->coder.at - model->data_begin);
    model->frames = 0;
}

static int write_frame(spk_segment_writer_t *writer, const void *values, spk_values_t type, segment_tally_t *tally) {
    model_t *model = writer_model(writer);
    model_t snapshot = *model;
    if (!encode(writer, 0, values, type, frame_bytes(writer->kind, writer->tensor_len, writer->bits), tally)) {
        *model = snapshot;
        *tally = (segment_tally_t){.measures = tally->measures};
        if (!encode(writer, 1, values, type, SIZE_MAX, tally)) {
            *model = snapshot;
            return 0;
        }
    }
    if (++model->frames == writer->policy->block_frames) {
        end_block(writer, model);
    }
    return 1;
}

/* The index, which grew downwards from the buffer's end, goes behind the data. */
static uint32_t end(spk_segment_writer_t *writer, uint32_t *data_end) {
    model_t *model = writer_model(writer);
    if (model->frames != 0) {
        end_block(writer, model);
    }
    uint8_t *index = writer->buffer + writer->capacity - 4 * model->blocks;
    for (uint32_t k = 0; k < model->blocks / 2; k++) {
        uint8_t *low = index + 4 * k;
        uint8_t *high = index + 4 * (model->blocks - 1 - k);
        uint32_t word = spk_load32(low);
        spk_store32(low, spk_load32(high));
        spk_store32(high, word);
    }
    *data_end = model->coder.at;
    memmove(writer->buffer + *data_end, index, 4 * model->blocks);
    return *data_end + 4 * model->blocks;
}

/* Stand before the first frame of a block. */
static void seek(spk_segment_reader_t *reader, uint32_t block) {
    const spk_segment_t *segment = reader->segment;
    model_t *model = reader->work;
    const uint8_t *index = segment->bytes + segment->data_offset + segment->data_bytes + 4 * (size_t)block;
    uint32_t first = block == 0 ? 0 : spk_load32(index - 4);
    memset(model, 0, sizeof *model);
    model->kind = segment->kind;
    model->tensor_len = segment->tensor_len;
    model->most = segment->kind == SPK_SEGMENT_QUANTIZED ? (int32_t)segment_qmax(segment->bits) : 0;
    model->bits = segment->kind == SPK_SEGMENT_QUANTIZED ? segment->bits : 32;
    coder_begin_decode(&model->coder, segment->bytes + segment->data_offset, first, spk_load32(index));
    model_begin_block(model);
    reader->next = block * segment->block_frames;
}

static void store_values(const spk_segment_t *segment, const int32_t *piece, uint32_t first, uint32_t count,
                         void *values, spk_values_t type) {
    for (uint32_t i = 0; i < count; i++) {
        if (type == SPK_VALUES_INT32) {
            ((int32_t *)values)[first + i] = piece[i];
        } else if (segment->kind == SPK_SEGMENT_INTEGERS) {
            ((float *)values)[first + i] = (float)piece[i];
        } else {
            ((float *)values)[first + i] = (float)piece[i] * spk_segment_scale(segment, (first + i) / segment->group_len);
        }
    }
}

/* Decode the frame that the reader stands before. Returns 0 where a value is out of range. */
static int decode(spk_segment_reader_t *reader, void *values, spk_values_t type) {
    model_t *model = reader->work;
    model_run_t run = {.plain = coder_bit(&model->coder, &model->plain, 0)};
    if (run.plain) {
        model_forget(model);
    }
    if (model->kind == SPK_SEGMENT_SETS) {
        return model_set(model, run.plain, values);
    }
    for (uint32_t first = 0; first < model->tensor_len; first += CODES) {
        int32_t piece[CODES] = {0};
        uint32_t count = model->tensor_len - first < CODES ? model->tensor_len - first : CODES;
        if (!model_values(model, &run, first, count, piece)) {
            return 0;
        }
        store_values(reader->segment, piece, first, count, values, type);
        if (count < CODES) {
            break;
        }
    }
    return 1;
}

static int read_frame(spk_segment_reader_t *reader, uint32_t frame, void *values, spk_values_t type) {
    uint32_t block_frames = reader->segment->block_frames;
    if (frame < reader->next || frame / block_frames != reader->next / block_frames || reader->next % block_frames == 0) {
        seek(reader, frame / block_frames);
    }
    for (; reader->next <= frame; reader->next++) {
        if (!decode(reader, values, type)) {
            reader->next = UINT32_MAX;
            return SPK_ERROR_CODE;
        }
    }
    const model_t *model = reader->work;
    return model->kind == SPK_SEGMENT_SETS ? (int)model->count : SPK_OK;
}

const spk_segment_coding_t *spk_segment_version_2(void) {
    static const spk_segment_coding_t coding = {model_bytes, frame_bytes, begin, write_frame, end, read_frame};
    return &coding;
}
