/* network state -> retained RAM -> network state: what outlasts a deep sleep. */
#include "app.h"

#include <string.h>

#define MARK 0x50534C53u /* "SLSP" */
#define HEAD_BYTES 16u   /* mark, image CRC, snapshot bytes, CRC-32 of the snapshot */

int app_sleep(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    const spk_port_t *port = app->port;
    uint8_t *retained = port->retained;
    uint32_t bytes = (uint32_t)spk_engine_snapshot_bytes(&app->image);
    if (length != 4) {
        return APP_ERROR_LENGTH;
    }
    *detail = port->retained_bytes;
    if (retained == NULL || port->retained_bytes < HEAD_BYTES || bytes > port->retained_bytes - HEAD_BYTES) {
        return APP_ERROR_SIZE;
    }
    spk_engine_save(&app->engine, retained + HEAD_BYTES);
    uint32_t at = app_put32(retained, 0, MARK);
    at = app_put32(retained, at, app->store.image_crc[app->slot]);
    at = app_put32(retained, at, bytes);
    app_put32(retained, at, spk_crc32(0, retained + HEAD_BYTES, bytes));
    app->sleep_us = app_get32(payload);
    return 0;
}

/* The state goes on where the same image runs again and nothing touched what was retained. It does so once. */
void app_wake(app_t *app) {
    uint8_t *retained = app->port->retained;
    if (app->port->reset_cause != SPK_RESET_SLEEP || !app->has_image || app_get32(retained) != MARK ||
        app_get32(retained + 4) != app->store.image_crc[app->slot] ||
        app_get32(retained + 8) != spk_engine_snapshot_bytes(&app->image) ||
        app_get32(retained + 12) != spk_crc32(0, retained + HEAD_BYTES, app_get32(retained + 8))) {
        return;
    }
    spk_engine_restore(&app->engine, retained + HEAD_BYTES);
    app_put32(retained, 0, 0);
}
