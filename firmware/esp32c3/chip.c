/* the ESP32-C3: registers, clock, interrupts, flash window */
#include "esp/chip.h"

#define UART0 0x60000000u
#define UART_STATUS 0x1Cu
#define SPI1 0x60002000u
#define RTC 0x60008000u
#define RTC_OPTIONS (RTC + 0x00u)
#define PLL_POWERED_DOWN (1u << 10 | 1u << 8 | 1u << 6)
#define RTC_CAUSE (RTC + 0x38u)
#define RTC_WATCHDOG (RTC + 0x90u)
#define RTC_WATCHDOG_PROTECT (RTC + 0xA8u)
#define RTC_SUPER (RTC + 0xACu)
#define RTC_SUPER_PROTECT (RTC + 0xB0u)
#define GROUP_0 0x6001F000u
#define GROUP_1 0x60020000u
#define GROUP_WATCHDOG 0x48u
#define GROUP_PROTECT 0x64u
#define KEY 0x50D83AA1u
#define SUPER_KEY 0x8F1D312Au
#define GROUP_TAKEN_OVER (1u << 22)
#define GROUP_RESETS (1u << 31 | 3u << 29 | 1u << 22 | 1u << 21 | 7u << 18 | 7u << 15)

#define TIMER 0x60023000u /* SYSTIMER: 16 MHz, whatever the core runs at */
#define TIMER_CONFIG (TIMER + 0x00u)
#define TIMER_UNIT_0_ON (1u << 30)
#define TIMER_TARGET_0_ON (1u << 24)
#define TIMER_LATCH (TIMER + 0x04u)
#define TIMER_LATCH_NOW (1u << 30)
#define TIMER_LATCHED (1u << 29)
#define TIMER_TARGET (TIMER + 0x34u)
#define TIMER_PERIODIC (1u << 30)
#define TIMER_HIGH (TIMER + 0x40u)
#define TIMER_LOW (TIMER + 0x44u)
#define TIMER_TARGET_LOAD (TIMER + 0x50u)
#define TIMER_ENABLE (TIMER + 0x64u)
#define TIMER_CLEAR (TIMER + 0x6Cu)
#define TIMER_TARGET_0 1u
#define TIMER_TICKS_PER_US 16u

#define SYSTEM_CPU 0x600C0008u
#define CPU_160_MHZ (1u << 0)
#define CPU_PERIOD 3u
#define PLL_480_MHZ (1u << 2)
#define SYSTEM_CLOCK 0x600C0058u
#define CLOCK_SOURCE (3u << 10)
#define CLOCK_PLL (1u << 10)

#define MATRIX 0x600C2000u
#define SOURCE_UART 21u
#define SOURCE_USB 26u
#define SOURCE_TIMER 37u
#define LINK_LINE 1u
#define TIMER_LINE 2u
#define MATRIX_ENABLE (MATRIX + 0x104u)
#define MATRIX_EDGE (MATRIX + 0x108u)
#define MATRIX_PRIORITY (MATRIX + 0x114u)
#define MATRIX_THRESHOLD (MATRIX + 0x194u)

#define CACHE_CONTROL 0x600C4000u
#define CACHE_ON 1u
#define CACHE_BUSES 0x600C4004u
#define CACHE_INVALIDATE 0x600C4028u
#define CACHE_DONE 2u
#define PAGES 0x600C5000u
#define PAGE_INVALID 0x100u
#define PAGE_COUNT 128u
#define WINDOW 0x3C000000u

static const esp_setting_t uart_receive[] = {
    {UART0 + 0x60u, 0x3FFu << 16, 20u << 16}, /* bit times without a byte */
    {UART0 + 0x24u, 0x1FFu | 1u << 21, 64u | 1u << 21},
};

const esp_chip_t esp_chip = {
    .spi = SPI1,
    .spi_user = 0x18,
    .spi_length = 0x24,
    .spi_words = 0x58,
    .spi_address_shift = 0,
    .uart = UART0,
    .uart_send = UART0,
    .uart_receive = ESP_SETTINGS(uart_receive),
    .gpio = 0x60004000u,
    .restart = RTC_OPTIONS,
    .restart_cause = RTC_CAUSE,
    .guard = GROUP_0,
    .guard_config = GROUP_RESETS,
    .guard_off = GROUP_TAKEN_OVER,
    .guard_ticks_per_ms = 1,
};

static const esp_setting_t group_watchdogs[] = {
    {GROUP_0 + GROUP_PROTECT, ESP_WHOLE, KEY}, {GROUP_0 + GROUP_WATCHDOG, ESP_WHOLE, GROUP_TAKEN_OVER},
    {GROUP_0 + GROUP_PROTECT, ESP_WHOLE, 0},   {GROUP_1 + GROUP_PROTECT, ESP_WHOLE, KEY},
    {GROUP_1 + GROUP_WATCHDOG, ESP_WHOLE, GROUP_TAKEN_OVER}, {GROUP_1 + GROUP_PROTECT, ESP_WHOLE, 0},
};

static const esp_setting_t rtc_watchdogs[] = {
    {RTC_WATCHDOG_PROTECT, ESP_WHOLE, KEY}, {RTC_WATCHDOG, ESP_WHOLE, 0}, {RTC_WATCHDOG_PROTECT, ESP_WHOLE, 0},
    {RTC_SUPER_PROTECT, ESP_WHOLE, SUPER_KEY}, {RTC_SUPER, 0, 1u << 31}, {RTC_SUPER_PROTECT, ESP_WHOLE, 0},
};

