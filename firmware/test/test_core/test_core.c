/* The core on the board that `pio test` builds for: an application of its own over the board's port. */
#include "app.h"
#include "network.h"
#include "program.h"

#include <string.h>

#include "espike/bitpack.h"

#define IMAGE_MOST 4096

static void print(const char *text) {
    size_t count = 0;
    while (text[count] != 0) {
        count++;
    }
    spk_port_write((const uint8_t *)text, count);
}

static void ignore(const char *text) { (void)text; }

static const spk_port_t *port;

static int checks_the_standard_crc(void) { return spk_crc32(0, (const uint8_t *)"123456789", 9) == 0xCBF43926u; }

static int packs_every_width(void) {
    for (uint32_t bits = 1; bits <= 8; bits++) {
        uint8_t codes[19];
        uint8_t bytes[19];
        uint8_t again[19];
        for (uint32_t i = 0; i < sizeof codes; i++) {
            codes[i] = (uint8_t)((i * 37u + bits) & ((1u << bits) - 1u));
        }
        if (spk_pack_bits(bytes, codes, sizeof codes, bits) != 0 ||
            spk_unpack_bits(again, bytes, sizeof codes, bits) != 0 || memcmp(codes, again, sizeof codes) != 0) {
            return 0;
        }
    }
    return 1;
}

static int runs_as_the_host(void) { return program_run(ignore, port->arena, port->arena_bytes) == 0; }

static int refuses_every_flipped_bit(void) {
    static uint32_t words[IMAGE_MOST / 4];
    uint8_t *bytes = (uint8_t *)words;
    spk_image_t image;
    if (network_image_bytes > sizeof words) {
        return 0;
    }
    memcpy(bytes, network_image, network_image_bytes);
    for (uint32_t bit = 0; bit < 8 * network_image_bytes; bit++) {
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << bit % 8);
        if (spk_image_open(&image, bytes, network_image_bytes) == SPK_OK) {
            return 0;
        }
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << bit % 8);
    }
    return spk_image_open(&image, bytes, network_image_bytes) == SPK_OK;
}

static void tell(const char *name, int passed) {
    print(name);
    print(passed ? ":PASS\n" : ":FAIL\n");
}

void app_init(void) {
    port = spk_port_init();
    tell("checks_the_standard_crc", checks_the_standard_crc());
    tell("packs_every_width", packs_every_width());
    tell("runs_as_the_host", runs_as_the_host());
    tell("refuses_every_flipped_bit", refuses_every_flipped_bit());
    print("DONE\n");
    spk_port_reboot(); /* which ends the emulator */
}

uint32_t app_poll(void) { return 1000000; }
