/* link frames -> image slots: a transfer is expanded into the slot that does not run, then tried; docs/flash.md. */
#include "app.h"

#include <string.h>

/* A trial that takes longer has hung. */
#define TRIAL_MS 30000u
/* Bytes expanded per request, so that none takes long: an erase may take a second. */
#define EXPAND_BYTES 8192u

static void flash_read(void *context, uint32_t offset, void *bytes, uint32_t count) {
    (void)context;
    spk_port_flash_read(offset, bytes, count);
}

static int flash_erase(void *context, uint32_t offset) {
    (void)context;
    return spk_port_erase(offset);
}

static int flash_program(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count) {
    (void)context;
    return spk_port_program(offset, bytes, count);
}

int app_start_engine(app_t *app, int track_potentials) {
    app->senses_on = 0;
    return spk_engine_init(&app->engine, &app->image, APP_KERNEL(app->image.precision), app->port->arena,
                           app->arena_bytes, track_potentials);
}

/* Copy the image to the end of the arena. Returns NULL where it does not fit there. */
static const uint8_t *copy_image(app_t *app, uint32_t offset, uint32_t bytes) {
    uint32_t room = (bytes + 7) & ~7u;
    if (bytes < SPK_IMAGE_HEADER_BYTES || bytes > app->port->arena_bytes || room > app->port->arena_bytes) {
        return NULL;
    }
    app->arena_bytes = app->port->arena_bytes - room;
    uint8_t *copy = (uint8_t *)app->port->arena + app->arena_bytes;
    spk_port_flash_read(offset, copy, bytes);
    return copy;
}

/* Open the image of a slot where boards prefer to have it: in RAM, if the network has room beside it. */
static int open_placed(app_t *app, uint32_t offset, const uint8_t *header) {
    uint32_t slot_bytes = spk_store_slot_bytes(&app->flash);
    const uint8_t *copy = app->port->copies ? copy_image(app, offset, app_get32(header + 8)) : NULL;
    int error = copy == NULL ? SPK_ERROR_RAM : spk_image_open(&app->image, copy, app->port->arena_bytes - app->arena_bytes);
    if (error == SPK_OK) {
        error = app_start_engine(app, 0);
    }
    if (error != SPK_ERROR_RAM) {
        return error;
    }
    const uint8_t *mapped = spk_port_flash_map(offset, slot_bytes);
    app->arena_bytes = app->port->arena_bytes;
    if (mapped == NULL) {
        return SPK_ERROR_RAM;
    }
    error = spk_image_open(&app->image, mapped, slot_bytes);
    return error == SPK_OK ? app_start_engine(app, 0) : error;
}

/* Open, and on a trial test, the image of a slot, which must be the one that the journal names. Returns 0 where it runs. */
static int open_slot(app_t *app, uint32_t slot, int is_trial) {
    uint8_t header[16];
    uint32_t offset = spk_store_slot_offset(&app->flash, slot);
    spk_port_flash_read(offset, header, sizeof header);
    app->image.error_offset = 0;
    app->image_error = app_get32(header + 12) == app->store.image_crc[slot] ? open_placed(app, offset, header) : SPK_ERROR_MAGIC;
    app->image_error_offset = app->image.error_offset;
    if (app->image_error == SPK_OK && is_trial) {
        app->image_error = app_self_test(app, &app->image_error_offset);
    }
    if (is_trial) {
        app->trial_error = app->image_error;
        app->trial_error_offset = app->image_error_offset;
    }
    return app->image_error;
}

/* Run what the journal says. */
static void start_image(app_t *app) {
    int is_trial = 0;
    app->stream_count = 0;
    app->transfer = NULL;
    app->image_error = 0;
    app->has_image = 0;
    while (!app->has_image && (app->slot = spk_store_choose(&app->store, &is_trial)) != SPK_STORE_NO_SLOT) {
        spk_port_guard(is_trial ? TRIAL_MS : 0);
        app->has_image = open_slot(app, app->slot, is_trial) == 0;
        spk_port_guard(0);
        spk_store_tell(&app->store, app->has_image);
    }
}

void app_open_store(app_t *app) {
    uint32_t sector = app->port->sector_bytes;
    app->flash = (spk_flash_t){app, sector, app->port->flash_bytes / sector, flash_read, flash_erase, flash_program};
    spk_store_open(&app->store, &app->flash);
    start_image(app);
}

/* A transfer takes the arena; what ran before it starts anew. */
void app_end_transfer(app_t *app) {
    if (app->transfer != NULL) {
        start_image(app);
    }
}

static uint32_t spare_offset(const app_t *app) {
    return spk_store_slot_offset(&app->flash, spk_store_spare(&app->store));
}

/* A sector is erased when its first byte is written. What a broken transfer left in the sector that a new one goes on in
 * can only be what is written again. */
static int write_slot(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count) {
    app_t *app = context;
    uint32_t at = spare_offset(app) + offset;
    if (offset % app->port->sector_bytes == 0 && spk_port_erase(at) != 0) {
        return -1;
    }
    return spk_port_program(at, bytes, count);
}

static void read_base(void *context, uint32_t offset, uint8_t *bytes, uint32_t count) {
    app_t *app = context;
    spk_port_flash_read(spk_store_slot_offset(&app->flash, app->slot) + offset, bytes, count);
}

/* Is `payload` of `count` bytes followed by a tag, where the board has a key, and by the right one? Returns 0 or why not. */
static int check_tag(app_t *app, uint8_t type, const uint8_t *payload, uint32_t count, uint32_t length) {
    if (length != count + (app->store.has_key ? SPK_MAC_BYTES : 0)) {
        return app->store.has_key && length == count ? APP_ERROR_KEY : APP_ERROR_LENGTH;
    }
    if (!app->store.has_key) {
        return 0;
    }
    spk_mac_t mac = app_begin_tag(app, type);
    spk_mac_push(&mac, payload, count);
    return app_is_tag(&mac, payload + count) ? 0 : APP_ERROR_KEY;
}

