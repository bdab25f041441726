/* raw samples -> presentations -> answers: SENSE requests */
#include "app.h"

#include <string.h>

#define SENSE_BEGIN 1u  /* a presentation begins with this request */
#define SENSE_NARROW 2u /* values are int16, else int32 */
#define SENSE_FLAGS 3u

/* The senses' memory: at the end of the arena, where streams of telemetry would be; then the sample that is coming. */
static int begin_presentation(app_t *app, uint32_t *detail) {
    const size_t ram = spk_senses_ram_bytes(&app->image);
    const size_t bytes = (ram + (size_t)spk_senses_channels(&app->image) * 4 + 7) & ~(size_t)7;
    app->stream_count = 0;
    app->senses_on = 0;
    if (ram == 0) {
        return APP_ERROR_SENSES;
    }
    if (spk_engine_ram_bytes(&app->image) + bytes > app->arena_bytes) {
        *detail = (uint32_t)bytes;
        return APP_ERROR_SIZE;
    }
    uint8_t *memory = (uint8_t *)app->port->arena + (app->arena_bytes - bytes);
    int error = spk_senses_init(&app->senses, &app->image, memory, ram);
    app->sample = (int32_t *)(void *)(memory + ram);
    app->sample_count = 0;
    if (error == SPK_OK) {
        error = spk_senses_begin(&app->senses, &app->engine);
    }
    app->senses_on = error == SPK_OK;
    return error;
}

/* The sample that has come. */
static void present(app_t *app) {
    spk_senses_take(&app->senses, app->sample);
    while (spk_senses_bursts(&app->senses) != 0) {
        uint64_t began = spk_port_cycles();
        spk_senses_burst(&app->senses, &app->engine);
        app_count_cycles(app, spk_port_cycles() - began);
    }
}

/* Samples taken, is it over; then the answer, how many values there are, and those that a reply holds. */
static uint32_t put_answer(app_t *app, uint8_t *out) {
    spk_senses_t *senses = &app->senses;
    uint32_t at = app_put32(out, 0, senses->samples_taken);
    out[at++] = (uint8_t)spk_senses_is_done(senses);
    if (!spk_senses_is_done(senses)) {
        return at;
    }
    spk_senses_read(senses, &app->engine);
    at = app_put32(out, at, (uint32_t)spk_senses_answer(senses));
    at = app_put32(out, at, senses->value_count);
    const uint32_t room = (APP_PAYLOAD_BYTES - at) / 4;
    return app_put_words(out, at, senses->values, senses->value_count < room ? senses->value_count : room);
}

int app_sense(app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out, uint32_t *detail) {
    const uint32_t flags = length == 0 ? 0 : payload[0];
    const uint32_t size = flags & SENSE_NARROW ? 2 : 4;
    if (length == 0 || (length - 1) % size != 0) {
        return -APP_ERROR_LENGTH;
    }
    if (flags > SENSE_FLAGS) {
        return -APP_ERROR_VALUE;
    }
    int error = flags & SENSE_BEGIN ? begin_presentation(app, detail) : app->senses_on ? 0 : APP_ERROR_ORDER;
    for (uint32_t at = 1; error == 0 && at < length; at += size) {
        if (spk_senses_is_done(&app->senses)) {
            return -APP_ERROR_VALUE;
        }
        const uint32_t low = (uint32_t)payload[at] | (uint32_t)payload[at + 1] << 8;
        app->sample[app->sample_count++] = size == 2 ? (int16_t)low : (int32_t)app_get32(payload + at);
        if (app->sample_count == app->senses.channels) {
            app->sample_count = 0;
            present(app);
        }
    }
    return error != 0 ? -error : (int)put_answer(app, out);
}
