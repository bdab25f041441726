/* start.S -> the application, for ever */
#include "app.h"
#include "bare/bare.h"

/* start.S paints the stack; link.ld says where it ends. */
extern uint32_t _stack_bottom[];
#define STACK_PAINT 0xA5A5A5A5u

int bare_stack_whole(void) { return _stack_bottom[0] == STACK_PAINT; }

uint32_t spk_port_stack_unused(void) {
    uint32_t unused = 0;
    while (_stack_bottom[unused / 4] == STACK_PAINT) {
        unused += 4;
    }
    return unused;
}

int main(void) {
    app_init();
    for (uint32_t spins = 0;;) {
        uint32_t us = app_poll();
        /* The wire is polled for a while before sleeping: bytes of one frame come close together. */
        spins = us == 0 || bare_received() ? 0 : spins + 1;
        if (spins > 200) {
            spk_port_idle(us);
        }
    }
}
