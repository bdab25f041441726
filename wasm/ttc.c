/* frames -> segment behind handles, over static pools. */
#include "ttc.h"

#include <stddef.h>
#include <string.h>

#include "host.h"
#include "pool.h"

/* A stream. `open`: frames were taken that no close has ended; `waiting`: bytes of a closed segment in the writer's
 * buffer that the host does not have yet. */
typedef struct {
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    void *memory;
    uint32_t generation; /* of its handle; counts what was freed */
    uint32_t waiting;
    uint8_t used;
    uint8_t started;
    uint8_t open;
} stream_t;

static stream_t streams[TTC_STREAMS];
/* NULL: no such stream. */
static stream_t *stream_of(uint32_t handle) {
    stream_t *stream = &streams[handle % TTC_STREAMS];
    if (stream->used && handle / TTC_STREAMS == stream->generation) {
        return stream;
    }
    (void)host_fail(TTC_ERROR_HANDLE, handle);
    return NULL;
}

/* Bytes of a stream's segment buffer; 0 where policy and length do not go together. */
static uint32_t buffer_bytes(const spk_segment_policy_t *policy, uint32_t len) {
    size_t one = spk_segment_buffer_bytes(policy, SPK_SEGMENT_QUANTIZED, len, 1);
    size_t most = spk_segment_buffer_bytes(policy, SPK_SEGMENT_QUANTIZED, len, TTC_BUFFER_FRAMES);
    most = most < TTC_BUFFER_BYTES ? most : TTC_BUFFER_BYTES;
    return (uint32_t)(one > most ? one : most);
}

/* Memory for a stream as its policy has it, and a writer that has taken nothing. */
static int32_t begin_stream(stream_t *stream, uint32_t len, uint32_t now) {
    uint32_t capacity = buffer_bytes(&stream->policy, len);
    if (capacity == 0) {
        return host_fail(SPK_ERROR_PARAMETER, 0);
    }
    uint32_t work = (uint32_t)(spk_segment_work_bytes(&stream->policy, SPK_SEGMENT_QUANTIZED, len) + 7) / 8 * 8;
    stream->memory = pool_take(POOL_OWN, work + capacity);
    if (stream->memory == NULL) {
        return host_fail(TTC_ERROR_MEMORY, work + capacity);
    }
    uint8_t *buffer = (uint8_t *)stream->memory + work;
    return spk_segment_writer_init(&stream->writer, &stream->policy, SPK_SEGMENT_QUANTIZED, len, stream->memory, work,
                                   buffer, capacity, now);
}

static int32_t create(const spk_segment_policy_t *policy, uint32_t len, uint32_t now, uint32_t *out_handle,
                      uint32_t argument) {
    host_span_t out = {out_handle, sizeof *out_handle, sizeof *out_handle, argument};
    int32_t error = host_check_span(&out);
    if (error != SPK_OK) {
        return error;
    }
    if (len == 0 || len > TTC_MOST_LEN) {
        return host_fail(TTC_ERROR_LENGTH, TTC_MOST_LEN);
    }
    uint32_t slot = 0;
    while (slot < TTC_STREAMS && streams[slot].used) {
        slot++;
    }
    if (slot == TTC_STREAMS) {
        return host_fail(TTC_ERROR_STREAMS, TTC_STREAMS);
    }
    stream_t *stream = &streams[slot];
    uint32_t next = (stream->generation + 1) % (UINT32_MAX / TTC_STREAMS);
    stream->policy = *policy;
    error = begin_stream(stream, len, now);
    if (error != SPK_OK) {
        return error;
    }
    stream->generation = next != 0 ? next : 1;
    stream->waiting = 0;
    stream->used = 1;
    stream->started = 0;
    stream->open = 0;
    *out_handle = stream->generation * TTC_STREAMS + slot;
    return host_fine();
}

int32_t ttc_create(uint32_t len, uint32_t now_ts, uint32_t *out_handle) {
    spk_segment_policy_t policy;
    spk_segment_policy_default(&policy);
    return create(&policy, len, now_ts, out_handle, 3);
}

int32_t ttc_create_with_policy(uint32_t len, uint32_t now_ts, uint32_t hot_min_score, uint32_t warm_min_score,
                               uint32_t warm_bits, uint32_t drift_pct_q8, uint32_t group_len, uint32_t *out_handle) {
    spk_segment_policy_t policy;
    spk_segment_policy_default(&policy);
    if (warm_bits > UINT8_MAX || drift_pct_q8 > UINT16_MAX) {
        return host_fail(SPK_ERROR_PARAMETER, 0);
    }
    uint32_t low = 65000 / (256 + drift_pct_q8); /* spk_segment_policy_check */
    policy.hot_min_score = hot_min_score;
    policy.warm_min_score = warm_min_score;
    policy.bits[SPK_TIER_WARM] = (uint8_t)warm_bits;
    for (int tier = 0; tier < 3; tier++) {
        policy.drift_q8[tier] = (uint16_t)drift_pct_q8;
    }
    policy.low_q8 = (uint16_t)(low < policy.low_q8 ? low : policy.low_q8);
    policy.group_len = group_len;
    return create(&policy, len, now_ts, out_handle, 8);
}

