/* application <-> board: what one kind of board supplies. One port.c per kind implements it. */
#ifndef ESPIKE_PORT_H
#define ESPIKE_PORT_H

#include <stddef.h>
#include <stdint.h>

/* The board file's name as text; build files define SPK_BOARD_NAME without quotes, which no shell can spoil. */
#define SPK_TEXT_OF(x) #x
#define SPK_TEXT(x) SPK_TEXT_OF(x)

enum { /* why the board started */
    SPK_RESET_POWER = 0,
    SPK_RESET_SOFTWARE, /* it was asked to */
    SPK_RESET_GUARD,    /* spk_port_guard ran out, or something trapped */
    SPK_RESET_SLEEP,    /* it woke */
    SPK_RESET_OTHER
};

/* What the application needs to know of its board. */
typedef struct {
    const char *name;         /* as the board file is called, at most 15 characters */
    uint32_t flash_bytes;     /* of the store: journal and image slots */
    uint32_t sector_bytes;    /* smallest erase */
    void *arena;              /* RAM for the network, 8-byte aligned */
    uint32_t arena_bytes;
    uint32_t cycles_hz;       /* of spk_port_cycles */
    uint32_t reset_cause;     /* SPK_RESET_... */
    void *retained;           /* RAM that outlasts sleep and restart, 8-byte aligned; NULL where there is none */
    uint32_t retained_bytes;
    int copies;               /* images are copied to RAM where they fit beside their network, rather than read in flash */
} spk_port_t;

/* Bring up the board; called once after every reset. */
const spk_port_t *spk_port_init(void);

/* The next byte from the host, -1 where none waits. */
int spk_port_read(void);

/* Send bytes to the host; waits for room, gives up where nobody listens. */
void spk_port_write(const uint8_t *bytes, size_t count);

/* Would a write of a frame go out without waiting long? */
int spk_port_writable(void);

/* Flash of the store; offsets count from its first byte. */

/* Copy `count` bytes to RAM. */
void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count);

/* Where flash can be read in place, from `offset`, a multiple of 64 KiB or of a sector, on; NULL where it cannot. What has
 * been programmed since the last call may be seen only after the next. */
const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count);

/* Erase the sector that begins at `offset` to 0xFF. Returns 0, or -1 where the flash refused. */
int spk_port_erase(uint32_t offset);

/* Program erased flash; offset and count are multiples of 4. Returns 0, or -1 where it does not read back. */
int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count);

/* Restart the board with cause SPK_RESET_GUARD unless called again within `ms`, up to 50,000; 0 ends the guard. */
void spk_port_guard(uint32_t ms);

/* Bytes of the stack that nothing has touched since the start; UINT32_MAX where the port cannot tell. */
uint32_t spk_port_stack_unused(void);

/* Microseconds since some moment, and the finest counter there is. */
uint64_t spk_port_micros(void);
uint64_t spk_port_cycles(void);

/* The light of boards that have one: did the network's last area, usually its output, fire? */
void spk_port_light(int on);

/* Nothing to do for up to `us` microseconds, or until a byte arrives. */
void spk_port_idle(uint32_t us);

/* Sleep for `us`, retaining nothing but `retained`, then restart with cause SPK_RESET_SLEEP. */
void spk_port_sleep(uint32_t us);

/* Restart the board; its flash stays. */
void spk_port_reboot(void);

#endif
