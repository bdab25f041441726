/* image <-> flash: a journal of whole states in two sectors, the last whole record counts. */
#include "espike/store.h"

#include "bytes.h"
#include "espike/link.h"

#define RECORD_MAGIC 0x314A5053u /* "SPJ1" */
#define RECORD_SEQUENCE 4
#define RECORD_ACTIVE 8
#define RECORD_TRIAL 9
#define RECORD_TRIED 10
#define RECORD_OUTCOME 11
#define RECORD_IMAGE_CRC 12
#define RECORD_HAS_KEY 20
#define RECORD_KEY 24
#define RECORD_CRC (SPK_STORE_RECORD_BYTES - 4)
#define JOURNAL_SECTORS 2u

uint32_t spk_store_slot_bytes(const spk_flash_t *flash) {
    return (flash->sector_count - JOURNAL_SECTORS) / 2 * flash->sector_bytes;
}

uint32_t spk_store_slot_offset(const spk_flash_t *flash, uint32_t slot) {
    return JOURNAL_SECTORS * flash->sector_bytes + slot * spk_store_slot_bytes(flash);
}

static int is_blank(const uint8_t *record) {
    for (uint32_t i = 0; i < SPK_STORE_RECORD_BYTES; i++) {
        if (record[i] != 0xFF) {
            return 0;
        }
    }
    return 1;
}

static int is_slot(uint8_t slot) { return slot < 2 || slot == SPK_STORE_NO_SLOT; }

static int is_record(const uint8_t *record) {
    return spk_load32(record) == RECORD_MAGIC && spk_load32(record + RECORD_CRC) == spk_crc32(0, record, RECORD_CRC) &&
           is_slot(record[RECORD_ACTIVE]) && is_slot(record[RECORD_TRIAL]);
}

static void take_record(spk_store_t *store, const uint8_t *record) {
    store->sequence = spk_load32(record + RECORD_SEQUENCE);
    store->active = record[RECORD_ACTIVE];
    store->trial = record[RECORD_TRIAL];
    store->tried = record[RECORD_TRIED];
    store->outcome = record[RECORD_OUTCOME];
    store->has_key = record[RECORD_HAS_KEY];
    memcpy(store->key, record + RECORD_KEY, sizeof store->key);
    for (int slot = 0; slot < 2; slot++) {
        store->image_crc[slot] = spk_load32(record + RECORD_IMAGE_CRC + 4 * slot);
    }
}

/* Read one sector; where it holds the newest record so far, new ones go behind its last byte that is not blank. */
static void read_sector(spk_store_t *store, uint32_t begin) {
    const spk_flash_t *flash = store->flash;
    uint8_t record[SPK_STORE_RECORD_BYTES];
    uint32_t free = begin;
    int is_newest = 0;
    for (uint32_t at = begin; at < begin + flash->sector_bytes; at += SPK_STORE_RECORD_BYTES) {
        flash->read(flash->context, at, record, sizeof record);
        free = is_blank(record) ? free : at + SPK_STORE_RECORD_BYTES;
        if (is_record(record) && spk_load32(record + RECORD_SEQUENCE) > store->sequence) {
            take_record(store, record);
            is_newest = 1;
        }
    }
    store->next = is_newest ? free : store->next;
}

void spk_store_open(spk_store_t *store, const spk_flash_t *flash) {
    memset(store, 0, sizeof *store);
    store->flash = flash;
    store->active = store->trial = SPK_STORE_NO_SLOT;
    store->next = JOURNAL_SECTORS * flash->sector_bytes; /* sector 1 is full: the first record goes to sector 0 */
    for (uint32_t sector = 0; sector < JOURNAL_SECTORS; sector++) {
        read_sector(store, sector * flash->sector_bytes);
    }
}

static void put_record(const spk_store_t *store, uint8_t *record) {
    memset(record, 0, SPK_STORE_RECORD_BYTES);
    spk_store32(record, RECORD_MAGIC);
    spk_store32(record + RECORD_SEQUENCE, store->sequence);
    record[RECORD_ACTIVE] = store->active;
    record[RECORD_TRIAL] = store->trial;
    record[RECORD_TRIED] = store->tried;
    record[RECORD_OUTCOME] = store->outcome;
    record[RECORD_HAS_KEY] = store->has_key;
    memcpy(record + RECORD_KEY, store->key, sizeof store->key);
    for (int slot = 0; slot < 2; slot++) {
        spk_store32(record + RECORD_IMAGE_CRC + 4 * slot, store->image_crc[slot]);
    }
    spk_store32(record + RECORD_CRC, spk_crc32(0, record, RECORD_CRC));
}

