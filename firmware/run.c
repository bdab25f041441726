/* stimulus entries + bursts -> record stream */
#include "app.h"

#include <string.h>

/* A varint of at most 32 bits. Returns 0 where the bytes end inside it. */
static int get_varint(const uint8_t *bytes, uint32_t length, uint32_t *at, uint32_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < length && shift < 35; shift += 7) {
        uint32_t byte = bytes[(*at)++];
        *value |= (byte & 127u) << shift;
        if (!(byte & 128u)) {
            return 1;
        }
    }
    return 0;
}

/* The next stimulus entry: bursts after the last entry's, neurons after the last entry's in the same burst (else
 * from 0), value (int8: zigzag varint; fp32: 4 bytes). Returns 1, 0 at the end, or -1 where the bytes are no entry. */
static int next_entry(app_t *app) {
    uint32_t skip = 0;
    uint32_t neuron = 0;
    if (app->stimulus_at == app->stimulus_length) {
        return 0;
    }
    if (!get_varint(app->stimulus, app->stimulus_length, &app->stimulus_at, &skip) ||
        !get_varint(app->stimulus, app->stimulus_length, &app->stimulus_at, &neuron)) {
        return -1;
    }
    app->stimulus_burst += skip;
    app->stimulus_neuron = skip == 0 ? app->stimulus_neuron + neuron : neuron;
    if (app->image.precision != SPK_PRECISION_INT8) {
        if (app->stimulus_length - app->stimulus_at < 4) {
            return -1;
        }
        app->stimulus_value = app_get32(app->stimulus + app->stimulus_at);
        app->stimulus_at += 4;
        return 1;
    }
    uint32_t value = 0;
    if (!get_varint(app->stimulus, app->stimulus_length, &app->stimulus_at, &value)) {
        return -1;
    }
    app->stimulus_value = value >> 1 ^ (0u - (value & 1u));
    return 1;
}

static void rewind_stimulus(app_t *app) {
    app->stimulus_at = 0;
    app->stimulus_burst = app->engine.burst + 1;
    app->stimulus_neuron = 0;
}

/* Take entries into the buffer and check every one before anything is added: ascending, in range, within limits.
 * `detail` names the first entry at fault. */
static int take_stimulus(app_t *app, const uint8_t *bytes, uint32_t length, uint32_t last_burst, uint32_t *detail) {
    memcpy(app->stimulus, bytes, length);
    app->stimulus_length = length;
    rewind_stimulus(app);
    uint32_t burst = app->stimulus_burst;
    uint32_t free = app->engine.next_injected;
    int more = 0;
    for (*detail = 0; (more = next_entry(app)) == 1; (*detail)++) {
        if (app->stimulus_burst < burst || app->stimulus_burst > last_burst) {
            return APP_ERROR_VALUE;
        }
        free = app->stimulus_burst == burst ? free : 0;
        burst = app->stimulus_burst;
        int error = app->stimulus_neuron < free
                        ? SPK_ERROR_NEURON
                        : spk_engine_inject_check(&app->engine, app->stimulus_neuron, app->stimulus_value);
        if (error != SPK_OK) {
            return error;
        }
        free = app->stimulus_neuron + 1;
    }
    rewind_stimulus(app);
    return more == 0 ? 0 : APP_ERROR_VALUE;
}

/* Add the entry at hand to the next burst. */
static int inject(app_t *app) {
    app_note_stimulus(app, app->stimulus_neuron, app->stimulus_value);
    return spk_engine_inject(&app->engine, app->stimulus_neuron, app->stimulus_value);
}

/* INJECT: entries, all for the next burst. */
int app_inject(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    int error = take_stimulus(app, payload, length, app->engine.burst + 1, detail);
    while (error == 0 && next_entry(app) == 1) {
        error = inject(app);
    }
    app->stimulus_length = app->stimulus_at = 0;
    return error;
}

/* RUN: bursts, flags, period in microseconds, entries. */
int app_run(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    if (length < 9) {
        return APP_ERROR_LENGTH;
    }
    uint32_t bursts = app_get32(payload);
    int error = take_stimulus(app, payload + 9, length - 9, UINT32_MAX, detail);
    if (error != 0) {
        return error;
    }
    app->run_flags = payload[4];
    app->run_period_us = app_get32(payload + 5);
    app->run_sequence = app->received[1];
    app->run_due_us = spk_port_micros();
    app->run_left = bursts;
    app->data_sequence = 0;
    app->stream_length = 0;
    app->record_burst = app->engine.burst;
    app->running = 1;
    app->stimulus_done = next_entry(app) != 1;
    return 0;
}

void app_flush_records(app_t *app) {
    if (app->stream_length != 0) {
        app_send(app->stream, MESSAGE_DATA | MESSAGE_REPLY, app->data_sequence++, app->stream_length);
        app->stream_length = 0;
    }
}

static void put_byte(app_t *app, uint8_t byte) {
    app->stream[SPK_LINK_HEAD_BYTES + app->stream_length++] = byte;
    if (app->stream_length == APP_PAYLOAD_BYTES) {
        app_flush_records(app);
    }
}

static void put_varint(app_t *app, uint32_t value) {
    for (; value > 127; value >>= 7) {
        put_byte(app, (uint8_t)(value | 128u));
    }
    put_byte(app, (uint8_t)value);
}

static void put_word(app_t *app, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        put_byte(app, (uint8_t)(value >> (8 * i)));
    }
}