/* BEGIN: a transfer's header, tag. The network stops, its image stays. */
int app_begin(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    spk_transfer_header_t header;
    int error = check_tag(app, MESSAGE_BEGIN, payload, SPK_TRANSFER_HEADER_BYTES, length);
    error = error == 0 ? spk_transfer_read_header(&header, payload) : error;
    if (error != 0) {
        return error;
    }
    *detail = spk_store_slot_bytes(&app->flash);
    if (header.image_bytes > *detail) {
        return APP_ERROR_SIZE;
    }
    *detail = app->has_image ? app->store.image_crc[app->slot] : 0;
    if (header.base_bytes != 0 && (header.base_crc != *detail || header.base_bytes != app->image.total_bytes)) {
        return APP_ERROR_BASE;
    }
    *detail = (uint32_t)spk_transfer_memory_bytes();
    if (*detail > app->port->arena_bytes) {
        return APP_ERROR_SIZE;
    }
    const spk_transfer_ends_t ends = {app, write_slot, read_base};
    app->transfer = spk_transfer_begin(app->port->arena, &header, &ends);
    app->transfer_crc = header.image_crc;
    app->transfer_bytes = header.image_bytes;
    app->transfer_waits = 0;
    return 0;
}

/* WRITE: payload offset, bytes. Strictly in order; the last write may be repeated, so a lost reply costs nothing. */
int app_write(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    if (length < 4 || length - 4 > SPK_TRANSFER_PIECE_BYTES) {
        return APP_ERROR_LENGTH;
    }
    uint32_t offset = app_get32(payload);
    uint32_t count = length - 4;
    *detail = app->transfer != NULL ? spk_transfer_taken(app->transfer) : 0;
    if (app->transfer != NULL && count != 0 && offset <= *detail && count == *detail - offset) {
        return 0;
    }
    if (app->transfer == NULL || offset != *detail || (app->transfer_waits && count != 0)) {
        return APP_ERROR_ORDER;
    }
    int result = spk_transfer_push(app->transfer, payload + 4, count, EXPAND_BYTES);
    app->transfer_waits = result > 0;
    *detail = spk_transfer_written(app->transfer);
    return result < 0 ? result : 0;
}

uint32_t app_put_transfer(const app_t *app, uint8_t *out) {
    uint32_t at = app_put32(out, 0, spk_transfer_taken(app->transfer));
    at = app_put32(out, at, spk_transfer_written(app->transfer));
    out[at] = app->transfer_waits;
    return at + 1;
}

/* Is this the tag of the whole image in the spare slot? */
static int is_image_tag(app_t *app, const uint8_t *tag) {
    uint8_t piece[64];
    spk_mac_t mac = app_begin_tag(app, MESSAGE_COMMIT);
    for (uint32_t at = 0, count = 0; at < app->transfer_bytes; at += count) {
        count = app->transfer_bytes - at < sizeof piece ? app->transfer_bytes - at : (uint32_t)sizeof piece;
        spk_port_flash_read(spare_offset(app) + at, piece, count);
        spk_mac_push(&mac, piece, count);
    }
    return app_is_tag(&mac, tag);
}

/* COMMIT: tag. The new image is tried, and confirmed or given up. */
int app_commit(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail) {
    *detail = app->transfer != NULL ? spk_transfer_written(app->transfer) : 0;
    if (app->transfer == NULL || !spk_transfer_is_done(app->transfer)) {
        return APP_ERROR_ORDER;
    }
    if (length != (app->store.has_key ? SPK_MAC_BYTES : 0)) {
        return app->store.has_key ? APP_ERROR_KEY : APP_ERROR_LENGTH;
    }
    if (app->store.has_key && !is_image_tag(app, payload)) {
        return APP_ERROR_KEY;
    }
    uint32_t tried = spk_store_spare(&app->store);
    int error = spk_store_commit(&app->store, app->transfer_crc);
    start_image(app);
    if (error == SPK_OK && app->slot != tried) {
        *detail = app->trial_error_offset;
        error = app->trial_error;
    }
    return error;
}

/* KEY: a key or none, tag. */
int app_key(app_t *app, const uint8_t *payload, uint32_t length) {
    uint32_t tag_bytes = app->store.has_key ? SPK_MAC_BYTES : 0;
    uint32_t count = length > tag_bytes ? SPK_STORE_KEY_BYTES : 0;
    int error = check_tag(app, MESSAGE_KEY, payload, count, length);
    return error == 0 ? spk_store_set_key(&app->store, count != 0 ? payload : NULL) : error;
}

/* CHECK: offset and count in the spare slot -> CRC-32 of what is there, so that a transfer may go on where one broke off. */
int app_check(const app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out) {
    uint8_t piece[64];
    uint32_t crc = 0;
    if (length != 8) {
        return -APP_ERROR_LENGTH;
    }
    uint32_t at = app_get32(payload);
    uint32_t left = app_get32(payload + 4);
    if (at > spk_store_slot_bytes(&app->flash) || left > spk_store_slot_bytes(&app->flash) - at) {
        return -APP_ERROR_VALUE;
    }
    for (uint32_t count = 0; left != 0; left -= count, at += count) {
        count = left < sizeof piece ? left : sizeof piece;
        spk_port_flash_read(spare_offset(app) + at, piece, count);
        crc = spk_crc32(crc, piece, count);
    }
    return (int)app_put32(out, 0, crc);
}
