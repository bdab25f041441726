/* image <-> flash: two slots and a journal, so that every power cut leaves a board that starts. docs/flash.md says how. */
#ifndef ESPIKE_STORE_H
#define ESPIKE_STORE_H

#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* docs/flash.md specifies the format. */
#define SPK_STORE_RECORD_BYTES 64
#define SPK_STORE_NO_SLOT 255
#define SPK_STORE_KEY_BYTES 16

/* How the last trial of an image ended. */
#define SPK_STORE_NEVER 0     /* there was none */
#define SPK_STORE_CONFIRMED 1 /* it passed */
#define SPK_STORE_FAILED 2    /* it did not open, or not pass its self-test */
#define SPK_STORE_RESTARTED 3 /* the board restarted while it was tried */
#define SPK_STORE_DAMAGED 4   /* the running image was found damaged later; the one before it runs again */

/* Flash as the caller supplies it: `sector_count` sectors of `sector_bytes`, offsets from its first byte. Erased bytes are
 * 0xFF; programming clears bits. Functions return 0, or -1 where the flash failed; read cannot fail. */
typedef struct {
    void *context;
    uint32_t sector_bytes; /* a multiple of 256 */
    uint32_t sector_count; /* at least 4: two of journal, one per slot */
    void (*read)(void *context, uint32_t offset, void *bytes, uint32_t count);
    int (*erase)(void *context, uint32_t offset);
    int (*program)(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count); /* multiples of 4 */
} spk_flash_t;

/* The journal's state: its last whole record. The caller owns it; `flash` must outlive it. */
typedef struct {
    const spk_flash_t *flash;
    uint32_t sequence;     /* of the last record; 0 = none */
    uint32_t next;         /* offset of the next record, or the end of a full sector */
    uint32_t image_crc[2]; /* per slot: the CRC in the header of the image that may run from it; 0 = none */
    uint8_t active;        /* slot that runs, SPK_STORE_NO_SLOT = none */
    uint8_t trial;         /* slot that waits to be tried, or is, SPK_STORE_NO_SLOT = none */
    uint8_t tried;         /* 1: its trial has begun */
    uint8_t outcome;       /* SPK_STORE_... of the last trial */
    uint8_t chosen;        /* slot that spk_store_choose told last */
    uint8_t asked;         /* bit per slot: chosen since an image ran last */
    uint8_t has_key;
    uint8_t key[16];
} spk_store_t;

/* Bytes that an image may have, and where a slot (0 or 1) begins. */
uint32_t spk_store_slot_bytes(const spk_flash_t *flash);
uint32_t spk_store_slot_offset(const spk_flash_t *flash, uint32_t slot);

/* Read the journal. Whatever its bytes are, the store is usable: at worst it is empty. Writes nothing. */
void spk_store_open(spk_store_t *store, const spk_flash_t *flash);

/* The slot that a new image goes to: never the one that runs. */
uint32_t spk_store_spare(const spk_store_t *store);

/* The image with this CRC, completely written to the spare slot, is to be tried at the next start.
 * Returns SPK_OK, or SPK_ERROR_FLASH: the journal is as it was. */
int spk_store_commit(spk_store_t *store, uint32_t image_crc);

/* The slot whose image is to be opened now, SPK_STORE_NO_SLOT where there is none left. *is_trial: open it, test it, and
 * expect that the board may hang. The image must be the one with image_crc[slot] in its header.
 * Ask after every start and every commit, tell how it went, and ask again until an image runs. */
uint32_t spk_store_choose(spk_store_t *store, int *is_trial);
void spk_store_tell(spk_store_t *store, int runs);

/* Keep a key (16 bytes, NULL = none from now on). Returns SPK_OK or SPK_ERROR_FLASH. */
int spk_store_set_key(spk_store_t *store, const uint8_t *key);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