/* One record: bursts since the last one, fired count, ids as gaps, both hashes, as the run's flags ask. */
static void put_record(app_t *app) {
    const spk_engine_t *engine = &app->engine;
    put_varint(app, engine->burst - app->record_burst);
    app->record_burst = engine->burst;
    put_varint(app, engine->fired_count);
    uint32_t last = 0;
    uint32_t id = 0;
    while (app->run_flags & RUN_FIRED && (id = spk_engine_next_fired(engine, id)) < app->image.neuron_count) {
        put_varint(app, id - last);
        last = id++;
    }
    for (int k = 0; app->run_flags & RUN_HASHES && k < 2; k++) {
        put_word(app, engine->hash[k]);
        put_word(app, engine->potential_hash[k]);
    }
}

static void record_burst(app_t *app) {
    if (!(app->run_flags & (RUN_FIRED | RUN_HASHES))) {
        return;
    }
    if (app->run_flags & RUN_LOSSY && !spk_port_writable()) {
        app->dropped++;
        return;
    }
    put_record(app);
    if (app->run_flags & RUN_REALTIME) {
        app_flush_records(app);
    }
}

/* Add the entries of the next burst. */
static void inject_due(app_t *app) {
    while (!app->stimulus_done && app->stimulus_burst == app->engine.burst + 1) {
        (void)inject(app);
        app->stimulus_done = next_entry(app) != 1;
    }
}

/* Run the image's own test, if it has one, from burst 0 and back to it. Returns 0, or APP_ERROR_TEST. */
int app_self_test(app_t *app, uint32_t *detail) {
    const uint8_t *test = app->image.test;
    if (test == NULL) {
        return 0;
    }
    int error = app_start_engine(app, 1);
    uint32_t bursts = app_get32(test + 8);
    uint32_t stimulus = app_get32(test + 4);
    app->stream_count = 0;
    if (error == 0) {
        error = stimulus > APP_STIMULUS_BYTES
                    ? APP_ERROR_SIZE
                    : take_stimulus(app, test + SPK_IMAGE_TEST_BYTES, stimulus, bursts, detail);
    }
    app->stimulus_done = next_entry(app) != 1;
    while (error == 0 && app->engine.burst < bursts) {
        inject_due(app);
        spk_engine_burst(&app->engine);
    }
    for (uint32_t k = 0; error == 0 && k < 2; k++) {
        if (app->engine.hash[k] != app_get32(test + 12 + 4 * k) ||
            app->engine.potential_hash[k] != app_get32(test + 20 + 4 * k)) {
            *detail = bursts;
            error = APP_ERROR_TEST;
        }
    }
    app->stimulus_length = app->stimulus_at = 0;
    (void)app_start_engine(app, 0);
    return error;
}

static int last_area_fired(const app_t *app) {
    uint32_t areas = app->image.area_count;
    return app->engine.fired_count != 0 && areas != 0 &&
           spk_engine_next_fired(&app->engine, spk_engine_area_first(&app->engine, areas - 1)) < app->image.neuron_count;
}

void app_count_cycles(app_t *app, uint64_t cycles) {
    app->cycles_total += cycles;
    app->cycles_most = cycles > app->cycles_most ? cycles : app->cycles_most;
}

static void run_one(app_t *app) {
    inject_due(app);
    uint64_t begin = spk_port_cycles();
    spk_engine_burst(&app->engine);
    uint64_t cycles = spk_port_cycles() - begin;
    spk_port_light(last_area_fired(app));
    app_count_cycles(app, cycles);
    record_burst(app);
    if (app->run_flags & RUN_SEGMENTS) {
        app_stream_burst(app);
    }
    app_forget_stimulus(app);
}

/* One burst of the run, if it is due. Returns microseconds until the next is. */
uint32_t app_run_burst(app_t *app) {
    if (app->run_left == 0) {
        app_end_run(app);
        return 0;
    }
    uint64_t now = spk_port_micros();
    if (app->run_flags & RUN_REALTIME) {
        if (now < app->run_due_us) {
            return (uint32_t)(app->run_due_us - now);
        }
        if (now - app->run_due_us > app->run_period_us) {
            app->overruns++;
            app->run_due_us = now;
        }
        app->run_due_us += app->run_period_us;
    }
    run_one(app);
    app->run_left -= app->run_left != UINT32_MAX;
    return 0;
}

uint32_t app_put_state(const app_t *app, uint8_t *out) {
    const spk_engine_t *engine = &app->engine;
    const uint32_t lanes[] = {
        engine->burst, engine->hash[0], engine->hash[1], engine->potential_hash[0], engine->potential_hash[1],
    };
    const uint64_t counts[] = {
        engine->counters.fired, engine->counters.events, engine->counters.saturations, app->cycles_total, app->cycles_most,
    };
    const uint32_t faults[] = {app->overruns, app->link_errors, app->dropped, spk_port_stack_unused()};
    uint32_t at = app_put_words(out, 0, lanes, sizeof lanes / sizeof lanes[0]);
    for (uint32_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        at = app_put64(out, at, counts[i]);
    }
    at = app_put_words(out, at, faults, sizeof faults / sizeof faults[0]);
    out[at] = app->running;
    return at + 1;
}

void app_end_run(app_t *app) {
    app_flush_records(app);
    if (app->run_flags & RUN_SEGMENTS) {
        app_flush_telemetry(app);
    }
    app->running = 0;
    uint32_t length = app_put_state(app, app->stream + SPK_LINK_HEAD_BYTES);
    app_send(app->stream, MESSAGE_DONE | MESSAGE_REPLY, app->run_sequence, length);
}
