/* the port of every ESP chip: a chip's folder has its registers and its core, uart.c and flash.c the wire and the store */
#include "app.h"

#include <string.h>

#include "bare/bare.h"
#include "esp/chip.h"
#include "esp/link.h"

#define SECTOR_BYTES 4096u

#define RESTART_BIT (1u << 31)
#define CAUSE_MASK 0x3Fu
#define CAUSE_POWER 1u
#define CAUSE_SOFTWARE 3u
#define CAUSE_GUARD 7u

#define GUARD_CONFIG 0x48u
#define GUARD_PRESCALE 0x4Cu
#define GUARD_TICKS 0x50u
#define GUARD_FEED 0x60u
#define GUARD_PROTECT 0x64u
#define GUARD_KEY 0x50D83AA1u
#define GUARD_DIVIDER (40000u << 16)

#define GPIO_SET 0x08u
#define GPIO_CLEAR 0x0Cu
#define GPIO_OUTPUT 0x24u
/* The pin of the board's light, and whether it is lit by 0; a board without one says so by pin 32. */
#ifndef SPK_LIGHT_PIN
#define SPK_LIGHT_PIN 32u
#define SPK_LIGHT_LOW 0
#endif

#define RETAINED_BYTES (8192u - 16u)
#define RESTART_MARK 0x52455354u
#define WAIT_MOST_US 1000000u
#define SEND_MOST_US 100000u /* nobody listens where a byte has no room for so long */

__attribute__((section(".arena"))) static SPK_ARENA(arena, SPK_ARENA_BYTES);
/* RTC RAM: outlasts a restart, of which it says why. */
__attribute__((section(".retained"))) static SPK_ARENA(retained, RETAINED_BYTES);
__attribute__((section(".retained"))) static volatile uint32_t restart_mark;
__attribute__((section(".retained"))) static volatile uint32_t restart_cause;

static int deaf; /* the host has not taken what was sent last */

static spk_port_t port = {
    SPK_TEXT(SPK_BOARD_NAME), SPK_FLASH_BYTES, SECTOR_BYTES, arena, sizeof arena, 0, SPK_RESET_POWER,
    retained, sizeof retained, 1,
};

void esp_set(esp_settings_t settings) {
    for (size_t i = 0; i < settings.count; i++) {
        const esp_setting_t *setting = &settings.settings[i];
        uint32_t kept = setting->clear == ESP_WHOLE ? 0 : *esp_word(setting->address) & ~setting->clear;
        *esp_word(setting->address) = kept | setting->set;
    }
}

/* A restart by software may have a reason of ours; other restarts end what it was. */
static uint32_t cause_of_restart(void) {
    uint32_t cause = *esp_word(esp_chip.restart_cause) & CAUSE_MASK;
    uint32_t marked = restart_mark;
    restart_mark = 0;
    switch (cause) {
    case CAUSE_POWER:
        return SPK_RESET_POWER;
    case CAUSE_SOFTWARE:
        return marked == RESTART_MARK ? restart_cause : SPK_RESET_SOFTWARE;
    case CAUSE_GUARD:
        return SPK_RESET_GUARD;
    default:
        return SPK_RESET_OTHER;
    }
}

const spk_port_t *spk_port_init(void) {
    esp_chip_init();
    port.reset_cause = cause_of_restart();
    port.cycles_hz = esp_chip_cycles_hz();
    ESP_LINK(init)();
    return &port;
}

static void restart(uint32_t cause) {
    restart_cause = cause;
    restart_mark = RESTART_MARK;
    esp_chip_end();
    *esp_word(esp_chip.restart) |= RESTART_BIT;
    for (;;) {
    }
}

void spk_port_reboot(void) {
    ESP_LINK(finish)();
    restart(SPK_RESET_SOFTWARE);
}

void esp_port_trap(void) { restart(SPK_RESET_GUARD); }

void esp_port_interrupt(void) { ESP_LINK(interrupt)(); }

int bare_received(void) { return ESP_LINK(waiting)(); }

int spk_port_read(void) { return ESP_LINK(read)(); }

int spk_port_writable(void) { return ESP_LINK(room)(); }

static int wait_room(void) {
    uint64_t begin = deaf ? 0 : spk_port_micros();
    while (!ESP_LINK(room)()) {
        if (deaf || spk_port_micros() - begin > SEND_MOST_US) {
            deaf = 1;
            return 0;
        }
    }
    deaf = 0;
    return 1;
}

/* A stack that has run over its end may have changed anything: the chip restarts rather than answers. */
void spk_port_write(const uint8_t *bytes, size_t count) {
    if (!bare_stack_whole()) {
        restart(SPK_RESET_GUARD);
    }
    for (; count != 0 && wait_room(); count--) {
        ESP_LINK(put)(*bytes++);
    }
    ESP_LINK(flush)();
}

void spk_port_light(int on) {
    uint32_t bit = (uint32_t)(1ull << SPK_LIGHT_PIN);
    *esp_word(esp_chip.gpio + (on != SPK_LIGHT_LOW ? GPIO_SET : GPIO_CLEAR)) = bit;
    *esp_word(esp_chip.gpio + GPIO_OUTPUT) = bit;
}

uint64_t spk_port_micros(void) { return esp_chip_micros(); }

uint64_t spk_port_cycles(void) {
    static uint64_t total;
    static uint32_t last;
    uint32_t now = esp_chip_cycles();
    total += now - last;
    last = now;
    return total;
}

void spk_port_guard(uint32_t ms) {
    volatile uint32_t *protect = esp_word(esp_chip.guard + GUARD_PROTECT);
    *protect = GUARD_KEY;
    *esp_word(esp_chip.guard + GUARD_PRESCALE) = GUARD_DIVIDER;
    *esp_word(esp_chip.guard + GUARD_TICKS) = ms * esp_chip.guard_ticks_per_ms;
    *esp_word(esp_chip.guard + GUARD_CONFIG) = ms != 0 ? esp_chip.guard_config : esp_chip.guard_off;
    *esp_word(esp_chip.guard + GUARD_FEED) = 1;
    *protect = 0;
}

void spk_port_idle(uint32_t us) {
    (void)spk_port_cycles(); /* the counter must be read before it comes round */
    esp_chip_hold();
    if (ESP_LINK(waiting)()) {
        esp_chip_release();
    } else {
        esp_chip_wait(us < WAIT_MOST_US ? us : WAIT_MOST_US);
    }
}

/* The chips sleep deeper, by registers that no emulator has: the core waits, and forgets. */
void spk_port_sleep(uint32_t us) {
    spk_port_guard(0);
    uint64_t begin = spk_port_micros();
    for (uint64_t past = 0; past < us; past = spk_port_micros() - begin) {
        spk_port_idle(us - (uint32_t)past);
    }
    memset(arena, 0xA5, sizeof arena); /* nothing else is retained */
    restart(SPK_RESET_SLEEP);
}
