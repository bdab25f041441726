/* the emu-rv32 board: QEMU's riscv32 virt machine, a 16550 as its wire, parallel NOR bank 1 as its flash. */
#include "app.h"

#include <string.h>

#include "bare/bare.h"

#define UART 0x10000000u
#define UART_DATA 0u
#define UART_INTERRUPTS 1u
#define UART_FIFO 2u
#define UART_LINE 3u
#define UART_STATUS 5u
#define STATUS_RECEIVED 1u
#define STATUS_ROOM 32u

#define FLASH 0x22000000u
#define SECTOR_BYTES (256u * 1024u)
#define TEST_DEVICE 0x00100000u
#define TEST_RESET 0x7777u
#define TIME_LOW 0x0200BFF8u
#define TIME_HIGH 0x0200BFFCu
#define TIME_HZ 10000000u
#define TIME_COMPARE_LOW 0x02004000u
#define TIME_COMPARE_HIGH 0x02004004u

#define PLIC_PRIORITY_UART (0x0C000000u + 4u * 10u)
#define PLIC_ENABLE 0x0C002000u
#define PLIC_THRESHOLD 0x0C200000u
#define PLIC_CLAIM 0x0C200004u

#define STACK_STATUS (98u << 16 | 0x3333u)

#define RETAINED_BYTES 8192u
#define RESTART_MARK 0x52455354u

__attribute__((section(".arena"))) static SPK_ARENA(arena, SPK_ARENA_BYTES);
__attribute__((section(".retained"))) static SPK_ARENA(retained, RETAINED_BYTES);
/* Outlasts a restart: why there was one. */
__attribute__((section(".retained"))) static volatile uint32_t restart_mark;
__attribute__((section(".retained"))) static volatile uint32_t restart_cause;

static volatile uint8_t *uart(uint32_t offset) { return (volatile uint8_t *)(UART + offset); }

static volatile uint32_t *word(uint32_t address) { return (volatile uint32_t *)address; }

static spk_port_t port = {
    SPK_TEXT(SPK_BOARD_NAME), SPK_FLASH_BYTES, SECTOR_BYTES, arena, sizeof arena, TIME_HZ, SPK_RESET_POWER,
    retained, sizeof retained, 0,
};

const spk_port_t *spk_port_init(void) {
    *uart(UART_LINE) = 3; /* 8N1 */
    *uart(UART_FIFO) = 0xC7; /* cleared, on, interrupt at 14 bytes: the emulator hands over as many at a time */
    *uart(UART_INTERRUPTS) = 1;
    *word(PLIC_PRIORITY_UART) = 1;
    *word(PLIC_ENABLE) = 1u << 10;
    *word(PLIC_THRESHOLD) = 0;
    port.reset_cause = restart_mark == RESTART_MARK ? restart_cause : SPK_RESET_POWER;
    restart_mark = 0;
    return &port;
}

int bare_received(void) { return (*uart(UART_STATUS) & STATUS_RECEIVED) != 0; }

int spk_port_read(void) { return bare_received() ? *uart(UART_DATA) : -1; }

int spk_port_writable(void) { return (*uart(UART_STATUS) & STATUS_ROOM) != 0; }

/* A stack that has run over its end may have changed anything: the machine stops rather than answers. */
void spk_port_write(const uint8_t *bytes, size_t count) {
    if (!bare_stack_whole()) {
        *word(TEST_DEVICE) = STACK_STATUS;
    }
    for (; count != 0; count--) {
        while (!(*uart(UART_STATUS) & STATUS_ROOM)) {
        }
        *uart(UART_DATA) = *bytes++;
    }
}

/* Two 16-bit chips side by side, Intel commands in both halves. Returns to reading. */
static int flash_wait(volatile uint32_t *at) {
    while ((*at & 0x00800080u) != 0x00800080u) {
    }
    uint32_t status = *at;
    *at = 0x00500050u;
    *at = 0x00FF00FFu;
    return (status & 0x003A003Au) == 0 ? 0 : -1;
}

void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count) {
    memcpy(bytes, (const uint8_t *)FLASH + offset, count);
}

const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count) {
    (void)count;
    return (const uint8_t *)FLASH + offset;
}

