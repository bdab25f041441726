/* The exported network as the application of a bare-metal board: port.h's board calls it instead of espike's firmware. */
#include "app.h"
#include "program.h"

static void print(const char *text) {
    size_t count = 0;
    while (text[count] != 0) {
        count++;
    }
    spk_port_write((const uint8_t *)text, count);
}

#ifdef PROGRAM_ENDS
/* Emulators that were told so end with a restart. */
static void end(void) { spk_port_reboot(); }
#else
static void end(void) {}
#endif

void app_init(void) {
    const spk_port_t *port = spk_port_init();
    program_run(print, port->arena, port->arena_bytes);
    end();
}

uint32_t app_poll(void) { return 1000000; }
