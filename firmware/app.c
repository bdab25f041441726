/* link frames -> requests -> replies */
#include "app.h"

#include <string.h>

static app_t application;

uint32_t app_get32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint32_t app_put32(uint8_t *bytes, uint32_t at, uint32_t value) {
    for (uint32_t i = 0; i < 4; i++) {
        bytes[at + i] = (uint8_t)(value >> (8 * i));
    }
    return at + 4;
}

uint32_t app_put_words(uint8_t *out, uint32_t at, const uint32_t *words, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        at = app_put32(out, at, words[i]);
    }
    return at;
}

uint32_t app_put64(uint8_t *bytes, uint32_t at, uint64_t value) {
    return app_put32(bytes, app_put32(bytes, at, (uint32_t)value), (uint32_t)(value >> 32));
}

static void write_port(void *context, const uint8_t *bytes, size_t count) {
    (void)context;
    spk_port_write(bytes, count);
}

void app_send(uint8_t *buffer, uint8_t type, uint8_t sequence, uint32_t length) {
    buffer[0] = type;
    buffer[1] = sequence;
    spk_link_send(buffer, length, write_port, NULL);
}

void app_init(void) {
    app_t *app = &application;
    memset(app, 0, sizeof *app);
    app->port = spk_port_init();
    spk_link_receiver_init(&app->receiver, app->received, sizeof app->received);
    app->attempts = (uint32_t)spk_port_micros();
    app_open_store(app);
    if (APP_SLEEP) {
        app_wake(app);
    }
}

/* docs/link.md, HELLO reply. */
static uint32_t put_hello(const app_t *app, uint8_t *out) {
    const spk_port_t *port = app->port;
    memset(out, 0, 20);
    out[0] = APP_PROTOCOL_VERSION;
    out[1] = 1u << SPK_PRECISION_INT8 | APP_FP32 << SPK_PRECISION_FP16 | APP_FP32 << SPK_PRECISION_FP32;
    out[2] = app->has_image;
    out[3] = app->running;
    for (uint32_t i = 0; i < 15 && port->name[i] != 0; i++) {
        out[4 + i] = (uint8_t)port->name[i];
    }
    const spk_image_t *image = &app->image;
    const int has = app->has_image;
    const uint32_t words[] = {
        APP_PAYLOAD_BYTES, spk_store_slot_bytes(&app->flash), port->sector_bytes, port->arena_bytes, port->cycles_hz,
        (uint32_t)app->image_error, app->image_error_offset, has ? image->total_bytes : 0,
        has ? (uint32_t)spk_engine_ram_bytes(image) : 0, has ? image->neuron_count : 0, has ? image->synapse_count : 0,
        has ? image->timestep_us : 0, has ? image->precision : 0,
    };
    uint32_t at = app_put_words(out, 20, words, sizeof words / sizeof words[0]);
    memset(out + at, 0, 32);
    if (app->has_image) {
        memcpy(out + at, spk_image_network_hash(&app->image), 32);
    }
    at += 32;
    out[at] = (uint8_t)app->slot;
    out[at + 1] = app->store.outcome;
    out[at + 2] = app->store.has_key;
    out[at + 3] = (uint8_t)port->reset_cause;
    at = app_put32(out, at + 4, app->has_image ? app->store.image_crc[app->slot] : 0);
    app_put_challenge(app, out + at);
    return app_put32(out, at + APP_CHALLENGE_BYTES, port->retained_bytes);
}

static int reset(app_t *app, const uint8_t *payload, uint32_t length) {
    if (length != 1) {
        return APP_ERROR_LENGTH;
    }
    app->overruns = app->dropped = 0;
    app->cycles_total = app->cycles_most = 0;
    app_forget_stimulus(app);
    return app_start_engine(app, payload[0] & 1);
}

/* Potentials first .. first + count - 1 as stored. Returns the reply's length or a negative error. */
static int put_potentials(const app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out) {
    uint32_t size = app->image.precision == SPK_PRECISION_FP32 ? 4 : 2;
    if (length != 8) {
        return -APP_ERROR_LENGTH;
    }
    uint32_t first = app_get32(payload);
    uint32_t count = app_get32(payload + 4);
    if (first > app->image.neuron_count || count > app->image.neuron_count - first || count > APP_PAYLOAD_BYTES / size) {
        return -APP_ERROR_VALUE;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits = spk_engine_potential(&app->engine, first + i);
        for (uint32_t b = 0; b < size; b++) {
            out[i * size + b] = (uint8_t)(bits >> (8 * b));
        }
    }
    return (int)(count * size);
}

/* Bytes of the slot that runs. Returns the reply's length or a negative error. */
static int put_flash(const app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out) {
    if (length != 8) {
        return -APP_ERROR_LENGTH;
    }
    uint32_t offset = app_get32(payload);
    uint32_t count = app_get32(payload + 4);
    uint32_t room = spk_store_slot_bytes(&app->flash);
    if (offset > room || count > room - offset || count > APP_PAYLOAD_BYTES) {
        return -APP_ERROR_VALUE;
    }
    spk_port_flash_read(spk_store_slot_offset(&app->flash, app->slot) + offset, out, count);
    return (int)count;
}

/* What is read by offset and count, or answered to samples. Returns the reply's length or a negative error. */
static int put_piece(app_t *app, uint8_t type, const uint8_t *payload, uint32_t length, uint8_t *out,
                     uint32_t *detail) {
    if (APP_SENSES && type == MESSAGE_SENSE) {
        return app_sense(app, payload, length, out, detail);
    }
    return type == MESSAGE_READ    ? put_flash(app, payload, length, out)
           : type == MESSAGE_CHECK ? app_check(app, payload, length, out)
                                   : put_potentials(app, payload, length, out);
}