int spk_port_erase(uint32_t offset) {
    volatile uint32_t *at = word(FLASH + offset);
    *at = 0x00200020u;
    *at = 0x00D000D0u;
    return flash_wait(at);
}

/* Words that one buffered write takes, and never crosses a multiple of. */
#define BUFFER_WORDS 128u

static int program_buffer(volatile uint32_t *to, const uint8_t *bytes, uint32_t words) {
    *to = 0x00E800E8u;
    *to = (words - 1) << 16 | (words - 1);
    for (uint32_t i = 0; i < words; i++) {
        to[i] = app_get32(bytes + 4 * i);
    }
    *to = 0x00D000D0u;
    return flash_wait(to);
}

int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        uint32_t room = BUFFER_WORDS - (offset + done) / 4 % BUFFER_WORDS;
        uint32_t words = (count - done) / 4 < room ? (count - done) / 4 : room;
        if (program_buffer(word(FLASH + offset + done), bytes + done, words) != 0) {
            return -1;
        }
        done += 4 * words;
    }
    return memcmp((const uint8_t *)FLASH + offset, bytes, count) == 0 ? 0 : -1;
}

static uint64_t counted(void) {
    uint32_t high = *word(TIME_HIGH);
    for (;;) {
        uint32_t low = *word(TIME_LOW);
        uint32_t again = *word(TIME_HIGH);
        if (again == high) {
            return (uint64_t)high << 32 | low;
        }
        high = again;
    }
}

void spk_port_light(int on) { (void)on; }

uint64_t spk_port_micros(void) {
    /* the count / 10 by parts: no 64-bit division on this core's library */
    uint64_t now = counted();
    uint32_t high = (uint32_t)(now >> 32);
    uint32_t rest = high % 10u;
    uint64_t micros = (uint64_t)(high / 10u) << 32;
    uint32_t middle = rest << 16 | (uint32_t)now >> 16;
    micros += (uint64_t)(middle / 10u) << 16;
    uint32_t low = (middle % 10u) << 16 | ((uint32_t)now & 0xFFFFu);
    return micros + low / 10u;
}

uint64_t spk_port_cycles(void) { return counted(); }

static void compare_time(uint64_t until) {
    *word(TIME_COMPARE_HIGH) = UINT32_MAX;
    *word(TIME_COMPARE_LOW) = (uint32_t)until;
    *word(TIME_COMPARE_HIGH) = (uint32_t)(until >> 32);
}

/* Sleep until the time or a byte comes: both only wake, no handler runs. */
void spk_port_idle(uint32_t us) {
    compare_time(counted() + (uint64_t)us * (TIME_HZ / 1000000u));
    uint32_t sources = 1u << 7 | 1u << 11;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrw mie, %0\nwfi\ncsrw mie, zero\n.option pop" ::"r"(sources)
                     : "memory");
    uint32_t claimed = *word(PLIC_CLAIM);
    if (claimed != 0) {
        *word(PLIC_CLAIM) = claimed;
    }
}

static void restart(uint32_t cause) {
    restart_cause = cause;
    restart_mark = RESTART_MARK;
    *word(TEST_DEVICE) = TEST_RESET;
    for (;;) {
    }
}

void spk_port_reboot(void) { restart(SPK_RESET_SOFTWARE); }

void virt_guard_ran_out(void);

/* start.S comes here where the time compared with has come while interrupts are on, as only a guard has them. */
void virt_guard_ran_out(void) { restart(SPK_RESET_GUARD); }

void spk_port_guard(uint32_t ms) {
    uint32_t timer = ms != 0 ? 1u << 7 : 0;
    uint32_t on = ms != 0 ? 8u : 0;
    /* off first: the time to compare with may come while it is written */
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrc mstatus, 8\ncsrw mie, zero\n.option pop" ::: "memory");
    compare_time(counted() + (uint64_t)ms * (TIME_HZ / 1000u));
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrw mie, %0\ncsrs mstatus, %1\n.option pop" ::"r"(timer), "r"(on)
                     : "memory");
}

void spk_port_sleep(uint32_t us) {
    spk_port_idle(us);
    memset(arena, 0xA5, sizeof arena); /* nothing else is retained */
    restart(SPK_RESET_SLEEP);
}
