/* The wire to the host, by the verbs of one of its units: ESP_LINK(read)() is esp_uart_read() on a board whose file says
 * "uart". */
#ifndef ESPIKE_ESP_LINK_H
#define ESPIKE_ESP_LINK_H

#include <stdint.h>

#define ESP_LINK_NAME(unit, verb) esp_##unit##_##verb
#define ESP_LINK_OF(unit, verb) ESP_LINK_NAME(unit, verb)
#define ESP_LINK(verb) ESP_LINK_OF(SPK_LINK, verb)

/* UART0 at 115200 baud, as the boot loader leaves it. */
void esp_uart_init(void);
void esp_uart_interrupt(void);
int esp_uart_read(void);    /* -1 where no byte waits */
int esp_uart_waiting(void); /* does one? */
int esp_uart_room(void);
void esp_uart_put(uint8_t byte); /* where there is room */
void esp_uart_flush(void);       /* what has been put may go */
void esp_uart_finish(void);      /* it has gone, or nobody takes it */

/* The USB serial unit of chips that have one. */
void esp_usb_init(void);
void esp_usb_interrupt(void);
int esp_usb_read(void);
int esp_usb_waiting(void);
int esp_usb_room(void);
void esp_usb_put(uint8_t byte);
void esp_usb_flush(void);
void esp_usb_finish(void);

#endif
