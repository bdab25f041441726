/* the ESP32: registers, interrupts, flash window */
#include "esp/chip.h"

#include "esp32/clock.h"
#include "xtensa/core.h"

#define UART0 0x3FF40000u
#define UART0_SEND 0x60000000u /* writes by the other address may be lost (erratum) */
#define UART_STATUS 0x1Cu
#define UART_POINTERS 0x60u
#define UART_BYTES 128u
#define SPI1 0x3FF42000u
#define RTC 0x3FF48000u
#define RTC_CAUSE (RTC + 0x34u)
#define RTC_WATCHDOG (RTC + 0x8Cu)
#define RTC_WATCHDOG_PROTECT (RTC + 0xA4u)
#define GROUP_0 0x3FF5F000u
#define GROUP_1 0x3FF60000u
#define GROUP_WATCHDOG 0x48u
#define GROUP_PROTECT 0x64u
#define KEY 0x50D83AA1u
#define GROUP_RESETS (1u << 31 | 3u << 29 | 7u << 18 | 7u << 15)

#define TIMER_CONFIG (GROUP_0 + 0x00u)
#define TIMER_ON (1u << 31 | 1u << 30) /* upwards */
#define TIMER_DIVIDER(apb_hz) ((apb_hz) / 1000000u << 13)
#define TIMER_LOW (GROUP_0 + 0x04u)
#define TIMER_HIGH (GROUP_0 + 0x08u)
#define TIMER_LATCH (GROUP_0 + 0x0Cu)

#define MATRIX_UART (0x3FF00104u + 4u * 34u)
#define LINK_INTERRUPT (1u << 0)

#define CACHE_CONTROL 0x3FF00040u
#define CACHE_ON (1u << 3)
#define CACHE_FLUSH (1u << 4)
#define CACHE_FLUSHED (1u << 5)
#define CACHE_BUSES 0x3FF00044u
#define CACHE_BUS_HIDDEN (1u << 4)
#define PAGES 0x3FF10000u
#define PAGE_COUNT 64u
#define WINDOW 0x3F400000u

static const esp_setting_t uart_receive[] = {
    {UART0 + 0x24u, 0x7Fu | 0x7Fu << 24, 64u | 2u << 24 | 1u << 31}, /* 64 bytes, or the time of two without one */
};

const esp_chip_t esp_chip = {
    .spi = SPI1,
    .spi_user = 0x1C,
    .spi_length = 0x28,
    .spi_words = 0x80,
    .spi_address_shift = 8,
    .uart = UART0,
    .uart_send = UART0_SEND,
    .uart_receive = ESP_SETTINGS(uart_receive),
    .gpio = 0x3FF44000u,
    .restart = RTC,
    .restart_cause = RTC_CAUSE,
    .guard = GROUP_0,
    .guard_config = GROUP_RESETS,
    .guard_off = 0,
    .guard_ticks_per_ms = ESP32_APB_HZ / 40000000u,
};

static const esp_setting_t watchdogs[] = {
    {RTC_WATCHDOG_PROTECT, ESP_WHOLE, KEY},      {RTC_WATCHDOG, ESP_WHOLE, 0},
    {RTC_WATCHDOG_PROTECT, ESP_WHOLE, 0},        {GROUP_0 + GROUP_PROTECT, ESP_WHOLE, KEY},
    {GROUP_0 + GROUP_WATCHDOG, ESP_WHOLE, 0},    {GROUP_0 + GROUP_PROTECT, ESP_WHOLE, 0},
    {GROUP_1 + GROUP_PROTECT, ESP_WHOLE, KEY},   {GROUP_1 + GROUP_WATCHDOG, ESP_WHOLE, 0},
    {GROUP_1 + GROUP_PROTECT, ESP_WHOLE, 0},
};

static const esp_setting_t timers[] = {
    {TIMER_CONFIG, ESP_WHOLE, TIMER_ON | TIMER_DIVIDER(ESP32_APB_HZ)},
    {MATRIX_UART, ESP_WHOLE, 0}, /* to interrupt 0 of the core */
};

static const esp_settings_t watchdogs_off = ESP_SETTINGS(watchdogs);
static const esp_settings_t timers_on = ESP_SETTINGS(timers);

void esp_chip_init(void) {
    esp_set(watchdogs_off);
    esp32_clock_begin();
    esp_set(timers_on);
    xtensa_enable(LINK_INTERRUPT);
}

void esp_chip_end(void) { esp32_clock_end(); }

uint32_t esp_chip_cycles(void) { return xtensa_cycles(); }

uint32_t esp_chip_cycles_hz(void) { return ESP32_CORE_HZ; }

uint64_t esp_chip_micros(void) {
    *esp_word(TIMER_LATCH) = 1;
    uint64_t high = *esp_word(TIMER_HIGH);
    return high << 32 | *esp_word(TIMER_LOW);
}

void esp_chip_hold(void) { xtensa_hold(); }

void esp_chip_release(void) { xtensa_release(); }

#define WAIT_LEAST 1000u /* cycles: a compare must lie ahead when it is set */

void esp_chip_wait(uint32_t us) {
    uint32_t cycles = us * (ESP32_CORE_HZ / 1000000u);
    xtensa_compare(xtensa_cycles() + (cycles > WAIT_LEAST ? cycles : WAIT_LEAST));
    xtensa_enable(LINK_INTERRUPT | XTENSA_TIMER_INTERRUPT);
    xtensa_wait();
    xtensa_enable(LINK_INTERRUPT);
}

void xtensa_interrupt(void) {
    xtensa_enable(LINK_INTERRUPT);
    esp_port_interrupt();
}

void xtensa_trap(void) { esp_port_trap(); }

/* The count in STATUS can be wrong (erratum), the pointers are not; equal ones mean empty or full. STATUS is read first: a
 * byte that comes in between must not make an empty FIFO look full. */
uint32_t esp_chip_uart_waiting(void) {
    uint32_t counted = *esp_word(UART0 + UART_STATUS) & 0xFFu;
    uint32_t pointers = *esp_word(UART0 + UART_POINTERS);
    uint32_t waiting = ((pointers >> 13) - (pointers >> 2)) % UART_BYTES;
    return waiting == 0 && counted != 0 ? UART_BYTES : waiting;
}

const uint8_t *esp_chip_window(uint32_t first, uint32_t count) {
    if (count > PAGE_COUNT) {
        return NULL;
    }
    *esp_word(CACHE_CONTROL) &= ~CACHE_ON;
    for (uint32_t i = 0; i < count; i++) {
        *esp_word(PAGES + 4 * i) = first + i;
    }
    *esp_word(CACHE_CONTROL) &= ~CACHE_FLUSH;
    *esp_word(CACHE_CONTROL) |= CACHE_FLUSH;
    while (!(*esp_word(CACHE_CONTROL) & CACHE_FLUSHED)) {
    }
    *esp_word(CACHE_CONTROL) &= ~CACHE_FLUSH;
    *esp_word(CACHE_BUSES) &= ~CACHE_BUS_HIDDEN;
    *esp_word(CACHE_CONTROL) |= CACHE_ON;
    return (const uint8_t *)WINDOW;
}
