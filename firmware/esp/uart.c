/* UART0 -> bytes: received by interrupt into a ring, as its own 128 bytes last 11 ms */
#include "esp/chip.h"
#include "esp/link.h"

#define UART_FIFO 0x00u
#define UART_ENABLE 0x0Cu
#define UART_CLEAR 0x10u
#define UART_STATUS 0x1Cu
#define RECEIVE_FLAGS (1u << 0 | 1u << 8) /* as many as asked for; no more for a while */
#define SENDING(status) ((status) >> 16 & 0xFFu)
#define SEND_MOST 126u
#define BYTE_US 100u /* at 115200 baud, and a bit */

#define RING_BYTES 2048u /* a power of two, and more than a frame */

static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t ring_put; /* counts; their difference is what waits */
static volatile uint32_t ring_taken;

static volatile uint32_t *uart(uint32_t offset) { return esp_word(esp_chip.uart + offset); }

/* Bytes for which the ring has no room stay where they are. Interrupts are held back. */
static void drain(void) {
    while (ring_put - ring_taken < RING_BYTES && esp_chip_uart_waiting() != 0) {
        ring[ring_put % RING_BYTES] = (uint8_t)*uart(UART_FIFO);
        ring_put++;
    }
    *uart(UART_CLEAR) = RECEIVE_FLAGS;
    *uart(UART_ENABLE) = ring_put - ring_taken < RING_BYTES ? RECEIVE_FLAGS : 0;
}

void esp_uart_init(void) {
    esp_set(esp_chip.uart_receive);
    *uart(UART_CLEAR) = ESP_WHOLE;
    *uart(UART_ENABLE) = RECEIVE_FLAGS;
}

void esp_uart_interrupt(void) { drain(); }

int esp_uart_waiting(void) { return ring_put != ring_taken || esp_chip_uart_waiting() != 0; }

int esp_uart_read(void) {
    if (ring_put == ring_taken) {
        esp_chip_hold();
        *uart(UART_ENABLE) = 0;
        drain();
        esp_chip_release();
    }
    if (ring_put == ring_taken) {
        return -1;
    }
    int byte = ring[ring_taken % RING_BYTES];
    ring_taken++;
    return byte;
}

int esp_uart_room(void) { return SENDING(*uart(UART_STATUS)) < SEND_MOST; }

void esp_uart_put(uint8_t byte) { *esp_word(esp_chip.uart_send) = byte; }

void esp_uart_flush(void) {}

/* The last byte leaves a shift register that no count includes. */
void esp_uart_finish(void) {
    while (SENDING(*uart(UART_STATUS)) != 0) {
    }
    uint64_t begin = esp_chip_micros();
    while (esp_chip_micros() - begin < BYTE_US) {
    }
}
