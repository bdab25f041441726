/* the emu-lx106 board: QEMU's lx60-nommu machine, a 16550 as its wire, parallel NOR as its flash. */
#include "app.h"

#include <string.h>

#include "bare/bare.h"
#include "xtensa/core.h"

#define UART 0x9D050020u /* registers 4 bytes apart */
#define UART_DATA 0u
#define UART_INTERRUPTS 1u
#define UART_FIFO 2u
#define UART_LINE 3u
#define UART_STATUS 5u
#define STATUS_RECEIVED 1u
#define STATUS_ROOM 32u
#define UART_INTERRUPT (1u << 0)

#define FLASH 0x98000000u
#define SECTOR_BYTES (64u * 1024u)
#define BOARD_RESET 0x9D020010u
#define RESET_WORD 0xDEADu
#define CYCLES_HZ 40000000u

#define STACK_STATUS 98u
#define TRAP_STATUS 99u

#define RETAINED_BYTES 8192u
#define RESTART_MARK 0x52455354u

__attribute__((section(".arena"))) static SPK_ARENA(arena, SPK_ARENA_BYTES);
__attribute__((section(".retained"))) static SPK_ARENA(retained, RETAINED_BYTES);
/* Outlasts a restart: why there was one. */
__attribute__((section(".retained"))) static volatile uint32_t restart_mark;
__attribute__((section(".retained"))) static volatile uint32_t restart_cause;

static uint32_t guard_at; /* cycle that ends the guard's patience */
static volatile uint32_t guarding;
static volatile uint32_t idling;

static volatile uint32_t *word(uint32_t address) { return (volatile uint32_t *)address; }

static volatile uint32_t *uart(uint32_t index) { return word(UART + 4 * index); }

static spk_port_t port = {
    SPK_TEXT(SPK_BOARD_NAME), SPK_FLASH_BYTES, SECTOR_BYTES, arena, sizeof arena, CYCLES_HZ, SPK_RESET_POWER,
    retained, sizeof retained, 0,
};

const spk_port_t *spk_port_init(void) {
    *uart(UART_LINE) = 3; /* 8N1 */
    *uart(UART_FIFO) = 0xC7; /* cleared, on, interrupt at 14 bytes: the emulator hands over as many at a time */
    *uart(UART_INTERRUPTS) = 1;
    port.reset_cause = restart_mark == RESTART_MARK ? restart_cause : SPK_RESET_POWER;
    restart_mark = 0;
    return &port;
}

/* End the emulator by its call 1. */
static void stop(uint32_t status) {
    register uint32_t call __asm__("a2") = 1;
    register uint32_t argument __asm__("a3") = status;
    __asm__ volatile("simcall" ::"a"(call), "a"(argument) : "memory");
    for (;;) {
    }
}

void xtensa_trap(void) { stop(TRAP_STATUS); }

int bare_received(void) { return (*uart(UART_STATUS) & STATUS_RECEIVED) != 0; }

int spk_port_read(void) { return bare_received() ? (int)(*uart(UART_DATA) & 0xFFu) : -1; }

int spk_port_writable(void) { return (*uart(UART_STATUS) & STATUS_ROOM) != 0; }

/* A stack that has run over its end may have changed anything: the machine stops rather than answers. */
void spk_port_write(const uint8_t *bytes, size_t count) {
    if (!bare_stack_whole()) {
        stop(STACK_STATUS);
    }
    for (; count != 0; count--) {
        while (!(*uart(UART_STATUS) & STATUS_ROOM)) {
        }
        *uart(UART_DATA) = *bytes++;
    }
}

void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count) {
    memcpy(bytes, (const uint8_t *)FLASH + offset, count);
}

const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count) {
    (void)count;
    return (const uint8_t *)FLASH + offset;
}

static volatile uint16_t *flash(uint32_t offset) { return (volatile uint16_t *)(FLASH + offset); }

/* Returns to reading. */
static int flash_wait(volatile uint16_t *at) {
    while ((*at & 0x80u) == 0) {
    }
    uint32_t status = *at;
    *at = 0x50;
    *at = 0xFF;
    return (status & 0x3Au) == 0 ? 0 : -1;
}

