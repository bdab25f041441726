/* payload <-> link frame: COBS-delimited, CRC-checked messages over any byte pipe. */
#ifndef ESPIKE_LINK_H
#define ESPIKE_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* docs/link.md specifies frames and messages. A frame before COBS: type, sequence, payload, CRC-32 of these. */
#define SPK_LINK_HEAD_BYTES 2
#define SPK_LINK_TAIL_BYTES 4

/* Collects one frame from single bytes. The caller owns `buffer`; a frame may hold up to
 * capacity - SPK_LINK_HEAD_BYTES - SPK_LINK_TAIL_BYTES bytes of payload. */
typedef struct {
    uint8_t *buffer;
    uint32_t capacity;
    uint32_t length;    /* bytes decoded so far */
    uint8_t run;        /* bytes left in the current COBS run */
    uint8_t zero_next;  /* the run ends with a zero byte */
    uint8_t overflow;
} spk_link_receiver_t;

/* CRC-32 (IEEE 802.3, reflected 0xEDB88320) of `bytes`, continued from `crc` (0 to begin). */
uint32_t spk_crc32(uint32_t crc, const uint8_t *bytes, size_t count);

/* Begin with an empty frame. */
void spk_link_receiver_init(spk_link_receiver_t *receiver, uint8_t *buffer, uint32_t capacity);

/* Take one byte of the pipe. Returns 0 while a frame is incomplete; the payload's length + SPK_LINK_HEAD_BYTES
 * when this byte completed a frame (buffer[0] type, buffer[1] sequence, then the payload), valid until the
 * next push; SPK_ERROR_FRAME where bytes up to a delimiter were no frame. Empty frames (0 0) are skipped. */
int spk_link_push(spk_link_receiver_t *receiver, uint8_t byte);

/* Where encoded bytes go. */
typedef void spk_link_write_t(void *context, const uint8_t *bytes, size_t count);

/* Send buffer[0 .. payload_bytes + SPK_LINK_HEAD_BYTES) as a frame: the CRC is appended in the buffer (which has
 * SPK_LINK_TAIL_BYTES of room behind), and the COBS runs and the delimiter go to `write`. */
void spk_link_send(uint8_t *buffer, size_t payload_bytes, spk_link_write_t *write, void *context);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