/* Sets of requests: bit type. */
#define ANY_TIME \
    (1u << MESSAGE_HELLO | 1u << MESSAGE_STATE | 1u << MESSAGE_STOP | 1u << MESSAGE_REBOOT | 1u << MESSAGE_READ)
#define NEEDS_IMAGE                                                                                             \
    (1u << MESSAGE_TELEMETRY | 1u << MESSAGE_RESET | 1u << MESSAGE_RUN | 1u << MESSAGE_INJECT | 1u << MESSAGE_READ | \
     1u << MESSAGE_POTENTIALS | 1u << MESSAGE_SELF_TEST | 1u << MESSAGE_SLEEP | 1u << MESSAGE_SENSE)

#define LEFT_OUT ((APP_SLEEP ? 0 : 1u << MESSAGE_SLEEP) | (APP_SENSES ? 0 : 1u << MESSAGE_SENSE))

/* May the request be served now? Returns 0 or why not. What needs the network ends a transfer. */
static int refuses(app_t *app, uint8_t type) {
    uint32_t bit = type < 32 ? 1u << type : 0;
    if (bit & LEFT_OUT) {
        return APP_ERROR_UNKNOWN;
    }
    if (app->running && !(bit & ANY_TIME)) {
        return APP_ERROR_BUSY;
    }
    int needs_image = (bit & NEEDS_IMAGE) != 0;
    if (needs_image) {
        app_end_transfer(app);
    }
    return needs_image && !app->has_image ? APP_ERROR_EMPTY : 0;
}

/* Serve one request: fills the reply's payload. Returns its length; *error != 0: why it was refused. */
static int serve(app_t *app, uint8_t type, const uint8_t *payload, uint32_t length, int *error, uint32_t *detail) {
    uint8_t *out = app->reply + SPK_LINK_HEAD_BYTES;
    uint32_t used = 0;
    *error = refuses(app, type);
    if (*error != 0) {
        return 0;
    }
    switch (type) {
    case MESSAGE_HELLO:
        return (int)put_hello(app, out);
    case MESSAGE_BEGIN:
        *error = app_begin(app, payload, length, detail);
        break;
    case MESSAGE_WRITE:
        *error = app_write(app, payload, length, detail);
        return *error == 0 ? (int)app_put_transfer(app, out) : 0;
    case MESSAGE_COMMIT:
        *error = app_commit(app, payload, length, detail);
        break;
    case MESSAGE_RESET:
        *error = reset(app, payload, length);
        break;
    case MESSAGE_RUN:
        *error = app_run(app, payload, length, detail);
        break;
    case MESSAGE_INJECT:
        *error = app_inject(app, payload, length, detail);
        break;
    case MESSAGE_STATE:
        return (int)app_put_state(app, out);
    case MESSAGE_SELF_TEST:
        *error = app_self_test(app, detail);
        return (int)app_put32(out, 0, app->image.test != NULL ? app_get32(app->image.test + 8) : 0);
    case MESSAGE_KEY:
        *error = app_key(app, payload, length);
        break;
    case MESSAGE_SLEEP:
        *error = APP_SLEEP ? app_sleep(app, payload, length, detail) : 0;
        break;
    case MESSAGE_POTENTIALS:
    case MESSAGE_CHECK:
    case MESSAGE_SENSE:
    case MESSAGE_READ: {
        int bytes = put_piece(app, type, payload, length, out, detail);
        *error = bytes < 0 ? -bytes : 0;
        return bytes;
    }
    case MESSAGE_TELEMETRY:
        *error = app_telemetry(app, payload, length, &used, detail);
        return (int)app_put32(out, 0, used);
    case MESSAGE_STOP:
        app->run_left = app->running ? 0 : app->run_left;
        break;
    case MESSAGE_REBOOT:
        break;
    default:
        *error = APP_ERROR_UNKNOWN;
    }
    return 0;
}

static void handle(app_t *app, uint32_t frame_length) {
    uint8_t type = app->received[0];
    uint8_t sequence = app->received[1];
    uint32_t detail = 0;
    int error = 0;
    int length = serve(app, type, app->received + SPK_LINK_HEAD_BYTES, frame_length - SPK_LINK_HEAD_BYTES, &error,
                       &detail);
    if (error != 0) {
        uint8_t *out = app->reply + SPK_LINK_HEAD_BYTES;
        out[0] = type;
        length = (int)app_put32(out, app_put32(out, 1, (uint32_t)error), detail);
        type = MESSAGE_ERROR;
    }
    app_send(app->reply, (uint8_t)(type | MESSAGE_REPLY), sequence, (uint32_t)length);
    if (type == MESSAGE_REBOOT) {
        spk_port_reboot();
    }
    if (APP_SLEEP && app->sleep_us != 0) {
        spk_port_sleep(app->sleep_us);
    }
}

/* Bytes taken from the wire between two bursts, so that neither starves the other. */
#define BYTES_PER_POLL 4096

uint32_t app_poll(void) {
    app_t *app = &application;
    for (int i = 0; i < BYTES_PER_POLL; i++) {
        int byte = spk_port_read();
        if (byte < 0) {
            break;
        }
        int length = spk_link_push(&app->receiver, (uint8_t)byte);
        if (length > 0) {
            handle(app, (uint32_t)length);
            break;
        }
        app->link_errors += length < 0;
    }
    return app->running ? app_run_burst(app) : 1000;
}