int32_t ttc_configure(uint32_t handle, uint32_t version, uint32_t headroom, uint32_t low_q8,
                      uint32_t hysteresis_frames, uint32_t block_frames) {
    stream_t *stream = stream_of(handle);
    if (stream == NULL) {
        return ttc_last_error();
    }
    if (stream->started) {
        return host_fail(TTC_ERROR_STARTED, 0);
    }
    spk_segment_policy_t before = stream->policy;
    spk_segment_policy_t policy = before;
    policy.coding = version == 2 ? spk_segment_version_2() : NULL;
    policy.headroom = (uint8_t)headroom;
    policy.low_q8 = (uint16_t)low_q8;
    policy.hysteresis_frames = (uint8_t)hysteresis_frames;
    policy.block_frames = (uint16_t)block_frames;
    if (version < 1 || version > 2 || headroom > 1 || low_q8 > 256 || hysteresis_frames > UINT8_MAX ||
        block_frames > UINT16_MAX || spk_segment_policy_check(&policy) != SPK_OK) {
        return host_fail(SPK_ERROR_PARAMETER, 0);
    }
    spk_segment_writer_t writer = stream->writer;
    pool_give(stream->memory);
    stream->policy = policy;
    int32_t error = begin_stream(stream, writer.tensor_len, writer.last_access);
    if (error != SPK_OK) { /* what was given back is still there */
        stream->policy = before;
        (void)begin_stream(stream, writer.tensor_len, writer.last_access);
    }
    spk_segment_set_access(&stream->writer, writer.access_count, writer.last_access);
    return error != SPK_OK ? error : host_fine();
}

int32_t ttc_free(uint32_t handle) {
    stream_t *stream = stream_of(handle);
    if (stream == NULL) {
        return ttc_last_error();
    }
    pool_give(stream->memory);
    stream->used = 0;
    return host_fine();
}

int32_t ttc_touch(uint32_t handle, uint32_t now_ts) {
    stream_t *stream = stream_of(handle);
    if (stream == NULL) {
        return ttc_last_error();
    }
    spk_segment_touch(&stream->writer, now_ts);
    return host_fine();
}

int32_t ttc_set_access(uint32_t handle, uint32_t count, uint32_t last_ts) {
    stream_t *stream = stream_of(handle);
    if (stream == NULL) {
        return ttc_last_error();
    }
    spk_segment_set_access(&stream->writer, count, last_ts);
    return host_fine();
}

/* ---- frames -> segment ---- */

static void close_segment(stream_t *stream) {
    if (stream->open) {
        stream->waiting = spk_segment_close(&stream->writer);
        stream->open = 0;
    }
}

/* Copy the segment that waits; it waits on until the caller says that it does not. */
static int32_t copy_waiting(const stream_t *stream, uint8_t *out, uint32_t out_cap, uint32_t *out_written) {
    if (stream->waiting > out_cap) {
        *out_written = stream->waiting;
        return host_fail(SPK_ERROR_BUFFER, stream->waiting);
    }
    if (stream->waiting != 0) {
        memcpy(out, stream->writer.buffer, stream->waiting);
    }
    return SPK_OK;
}

int32_t ttc_push_frame(uint32_t handle, uint32_t ts, const float *in, uint32_t len, uint8_t *out, uint32_t out_cap,
                       uint32_t *out_written) {
    stream_t *stream = stream_of(handle);
    const host_span_t spans[] = {{in, (uint64_t)len * 4, 4, 3}, {out, out_cap, 1, 5}, {out_written, 4, 4, 7}};
    if (stream == NULL || host_check_spans(spans, 3) != SPK_OK) {
        return ttc_last_error();
    }
    *out_written = 0;
    if (len != stream->writer.tensor_len) {
        return host_fail(TTC_ERROR_LENGTH, stream->writer.tensor_len);
    }
    uint32_t detail = 0;
    int taken = 0;
    if (stream->waiting == 0) {
        taken = spk_segment_push(&stream->writer, in, SPK_VALUES_FLOAT32, ts, &detail);
        if (taken == 0) {
            close_segment(stream);
        }
    }
    if (taken == 0) {
        if (copy_waiting(stream, out, out_cap, out_written) != SPK_OK) {
            return ttc_last_error();
        }
        taken = spk_segment_push(&stream->writer, in, SPK_VALUES_FLOAT32, ts, &detail);
        if (taken > 0) {
            *out_written = stream->waiting;
            stream->waiting = 0;
        }
    }
    if (taken <= 0) {
        return host_fail(taken, detail);
    }
    stream->started = 1;
    stream->open = 1;
    return host_fine();
}

int32_t ttc_flush(uint32_t handle, uint8_t *out, uint32_t out_cap, uint32_t *out_written) {
    stream_t *stream = stream_of(handle);
    const host_span_t spans[] = {{out, out_cap, 1, 2}, {out_written, 4, 4, 4}};
    if (stream == NULL || host_check_spans(spans, 2) != SPK_OK) {
        return ttc_last_error();
    }
    close_segment(stream);
    if (copy_waiting(stream, out, out_cap, out_written) != SPK_OK) {
        return ttc_last_error();
    }
    *out_written = stream->waiting;
    stream->waiting = 0;
    return host_fine();
}
