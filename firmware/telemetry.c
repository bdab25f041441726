/* bursts -> segments -> link frames: what a run streams, compressed on the chip. docs/link.md, telemetry. */
#include "app.h"
#include "espike/half.h"

#include <string.h>

#define STREAM_BYTES 20 /* of a stream in a TELEMETRY request */

/* In 64 bits: a request may ask for more than a size_t counts. */
static uint64_t aligned(uint64_t bytes) { return (bytes + 7) & ~(uint64_t)7; }

/* One stream of the request, checked against the image. */
static int parse_stream(const app_t *app, const uint8_t *bytes, app_stream_t *stream) {
    uint32_t neurons = app->image.neuron_count;
    int floats = app->image.precision != SPK_PRECISION_INT8;
    uint8_t bits = bytes[1];
    memset(stream, 0, sizeof *stream);
    stream->source = bytes[0];
    stream->first = app_get32(bytes + 4);
    stream->count = app_get32(bytes + 8);
    spk_segment_policy_default(&stream->policy);
    stream->policy.coding = bytes[2] == 2 ? APP_SEGMENT_CODING : NULL;
    stream->policy.group_len = app_get32(bytes + 16);
    memset(stream->policy.bits, bits, sizeof stream->policy.bits);
    if (bytes[2] == 2 && stream->policy.coding == NULL) {
        return SPK_ERROR_VERSION;
    }
    if (bytes[2] < 1 || bytes[2] > 2 || bytes[3] != 0 || stream->first > neurons || stream->count == 0 ||
        stream->count > neurons - stream->first) {
        return APP_ERROR_VALUE;
    }
    if (stream->source == STREAM_FIRED) {
        stream->kind = SPK_SEGMENT_SETS;
        stream->type = SPK_VALUES_BITMAP;
        memset(stream->policy.bits, 8, sizeof stream->policy.bits);
        return bits != 0 || stream->count != neurons ? APP_ERROR_VALUE : 0;
    }
    if (stream->source > STREAM_STIMULUS || (bits == 0 && floats)) {
        return APP_ERROR_VALUE;
    }
    stream->kind = bits == 0 ? SPK_SEGMENT_INTEGERS : SPK_SEGMENT_QUANTIZED;
    stream->type = floats                              ? SPK_VALUES_FLOAT32
                   : stream->source == STREAM_POTENTIALS ? SPK_VALUES_INT16
                   : bits == 0                         ? SPK_VALUES_INT32
                                                       : SPK_VALUES_FLOAT32;
    if (bits == 0) {
        memset(stream->policy.bits, 8, sizeof stream->policy.bits);
    }
    return 0;
}

/* Does a stream gather its values before they are encoded: stimulus, and potentials of 16 bits that are floats? */
static int has_values(const app_t *app, const app_stream_t *stream) {
    return stream->source == STREAM_STIMULUS ||
           (APP_FP32 && stream->source == STREAM_POTENTIALS && app->image.precision == SPK_PRECISION_FP16);
}

/* Give a stream its memory at `at` of the arena. Returns the bytes it takes, 0 where its fields do not go together. */
static uint64_t place_stream(app_t *app, app_stream_t *stream, uint64_t at, uint32_t buffer_bytes) {
    spk_segment_kind_t kind = (spk_segment_kind_t)stream->kind;
    size_t work = spk_segment_work_bytes(&stream->policy, kind, stream->count);
    size_t one = spk_segment_buffer_bytes(&stream->policy, kind, stream->count, 1);
    size_t capacity = buffer_bytes > one ? buffer_bytes : one;
    uint64_t values = has_values(app, stream) ? (uint64_t)stream->count * 4 : 0;
    uint64_t bytes = aligned(work) + aligned(values) + aligned(capacity);
    if (work == 0) {
        return 0;
    }
    if (at + bytes <= app->arena_bytes) {
        uint8_t *memory = (uint8_t *)app->port->arena + (size_t)at;
        uint8_t *behind = memory + (size_t)aligned(work);
        stream->values = values != 0 ? behind : NULL;
        (void)spk_segment_writer_init(&stream->writer, &stream->policy, kind, stream->count, memory, work,
                                      behind + (size_t)aligned(values), (uint32_t)capacity, 0);
        memset(behind, 0, (size_t)values);
    }
    return bytes;
}

/* TELEMETRY: bursts after which a segment is closed at the latest (0: when full), streams. *used = bytes of the arena
 * behind the network that they take. Refused: there are no streams; *detail = the one at fault, or the bytes that all
 * would take. */
