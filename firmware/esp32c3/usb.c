/* the USB serial unit <-> bytes. It makes the host wait while its 64 bytes are full, so it needs no ring; no emulator has it. */
#include "esp/chip.h"
#include "esp/link.h"

#define USB 0x60043000u
#define USB_DATA (USB + 0x00u)
#define USB_STATE (USB + 0x04u)
#define STATE_SEND (1u << 0)
#define STATE_ROOM (1u << 1)
#define STATE_RECEIVED (1u << 2)
#define USB_ENABLE (USB + 0x10u)
#define USB_CLEAR (USB + 0x14u)
#define RECEIVED (1u << 2)
#define TAKE_US 10000u /* a host that listens has taken what was sent by then */

void esp_usb_init(void) {
    *esp_word(USB_CLEAR) = RECEIVED;
    *esp_word(USB_ENABLE) = RECEIVED;
}

/* It only wakes the core: what has come is read where it is. */
void esp_usb_interrupt(void) { *esp_word(USB_CLEAR) = RECEIVED; }

int esp_usb_waiting(void) { return (*esp_word(USB_STATE) & STATE_RECEIVED) != 0; }

int esp_usb_read(void) { return esp_usb_waiting() ? (int)(*esp_word(USB_DATA) & 0xFFu) : -1; }

int esp_usb_room(void) { return (*esp_word(USB_STATE) & STATE_ROOM) != 0; }

void esp_usb_put(uint8_t byte) { *esp_word(USB_DATA) = byte; }

void esp_usb_flush(void) { *esp_word(USB_STATE) = STATE_SEND; }

void esp_usb_finish(void) {
    uint64_t begin = esp_chip_micros();
    while (esp_chip_micros() - begin < TAKE_US) {
    }
}
