/* flash of the store <-> SPI1, by user-defined commands; the cache and its flash window have a controller of their own */
#include <string.h>

#include "app.h"
#include "esp/chip.h"

#define SPI_COMMAND 0x00u
#define SPI_ADDRESS 0x04u
#define SPI_CONTROL 0x08u
#define COMMAND_USER (1u << 18)
#define CONTROL_LINES (1u << 24 | 1u << 23 | 1u << 20 | 1u << 14 | 1u << 13) /* more than one data line, fast reads */
#define USER_PHASES 0xFF00F000u /* the low bits hold the timing that the boot loader has found */
#define USER_COMMAND (1u << 31)
#define USER_ADDRESS (1u << 30)
#define USER_READ (1u << 28)
#define USER_WRITE (1u << 27)
#define USER1_24_BITS (23u << 26)
#define USER2_8_BITS (7u << 28)

#define READ 0x03u
#define WRITE_ENABLE 0x06u
#define PROGRAM 0x02u
#define ERASE_SECTOR 0x20u
#define READ_STATUS 0x05u
#define STATUS_BUSY 1u

#define SECTOR_BYTES 4096u
#define PIECE_BYTES 64u /* that W0.. hold; one that crosses no multiple of it crosses no page */
#define PAGE_BYTES 65536u /* of the flash window */
#define COMMAND_MOST_US 10000u
#define PROGRAM_MOST_US 20000u
#define ERASE_MOST_US 1000000u
#define WINDOW_MOST_US 3000000u

/* One transaction: a command, perhaps an address, perhaps `count` bytes to (USER_READ) or from (USER_WRITE) the words. */
static int transact(uint32_t opcode, uint32_t phases, uint32_t address, uint32_t count) {
    const esp_chip_t *chip = &esp_chip;
    volatile uint32_t *user = esp_word(chip->spi + chip->spi_user);
    volatile uint32_t *length = esp_word(chip->spi + chip->spi_length);
    *esp_word(chip->spi + SPI_CONTROL) &= ~CONTROL_LINES;
    user[0] = (user[0] & ~USER_PHASES) | USER_COMMAND | phases;
    user[1] = USER1_24_BITS;
    user[2] = USER2_8_BITS | opcode;
    *esp_word(chip->spi + SPI_ADDRESS) = address << chip->spi_address_shift;
    length[0] = length[1] = count != 0 ? 8 * count - 1 : 0;
    *esp_word(chip->spi + SPI_COMMAND) = COMMAND_USER;
    uint64_t begin = esp_chip_micros();
    while (*esp_word(chip->spi + SPI_COMMAND) & COMMAND_USER) {
        if (esp_chip_micros() - begin > COMMAND_MOST_US) {
            return -1;
        }
    }
    return 0;
}

static volatile uint32_t *words(void) { return esp_word(esp_chip.spi + esp_chip.spi_words); }

static uint32_t piece_at(uint32_t offset, uint32_t left) {
    uint32_t room = PIECE_BYTES - offset % PIECE_BYTES;
    return left < room ? left : room;
}

static int read_piece(uint32_t offset, uint8_t *bytes, uint32_t count) {
    if (transact(READ, USER_ADDRESS | USER_READ, SPK_FLASH_STORE + offset, count) != 0) {
        return -1;
    }
    uint32_t word = 0;
    for (uint32_t i = 0; i < count; i++, word >>= 8) {
        word = i % 4 == 0 ? words()[i / 4] : word;
        bytes[i] = (uint8_t)word;
    }
    return 0;
}

void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        uint32_t piece = piece_at(offset + done, count - done);
        (void)read_piece(offset + done, (uint8_t *)bytes + done, piece);
        done += piece;
    }
}

static int wait_ready(uint32_t most_us) {
    uint64_t begin = esp_chip_micros();
    do {
        if (transact(READ_STATUS, USER_READ, 0, 1) != 0 || esp_chip_micros() - begin > most_us) {
            return -1;
        }
    } while (words()[0] & STATUS_BUSY);
    return 0;
}

static int change(uint32_t opcode, uint32_t phases, uint32_t offset, uint32_t count, uint32_t most_us) {
    if (transact(WRITE_ENABLE, 0, 0, 0) != 0 ||
        transact(opcode, USER_ADDRESS | phases, SPK_FLASH_STORE + offset, count) != 0) {
        return -1;
    }
    return wait_ready(most_us);
}

/* Does flash hold `bytes`, or nothing but 0xFF where that is NULL? A chip with block protection set ignores commands. */
static int verify(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    uint8_t held[PIECE_BYTES];
    uint8_t erased[PIECE_BYTES];
    memset(erased, 0xFF, sizeof erased);
    for (uint32_t done = 0; done < count;) {
        uint32_t piece = piece_at(offset + done, count - done);
        if (read_piece(offset + done, held, piece) != 0 ||
            memcmp(held, bytes != NULL ? bytes + done : erased, piece) != 0) {
            return -1;
        }
        done += piece;
    }
    return 0;
}

/* What has changed since the window was last opened, from the beginning of a sector on. */
static uint32_t fresh_begin = UINT32_MAX;
static uint32_t fresh_end;

static void note_fresh(uint32_t offset, uint32_t count) {
    uint32_t begin = offset - offset % SECTOR_BYTES;
    fresh_begin = begin < fresh_begin ? begin : fresh_begin;
    fresh_end = offset + count > fresh_end ? offset + count : fresh_end;
}

int spk_port_erase(uint32_t offset) {
    note_fresh(offset, SECTOR_BYTES);
    if (change(ERASE_SECTOR, 0, offset, 0, ERASE_MOST_US) != 0) {
        return -1;
    }
    return verify(offset, NULL, SECTOR_BYTES);
}

static int program_piece(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i += 4) {
        words()[i / 4] = app_get32(bytes + i);
    }
    return change(PROGRAM, USER_WRITE, offset, count, PROGRAM_MOST_US);
}

int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        uint32_t piece = piece_at(offset + done, count - done);
        note_fresh(offset + done, piece);
        if (program_piece(offset + done, bytes + done, piece) != 0) {
            return -1;
        }
        done += piece;
    }
    return verify(offset, bytes, count);
}

/* Does the window show what flash holds: everywhere what is fresh, else the beginning of each sector? */
static int window_shows(const uint8_t *window, uint32_t offset, uint32_t count) {
    for (uint32_t at = 0; at < count;) {
        uint32_t piece = count - at < PIECE_BYTES ? count - at : PIECE_BYTES;
        if (verify(offset + at, window + at, piece) != 0) {
            return 0;
        }
        int is_fresh = offset + at >= fresh_begin && offset + at < fresh_end;
        at += is_fresh ? PIECE_BYTES : SECTOR_BYTES;
    }
    return 1;
}

/* The window has a cache of its own, which may be behind for a while. */
const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count) {
    uint32_t begin = SPK_FLASH_STORE + offset;
    uint32_t first = begin / PAGE_BYTES;
    uint32_t pages = (begin + count + PAGE_BYTES - 1) / PAGE_BYTES - first;
    uint64_t since = esp_chip_micros();
    do {
        const uint8_t *window = esp_chip_window(first, pages);
        if (window == NULL) {
            return NULL;
        }
        window += begin % PAGE_BYTES;
        if (window_shows(window, offset, count)) {
            fresh_begin = UINT32_MAX;
            fresh_end = 0;
            return window;
        }
    } while (esp_chip_micros() - since < WINDOW_MOST_US);
    return NULL;
}
