/* crystal -> PLL at 160 MHz and back, in the order of the vendor's published clock driver for a 40 MHz crystal */
#include "esp32/clock.h"

#include "esp/chip.h"
#include "xtensa/core.h"

#define RTC_OPTIONS 0x3FF48000u
#define PLL_POWERED_DOWN (1u << 18 | 1u << 10 | 1u << 8 | 1u << 6)
#define RTC_CLOCK 0x3FF48070u
#define CLOCK_SOURCE (3u << 27)
#define CLOCK_PLL (1u << 27)
#define CORE_PERIOD 0x3FF0003Cu
#define CORE_160_MHZ 1u
#define UART_DIVIDER 0x3FF40014u
#define UART_STATUS 0x3FF4001Cu
#define UART_SENDING 0xFF0000u
#define BAUD 115200u

#define ROM_I2C_WRITE 0x400041A4u /* (block, host, register, value) */
#define PLL_BLOCK 0x66u
#define PLL_HOST 4u

#define CRYSTAL_CYCLES_PER_US 40u
#define PLL_SETTLES_US 200u
#define UART_EMPTIES_US 3000u

static const uint8_t pll_registers[][2] = {{0, 0x18}, {1, 0x20}, {4, 0x9A}, {10, 0}, {12, 0},
                                           {11, 0x43}, {9, 0x84}, {2, 0},   {3, 32}, {5, 0xC6}};

static void wait_us(uint32_t us) {
    uint32_t begin = xtensa_cycles();
    while (xtensa_cycles() - begin < us * CRYSTAL_CYCLES_PER_US) {
    }
}

static void set_baud(void) {
    uint32_t divider = (ESP32_APB_HZ << 1) / (BAUD >> 3); /* in sixteenths */
    *esp_word(UART_DIVIDER) = divider >> 4 | (divider & 15u) << 20;
}

static void to_pll(void) {
    while (*esp_word(UART_STATUS) & UART_SENDING) {
    }
    wait_us(UART_EMPTIES_US);
    *esp_word(RTC_OPTIONS) &= ~PLL_POWERED_DOWN;
    for (uint32_t i = 0; i < sizeof pll_registers / sizeof pll_registers[0]; i++) {
        (void)esp32_rom_call(ROM_I2C_WRITE, PLL_BLOCK, PLL_HOST, pll_registers[i][0], pll_registers[i][1]);
    }
    wait_us(PLL_SETTLES_US);
    *esp_word(CORE_PERIOD) = (*esp_word(CORE_PERIOD) & ~3u) | CORE_160_MHZ;
    *esp_word(RTC_CLOCK) = (*esp_word(RTC_CLOCK) & ~CLOCK_SOURCE) | CLOCK_PLL;
    set_baud();
}

void esp32_clock_begin(void) {
    if (ESP32_PLL) {
        to_pll();
    }
}

void esp32_clock_end(void) {
    if (ESP32_PLL) {
        *esp_word(RTC_CLOCK) &= ~CLOCK_SOURCE;
    }
}
