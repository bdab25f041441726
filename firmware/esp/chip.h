/* port of the ESP chips -> one chip: what firmware/esp needs to know of it and what it does in a way of its own */
#ifndef ESPIKE_ESP_CHIP_H
#define ESPIKE_ESP_CHIP_H

#include <stddef.h>
#include <stdint.h>

/* A register, the bits to clear and those to set. */
typedef struct {
    uint32_t address;
    uint32_t clear;
    uint32_t set;
} esp_setting_t;

#define ESP_WHOLE 0xFFFFFFFFu /* clear: the register is written, whatever it held */

typedef struct {
    const esp_setting_t *settings;
    size_t count;
} esp_settings_t;

#define ESP_SETTINGS(table) {(table), sizeof(table) / sizeof(table)[0]}

/* Registers; what has the same place in a block on every chip stands in the .c file that uses it. */
typedef struct {
    uint32_t spi;               /* SPI1 */
    uint32_t spi_user;          /* offsets: USER, then USER1 and USER2 */
    uint32_t spi_length;        /* MOSI_DLEN, then MISO_DLEN */
    uint32_t spi_words;         /* W0 */
    uint32_t spi_address_shift; /* of the flash address in ADDR */
    uint32_t uart;              /* UART0 */
    uint32_t uart_send;         /* where bytes to send are written */
    esp_settings_t uart_receive; /* interrupt at 64 bytes, and where no more comes */
    uint32_t gpio;              /* pins 0..31 */
    uint32_t restart;           /* bit 31 restarts the chip */
    uint32_t restart_cause;     /* bits 5..0 */
    uint32_t guard;             /* timer group 0 */
    uint32_t guard_config;      /* of its watchdog, to restart the chip */
    uint32_t guard_off;         /* the same to do nothing */
    uint32_t guard_ticks_per_ms;
} esp_chip_t;

extern const esp_chip_t esp_chip;

/* Switch every watchdog off, set clocks and the interrupts of link and timer. */
void esp_chip_init(void);

/* What must be undone before the chip restarts. */
void esp_chip_end(void);

/* Of esp_chip_cycles, after esp_chip_init. */
uint32_t esp_chip_cycles_hz(void);
uint32_t esp_chip_cycles(void);
uint64_t esp_chip_micros(void);

/* Interrupts are held back: let them through and stop the core until one has been served, or for `us`, at most 1 s. */
void esp_chip_wait(uint32_t us);

/* Hold interrupts back, and let them through again. */
void esp_chip_hold(void);
void esp_chip_release(void);

/* Bytes that UART0 has received and nobody has read. */
uint32_t esp_chip_uart_waiting(void);

/* Where `count` pages of 64 KiB of flash from page `first` on can be read, freshly; NULL where there are too many. */
const uint8_t *esp_chip_window(uint32_t first, uint32_t count);

/* What the chip calls. */
void esp_port_trap(void);       /* an exception: restarts the chip */
void esp_port_interrupt(void);  /* from the link */

static inline volatile uint32_t *esp_word(uint32_t address) { return (volatile uint32_t *)address; }

void esp_set(esp_settings_t settings);

#endif
