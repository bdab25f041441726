/* link frames -> image slot: the header is written last, so a slot holds a whole image or none. */
#include "app.h"

#include <string.h>

int app_start_engine(app_t *app, int track_potentials) {
    return spk_engine_init(&app->engine, &app->image, APP_KERNEL(app->image.precision), app->port->arena,
                           app->port->arena_bytes, track_potentials);
}

void app_open_image(app_t *app) {
    app->stream_count = 0;
    int error = spk_image_open(&app->image, spk_port_flash_map(0, app->port->flash_bytes), app->port->flash_bytes);
    if (error == SPK_OK) {
        error = app_start_engine(app, 0);
    }
    app->has_image = error == SPK_OK;
    app->image_error = error;
    app->image_error_offset = app->image.error_offset;
}

/* BEGIN: total bytes. The old image ends here: its header is erased first. */
int app_begin(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    if (length != 4) {
        return APP_ERROR_LENGTH;
    }
    uint32_t total = app_get32(payload);
    if (total > app->port->flash_bytes) {
        *detail = app->port->flash_bytes;
        return APP_ERROR_SIZE;
    }
    if (total < SPK_IMAGE_HEADER_BYTES || total % 4 != 0) {
        return APP_ERROR_VALUE;
    }
    app->has_image = 0;
    app->stream_count = 0;
    app->image_error = SPK_ERROR_MAGIC;
    app->install_next = SPK_IMAGE_HEADER_BYTES;
    app->install_bytes = total;
    return spk_port_erase(0) == 0 ? 0 : APP_ERROR_FLASH;
}

/* Erase the sectors that begin in (from, to]. */
static int erase_ahead(app_t *app, uint32_t from, uint32_t to) {
    uint32_t size = app->port->sector_bytes;
    for (uint32_t sector = (from + size - 1) / size * size; sector < to; sector += size) {
        if (spk_port_erase(sector) != 0) {
            return -1;
        }
    }
    return 0;
}

/* WRITE: offset, bytes. Strictly in order; the last write may be repeated, so a lost reply costs nothing. */
int app_write(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    if (length < 8 || length % 4 != 0) {
        return APP_ERROR_LENGTH;
    }
    uint32_t offset = app_get32(payload);
    uint32_t count = length - 4;
    *detail = app->install_next;
    if (offset >= SPK_IMAGE_HEADER_BYTES && offset <= app->install_next && count == app->install_next - offset &&
        memcmp(spk_port_flash_map(0, app->port->flash_bytes) + offset, payload + 4, count) == 0) {
        return 0;
    }
    if (app->install_next == 0 || offset != app->install_next || count > app->install_bytes - offset) {
        return APP_ERROR_ORDER;
    }
    if (erase_ahead(app, offset, offset + count) != 0 || spk_port_program(offset, payload + 4, count) != 0) {
        *detail = offset;
        return APP_ERROR_FLASH;
    }
    app->install_next = offset + count;
    return 0;
}

/* COMMIT: the header. What it makes is checked; an image that does not run here is erased again. */
int app_commit(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    if (length != SPK_IMAGE_HEADER_BYTES) {
        return APP_ERROR_LENGTH;
    }
    *detail = app->install_next;
    if (app->install_next == 0 || app->install_next != app->install_bytes) {
        return APP_ERROR_ORDER;
    }
    app->install_next = 0;
    if (spk_port_program(0, payload, length) != 0) {
        *detail = 0;
        return APP_ERROR_FLASH;
    }
    app_open_image(app);
    if (!app->has_image) {
        *detail = app->image_error_offset;
        (void)spk_port_erase(0);
        return app->image_error;
    }
    return 0;
}