int app_telemetry(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *used, uint32_t *detail) {
    uint64_t begin = aligned(spk_engine_ram_bytes(&app->image));
    uint64_t at = begin;
    app->stream_count = 0;
    app->senses_on = 0;
    if (length < 4 || (length - 4) % STREAM_BYTES != 0 || (length - 4) / STREAM_BYTES > APP_STREAMS) {
        return APP_ERROR_LENGTH;
    }
    app->flush_bursts = app_get32(payload);
    uint32_t count = (length - 4) / STREAM_BYTES;
    for (*detail = 0; *detail < count; (*detail)++) {
        const uint8_t *bytes = payload + 4 + *detail * STREAM_BYTES;
        app_stream_t *stream = &app->streams[*detail];
        int error = parse_stream(app, bytes, stream);
        uint64_t taken = error == 0 ? place_stream(app, stream, at, app_get32(bytes + 12)) : 0;
        if (taken == 0) {
            return error != 0 ? error : APP_ERROR_VALUE;
        }
        at += taken;
    }
    if (at > app->arena_bytes) {
        *detail = at - begin < UINT32_MAX ? (uint32_t)(at - begin) : UINT32_MAX;
        return APP_ERROR_SIZE;
    }
    app->stream_count = (uint8_t)count;
    *used = (uint32_t)(at - begin);
    return 0;
}

/* A stimulus value that was just injected. */
void app_note_stimulus(app_t *app, uint32_t neuron, uint32_t value) {
    for (uint32_t s = 0; s < app->stream_count; s++) {
        app_stream_t *stream = &app->streams[s];
        if (stream->source != STREAM_STIMULUS || stream->values == NULL || neuron < stream->first || neuron - stream->first >= stream->count) {
            continue;
        }
        uint8_t *out = stream->values + 4 * (size_t)(neuron - stream->first);
        float number = (float)(int32_t)value;
        if (stream->type == SPK_VALUES_FLOAT32 && app->image.precision == SPK_PRECISION_INT8) {
            memcpy(out, &number, sizeof number);
        } else {
            memcpy(out, &value, sizeof value);
        }
    }
}

static const void *stream_values(const app_t *app, const app_stream_t *stream) {
    if (stream->source == STREAM_FIRED) {
        return app->engine.fired;
    }
    if (stream->source == STREAM_STIMULUS) {
        return stream->values;
    }
    for (uint32_t i = 0; APP_FP32 && stream->values != NULL && i < stream->count; i++) {
        uint32_t bits = spk_half_to_float_bits((uint16_t)spk_engine_potential(&app->engine, stream->first + i));
        memcpy(stream->values + 4 * (size_t)i, &bits, sizeof bits);
    }
    if (stream->values != NULL) {
        return stream->values;
    }
    size_t size = stream->type == SPK_VALUES_FLOAT32 ? 4 : 2;
    return (const uint8_t *)app->engine.potential + stream->first * size;
}

/* Close a stream's segment and send it in pieces; a slow wire may drop it whole. */
static void send_segment(app_t *app, uint8_t number) {
    app_stream_t *stream = &app->streams[number];
    uint32_t sent = 0;
    if (stream->frames == 0) {
        return; /* the writer would close its last segment again */
    }
    uint32_t bytes = spk_segment_close(&stream->writer);
    if (app->run_flags & RUN_LOSSY && !spk_port_writable()) {
        app->dropped += stream->frames;
        bytes = 0;
    }
    app_flush_records(app);
    while (sent < bytes) {
        uint8_t *out = app->stream + SPK_LINK_HEAD_BYTES;
        uint32_t at = 4;
        memset(out, 0, 4);
        out[0] = number;
        if (sent == 0) {
            out[1] = 1;
            at = app_put32(out, app_put32(out, at, stream->first_burst), bytes);
        }
        uint32_t piece = bytes - sent < APP_PAYLOAD_BYTES - at ? bytes - sent : APP_PAYLOAD_BYTES - at;
        memcpy(out + at, stream->writer.buffer + sent, piece);
        sent += piece;
        out[1] |= sent == bytes ? 2 : 0;
        app_send(app->stream, MESSAGE_SEGMENT | MESSAGE_REPLY, app->data_sequence++, at + piece);
    }
    stream->frames = 0;
}

void app_flush_telemetry(app_t *app) {
    for (uint8_t s = 0; s < app->stream_count; s++) {
        send_segment(app, s);
    }
}

/* A stream takes the burst that just ran. */
static void stream_burst(app_t *app, uint8_t number) {
    app_stream_t *stream = &app->streams[number];
    const void *values = stream_values(app, stream);
    spk_values_t type = (spk_values_t)stream->type;
    uint32_t detail = 0;
    int taken = spk_segment_push(&stream->writer, values, type, app->engine.burst, &detail);
    if (taken == 0) {
        send_segment(app, number);
        taken = spk_segment_push(&stream->writer, values, type, app->engine.burst, &detail);
    }
    if (taken != 1) { /* version 1, and a scale that it cannot hold */
        app->dropped++;
        return;
    }
    stream->first_burst = stream->frames == 0 ? app->engine.burst : stream->first_burst;
    if (++stream->frames == app->flush_bursts) {
        send_segment(app, number);
    }
}

void app_stream_burst(app_t *app) {
    for (uint8_t s = 0; s < app->stream_count; s++) {
        stream_burst(app, s);
    }
}

void app_forget_stimulus(app_t *app) {
    for (uint32_t s = 0; s < app->stream_count; s++) {
        if (app->streams[s].values != NULL) {
            memset(app->streams[s].values, 0, 4 * (size_t)app->streams[s].count);
        }
    }
}
