/* application <-> board: what one kind of board supplies. One port.c per kind implements it. */
#ifndef ESPIKE_PORT_H
#define ESPIKE_PORT_H

#include <stddef.h>
#include <stdint.h>

/* The board file's name as text; build files define SPK_BOARD_NAME without quotes, which no shell can spoil. */
#define SPK_TEXT_OF(x) #x
#define SPK_TEXT(x) SPK_TEXT_OF(x)

/* What the application needs to know of its board. */
typedef struct {
    const char *name;         /* as the board file is called, at most 15 characters */
    const uint8_t *flash;     /* where the image slot is read */
    uint32_t flash_bytes;     /* of the slot */
    uint32_t sector_bytes;    /* smallest erase */
    void *arena;              /* RAM for the network, 8-byte aligned */
    uint32_t arena_bytes;
    uint32_t cycles_hz;       /* of spk_port_cycles */
} spk_port_t;

/* Bring up the board; called once after every reset. */
const spk_port_t *spk_port_init(void);

/* The next byte from the host, -1 where none waits. */
int spk_port_read(void);

/* Send bytes to the host; waits for room, gives up where nobody listens. */
void spk_port_write(const uint8_t *bytes, size_t count);

/* Would a write of a frame go out without waiting long? */
int spk_port_writable(void);

/* Erase the sector that begins at `offset` of the slot to 0xFF. Returns 0, or -1 where the flash refused. */
int spk_port_erase(uint32_t offset);

/* Program erased flash; offset and count are multiples of 4. Returns 0, or -1 where it does not read back. */
int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count);

/* Microseconds since some moment, and the finest counter there is. */
uint64_t spk_port_micros(void);
uint64_t spk_port_cycles(void);

/* Nothing to do for up to `us` microseconds, or until a byte arrives. */
void spk_port_idle(uint32_t us);

/* Restart the board as after power-on; its flash stays. May return to the caller's main, which begins again. */
void spk_port_reboot(void);

#endif
