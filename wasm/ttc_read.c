/* segment -> frames, and what it tells before that. */
#include "ttc.h"

#include <stddef.h>
#include <string.h>

#include "host.h"
#include "pool.h"

static int32_t open_segment(spk_segment_t *segment, const uint8_t *seg, uint32_t seg_len) {
    uint32_t offset = 0;
    int error = spk_segment_open(segment, seg, seg_len, &offset);
    return error != SPK_OK ? host_fail(error, offset) : SPK_OK;
}

/* A frame's bitmap, which lies where the floats go, as floats: from the last one on, no word is lost before its turn. */
static void spread_set(float *values, uint32_t count) {
    for (uint32_t i = count; i-- != 0;) {
        uint32_t word;
        memcpy(&word, values + i / 32, sizeof word);
        values[i] = (float)(word >> i % 32 & 1u);
    }
}

static int32_t read_frames(spk_segment_reader_t *reader, float *out) {
    const spk_segment_t *segment = reader->segment;
    for (uint32_t frame = 0; frame < segment->frame_count; frame++, out += segment->tensor_len) {
        int sets = segment->kind == SPK_SEGMENT_SETS;
        int error = sets ? spk_segment_read_set(reader, frame, (uint32_t *)(void *)out)
                         : spk_segment_read(reader, frame, out);
        if (error < 0) {
            return host_fail(error, frame);
        }
        if (sets) {
            spread_set(out, segment->tensor_len);
        }
    }
    return SPK_OK;
}

/* All frames; `out` has room for them. */
static int32_t decode(const spk_segment_t *segment, float *out) {
    const spk_segment_coding_t *coding = spk_segment_version_2();
    size_t bytes = spk_segment_reader_bytes(segment, coding);
    spk_segment_reader_t reader;
    void *work = NULL;
    if (bytes != 0) {
        work = bytes <= UINT32_MAX ? pool_take(POOL_OWN, (uint32_t)bytes) : NULL;
        if (work == NULL) {
            return host_fail(TTC_ERROR_MEMORY, bytes <= UINT32_MAX ? (uint32_t)bytes : UINT32_MAX);
        }
    }
    int error = spk_segment_reader_init(&reader, segment, coding, work, bytes);
    int32_t told = error != SPK_OK ? host_fail(error, 0) : read_frames(&reader, out);
    if (work != NULL) {
        pool_give(work);
    }
    return told;
}

/* Check the arguments of a function that fills floats from a segment, and open it. Returns 0 or the error noted. */
static int32_t open_for(spk_segment_t *segment, const uint8_t *seg, uint32_t seg_len, float *out, uint32_t out_cap,
                        uint32_t *out_written) {
    const host_span_t spans[] = {{seg, seg_len, 1, 1}, {out, (uint64_t)out_cap * 4, 4, 3}, {out_written, 4, 4, 5}};
    int32_t error = host_check_spans(spans, 3);
    if (error != SPK_OK) {
        return error;
    }
    *out_written = 0;
    return open_segment(segment, seg, seg_len);
}

int32_t ttc_decode_segment(const uint8_t *seg, uint32_t seg_len, float *out, uint32_t out_cap, uint32_t *out_written) {
    spk_segment_t segment;
    if (open_for(&segment, seg, seg_len, out, out_cap, out_written) != SPK_OK) {
        return ttc_last_error();
    }
    uint64_t floats = (uint64_t)segment.frame_count * segment.tensor_len;
    if (floats > UINT32_MAX) {
        return host_fail(TTC_ERROR_LENGTH, UINT32_MAX);
    }
    if (floats > out_cap) {
        *out_written = (uint32_t)floats;
        return host_fail(SPK_ERROR_BUFFER, (uint32_t)floats);
    }
    if (floats != 0 && decode(&segment, out) != SPK_OK) {
        return ttc_last_error();
    }
    *out_written = (uint32_t)floats;
    return host_fine();
}

int32_t ttc_segment_info(const uint8_t *seg, uint32_t seg_len, ttc_info_t *out) {
    const host_span_t spans[] = {{seg, seg_len, 1, 1}, {out, sizeof *out, 4, 3}};
    spk_segment_t segment;
    if (host_check_spans(spans, 2) != SPK_OK || open_segment(&segment, seg, seg_len) != SPK_OK) {
        return ttc_last_error();
    }
    *out = (ttc_info_t){.version = segment.version, .kind = segment.kind, .bits = segment.bits,
                        .group_len = segment.group_len, .group_count = segment.scale_count,
                        .tensor_len = segment.tensor_len, .frame_count = segment.frame_count,
                        .block_frames = segment.block_frames, .byte_count = segment.byte_count,
                        .bounded = segment.bounded};
    return host_fine();
}

int32_t ttc_segment_bounds(const uint8_t *seg, uint32_t seg_len, float *out, uint32_t out_cap, uint32_t *out_written) {
    spk_segment_t segment;
    if (open_for(&segment, seg, seg_len, out, out_cap, out_written) != SPK_OK) {
        return ttc_last_error();
    }
    *out_written = segment.scale_count;
    if (segment.scale_count > out_cap) {
        return host_fail(SPK_ERROR_BUFFER, segment.scale_count);
    }
    for (uint32_t group = 0; group < segment.scale_count; group++) {
        out[group] = spk_segment_bound(&segment, group);
    }
    return host_fine();
}