/* Append the state as it is now. A full sector gives way to the other one, which holds nothing newer. */
static int write_record(spk_store_t *store) {
    const spk_flash_t *flash = store->flash;
    uint8_t record[SPK_STORE_RECORD_BYTES];
    store->sequence++;
    put_record(store, record);
    if (store->next % flash->sector_bytes == 0) {
        store->next = store->next == flash->sector_bytes ? flash->sector_bytes : 0;
        if (flash->erase(flash->context, store->next) != 0) {
            return SPK_ERROR_FLASH;
        }
    }
    uint32_t at = store->next;
    store->next += SPK_STORE_RECORD_BYTES;
    return flash->program(flash->context, at, record, sizeof record) == 0 ? SPK_OK : SPK_ERROR_FLASH;
}

uint32_t spk_store_spare(const spk_store_t *store) { return store->active == 0 ? 1 : 0; }

int spk_store_commit(spk_store_t *store, uint32_t image_crc) {
    spk_store_t before = *store;
    uint32_t spare = spk_store_spare(store);
    store->trial = (uint8_t)spare;
    store->tried = 0;
    store->image_crc[spare] = image_crc;
    int error = write_record(store);
    if (error != SPK_OK) {
        before.next = store->next;
        before.sequence = store->sequence;
        *store = before;
    }
    return error;
}

/* The trial is over. Where even that cannot be written the image runs, or does not, until the next start. */
static void end_trial(spk_store_t *store, uint8_t outcome) {
    if (outcome == SPK_STORE_CONFIRMED) {
        store->active = store->trial;
    } else {
        store->image_crc[store->trial] = 0;
    }
    store->trial = SPK_STORE_NO_SLOT;
    store->tried = 0;
    store->outcome = outcome;
    (void)write_record(store);
}

/* Begin the trial of the image that waits. Returns 1 where it may begin. */
static int begin_trial(spk_store_t *store) {
    int was_tried = store->tried;
    store->tried = 1;
    if (was_tried || write_record(store) != SPK_OK) {
        end_trial(store, was_tried ? SPK_STORE_RESTARTED : SPK_STORE_FAILED);
        return 0;
    }
    return 1;
}

/* A slot, 0 or 1, that holds an image which was not asked for since one ran; or none. */
static uint32_t choose(spk_store_t *store, uint32_t slot) {
    if (store->image_crc[slot] == 0 || (store->asked >> slot & 1) != 0) {
        return SPK_STORE_NO_SLOT;
    }
    store->asked = (uint8_t)(store->asked | 1u << slot);
    return slot;
}

uint32_t spk_store_choose(spk_store_t *store, int *is_trial) {
    uint32_t slot = SPK_STORE_NO_SLOT;
    *is_trial = store->trial != SPK_STORE_NO_SLOT && begin_trial(store);
    if (*is_trial) {
        slot = store->trial;
    } else if (store->active != SPK_STORE_NO_SLOT) {
        slot = choose(store, store->active);
        slot = slot == SPK_STORE_NO_SLOT ? choose(store, spk_store_spare(store)) : slot;
    }
    store->chosen = (uint8_t)slot;
    return slot;
}

void spk_store_tell(spk_store_t *store, int runs) {
    store->asked = runs ? 0 : store->asked;
    if (store->trial != SPK_STORE_NO_SLOT) {
        end_trial(store, runs ? SPK_STORE_CONFIRMED : SPK_STORE_FAILED);
    } else if (runs && store->chosen != store->active) {
        store->active = store->chosen;
        store->outcome = SPK_STORE_DAMAGED;
        (void)write_record(store);
    }
}

int spk_store_set_key(spk_store_t *store, const uint8_t *key) {
    store->has_key = key != NULL;
    memset(store->key, 0, sizeof store->key);
    if (key != NULL) {
        memcpy(store->key, key, sizeof store->key);
    }
    return write_record(store);
}
