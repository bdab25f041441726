/* The core's clock: the crystal's 40 MHz as after the boot loader, or with -DESP32_PLL=1 among a board file's flags 160 MHz. */
#ifndef ESPIKE_ESP32_CLOCK_H
#define ESPIKE_ESP32_CLOCK_H

#include <stdint.h>

#ifndef ESP32_PLL
#define ESP32_PLL 0
#endif
#define ESP32_CORE_HZ (ESP32_PLL ? 160000000u : 40000000u)
#define ESP32_APB_HZ (ESP32_PLL ? 80000000u : 40000000u)

void esp32_clock_begin(void);

/* A restart keeps the setting, and the boot loader expects the crystal. */
void esp32_clock_end(void);

/* rom.S: call a function of the boot loader's ROM, which has windows, with four arguments. */
uint32_t esp32_rom_call(uint32_t function, uint32_t a, uint32_t b, uint32_t c, uint32_t d);

#endif