static const esp_setting_t interrupts[] = {
    {MATRIX + 4 * SOURCE_UART, ESP_WHOLE, LINK_LINE},
    {MATRIX + 4 * SOURCE_USB, ESP_WHOLE, LINK_LINE},
    {MATRIX + 4 * SOURCE_TIMER, ESP_WHOLE, TIMER_LINE},
    {MATRIX_EDGE, 1u << LINK_LINE | 1u << TIMER_LINE, 0},
    {MATRIX_PRIORITY + 4 * LINK_LINE, ESP_WHOLE, 7},
    {MATRIX_PRIORITY + 4 * TIMER_LINE, ESP_WHOLE, 7},
    {MATRIX_THRESHOLD, ESP_WHOLE, 1},
    {MATRIX_ENABLE, 0, 1u << LINK_LINE | 1u << TIMER_LINE},
};

static const esp_setting_t clock_160_mhz[] = {
    {SYSTEM_CPU, CPU_PERIOD, CPU_160_MHZ | PLL_480_MHZ},
    {SYSTEM_CLOCK, CLOCK_SOURCE, CLOCK_PLL},
};

static const esp_settings_t group_watchdogs_off = ESP_SETTINGS(group_watchdogs);
static const esp_settings_t rtc_watchdogs_off = ESP_SETTINGS(rtc_watchdogs);
static const esp_settings_t interrupts_on = ESP_SETTINGS(interrupts);
static const esp_settings_t clock_faster = ESP_SETTINGS(clock_160_mhz);

#define CLOCK_TRIED 0x434C4B31u

/* Outlasts a restart: the clock was being switched. */
__attribute__((section(".retained"))) static volatile uint32_t clock_tried;

/* The boot loader leaves the RTC watchdog on. A core that the PLL does not drive stops here until that restarts the chip;
 * then `clock_tried` still stands, and the clock stays as it is. */
static void set_clock(void) {
    if ((*esp_word(RTC_OPTIONS) & PLL_POWERED_DOWN) != 0 || clock_tried == CLOCK_TRIED) {
        return;
    }
    clock_tried = CLOCK_TRIED;
    esp_set(clock_faster);
    clock_tried = 0;
}

static void count_cycles(void) {
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrwi 0x7E0, 1\ncsrwi 0x7E1, 1\n.option pop");
}

void esp_chip_init(void) {
    esp_set(group_watchdogs_off);
    set_clock();
    esp_set(rtc_watchdogs_off);
    count_cycles();
    *esp_word(TIMER_CONFIG) |= TIMER_UNIT_0_ON;
    esp_set(interrupts_on);
    esp_chip_release();
}

void esp_chip_end(void) {}

uint32_t esp_chip_cycles(void) {
    uint32_t cycles;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, 0x7E2\n.option pop" : "=r"(cycles)::"memory");
    return cycles;
}

#define MEASURE_US 1000u

/* What the clock really is, to 1 MHz. */
uint32_t esp_chip_cycles_hz(void) {
    uint32_t cycles = esp_chip_cycles();
    uint64_t begin = esp_chip_micros();
    while (esp_chip_micros() - begin < MEASURE_US) {
    }
    cycles = esp_chip_cycles() - cycles;
    return (cycles + MEASURE_US / 2) / MEASURE_US * 1000000u;
}

uint64_t esp_chip_micros(void) {
    *esp_word(TIMER_LATCH) = TIMER_LATCH_NOW;
    while (!(*esp_word(TIMER_LATCH) & TIMER_LATCHED)) {
    }
    uint64_t high = *esp_word(TIMER_HIGH);
    return (high << 32 | *esp_word(TIMER_LOW)) / TIMER_TICKS_PER_US;
}

void esp_chip_hold(void) {
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrci mstatus, 8\n.option pop" ::: "memory");
}

void esp_chip_release(void) {
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrsi mstatus, 8\n.option pop" ::: "memory");
}

/* start.S */
void esp32c3_stop(void);

void esp_chip_wait(uint32_t us) {
    uint32_t period = (us != 0 ? us : 1) * TIMER_TICKS_PER_US;
    *esp_word(TIMER_TARGET) = period;
    *esp_word(TIMER_TARGET_LOAD) = 1;
    *esp_word(TIMER_TARGET) = TIMER_PERIODIC | period;
    *esp_word(TIMER_ENABLE) = TIMER_TARGET_0;
    *esp_word(TIMER_CONFIG) |= TIMER_TARGET_0_ON;
    esp32c3_stop();
    *esp_word(TIMER_CONFIG) &= ~TIMER_TARGET_0_ON;
    *esp_word(TIMER_ENABLE) = 0;
    *esp_word(TIMER_CLEAR) = TIMER_TARGET_0;
}

void esp32c3_interrupt(void);

void esp32c3_interrupt(void) {
    *esp_word(TIMER_CLEAR) = TIMER_TARGET_0;
    esp_port_interrupt();
}

uint32_t esp_chip_uart_waiting(void) { return *esp_word(UART0 + UART_STATUS) & 0x3FFu; }

const uint8_t *esp_chip_window(uint32_t first, uint32_t count) {
    if (count > PAGE_COUNT) {
        return NULL;
    }
    *esp_word(CACHE_CONTROL) &= ~CACHE_ON;
    for (uint32_t i = 0; i < count; i++) {
        *esp_word(PAGES + 4 * i) = PAGE_INVALID;
        *esp_word(PAGES + 4 * i) = first + i;
    }
    *esp_word(CACHE_INVALIDATE) |= 1u;
    while (!(*esp_word(CACHE_INVALIDATE) & CACHE_DONE)) {
    }
    *esp_word(CACHE_BUSES) &= ~3u;
    *esp_word(CACHE_CONTROL) |= CACHE_ON;
    return (const uint8_t *)WINDOW;
}