int spk_port_erase(uint32_t offset) {
    volatile uint16_t *at = flash(offset);
    *at = 0x20;
    *at = 0xD0;
    return flash_wait(at);
}

/* Half-words that one buffered write takes, and never crosses a multiple of. */
#define BUFFER_HALVES 64u

/* The emulator's flash stores what it is given; real flash only clears bits. */
static int program_buffer(volatile uint16_t *to, const uint8_t *bytes, uint32_t halves) {
    uint16_t buffer[BUFFER_HALVES];
    for (uint32_t i = 0; i < halves; i++) {
        buffer[i] = (uint16_t)(to[i] & (bytes[2 * i] | bytes[2 * i + 1] << 8));
    }
    *to = 0xE8;
    *to = (uint16_t)(halves - 1);
    for (uint32_t i = 0; i < halves; i++) {
        to[i] = buffer[i];
    }
    *to = 0xD0;
    return flash_wait(to);
}

int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        uint32_t room = BUFFER_HALVES - (offset + done) / 2 % BUFFER_HALVES;
        uint32_t halves = (count - done) / 2 < room ? (count - done) / 2 : room;
        if (program_buffer(flash(offset + done), bytes + done, halves) != 0) {
            return -1;
        }
        done += 2 * halves;
    }
    return memcmp((const uint8_t *)FLASH + offset, bytes, count) == 0 ? 0 : -1;
}

uint64_t spk_port_cycles(void) {
    static uint64_t total;
    static uint32_t last;
    uint32_t now = xtensa_cycles();
    total += now - last;
    last = now;
    return total;
}

void spk_port_light(int on) { (void)on; }

uint64_t spk_port_micros(void) { return spk_port_cycles() / (CYCLES_HZ / 1000000u); }

static void restart(uint32_t cause) {
    restart_cause = cause;
    restart_mark = RESTART_MARK;
    *word(BOARD_RESET) = RESET_WORD;
    for (;;) {
    }
}

void spk_port_reboot(void) { restart(SPK_RESET_SOFTWARE); }

static uint32_t guard_left(void) {
    int32_t left = (int32_t)(guard_at - xtensa_cycles());
    return left > 0 ? (uint32_t)left : 0;
}

static void guard_arm(void) {
    if (guarding && guard_left() == 0) {
        restart(SPK_RESET_GUARD);
    }
    xtensa_compare(guard_at);
    xtensa_enable(guarding ? XTENSA_TIMER_INTERRUPT : 0);
}

void spk_port_guard(uint32_t ms) {
    guarding = ms != 0;
    guard_at = xtensa_cycles() + ms * (CYCLES_HZ / 1000u);
    guard_arm();
}

#define IDLE_LEAST 1000u /* cycles: a compare must lie ahead when it is set */
#define WAIT_MOST_US 1000000u

/* Any interrupt ends an idle time; else only the guard has one. */
void xtensa_interrupt(void) {
    if (!idling) {
        restart(SPK_RESET_GUARD);
    }
    xtensa_enable(0);
}

void spk_port_idle(uint32_t us) {
    (void)spk_port_cycles(); /* the counter must be read before it comes round */
    uint32_t cycles = (us < WAIT_MOST_US ? us : WAIT_MOST_US) * (CYCLES_HZ / 1000000u);
    cycles = guarding && guard_left() < cycles ? guard_left() : cycles;
    xtensa_hold();
    idling = 1;
    xtensa_compare(xtensa_cycles() + (cycles > IDLE_LEAST ? cycles : IDLE_LEAST));
    xtensa_enable(XTENSA_TIMER_INTERRUPT | UART_INTERRUPT);
    xtensa_wait();
    idling = 0;
    guard_arm();
}

void spk_port_sleep(uint32_t us) {
    spk_port_guard(0);
    uint64_t begin = spk_port_micros();
    for (uint64_t past = 0; past < us; past = spk_port_micros() - begin) {
        spk_port_idle(us - (uint32_t)past);
    }
    memset(arena, 0xA5, sizeof arena); /* nothing else is retained */
    restart(SPK_RESET_SLEEP);
}
