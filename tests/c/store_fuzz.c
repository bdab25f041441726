/* bytes of a flash -> store: whatever the journal holds, it is read, started from and written to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espike/store.h"

#define SECTOR 256u
#define SECTORS 26u

static uint8_t memory[SECTOR * SECTORS];

static void check(uint32_t offset, uint32_t count) {
    if (offset > sizeof memory || count > sizeof memory - offset) {
        abort();
    }
}

static void read_flash(void *context, uint32_t offset, void *bytes, uint32_t count) {
    (void)context;
    check(offset, count);
    memcpy(bytes, memory + offset, count);
}

static int erase_flash(void *context, uint32_t offset) {
    (void)context;
    check(offset, SECTOR);
    memset(memory + offset, 0xFF, SECTOR);
    return 0;
}

static int program_flash(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count) {
    (void)context;
    check(offset, count);
    for (uint32_t i = 0; i < count; i++) {
        memory[offset + i] &= bytes[i];
    }
    return memcmp(memory + offset, bytes, count) == 0 ? 0 : -1;
}

int main(void) {
    const spk_flash_t flash = {NULL, SECTOR, SECTORS, read_flash, erase_flash, program_flash};
    spk_store_t store;
    int is_trial = 0;
    memset(memory, 0xFF, sizeof memory);
    (void)fread(memory, 1, sizeof memory, stdin);
    for (uint32_t i = 0; i < 40; i++) {
        spk_store_open(&store, &flash);
        for (uint32_t asked = 0; spk_store_choose(&store, &is_trial) != SPK_STORE_NO_SLOT; asked++) {
            if (asked > 3) {
                abort();
            }
            spk_store_tell(&store, i % 3 == 0);
            if (i % 3 == 0) {
                break;
            }
        }
        if (spk_store_commit(&store, i + 1) != SPK_OK || store.trial != spk_store_spare(&store)) {
            abort();
        }
    }
    return 0;
}
