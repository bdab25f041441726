/* image (- installed image) -> transfer -> image: an entropy code that a board expands as it comes. */
#ifndef ESPIKE_TRANSFER_H
#define ESPIKE_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* docs/transfer.md specifies the format. */
#define SPK_TRANSFER_VERSION 1
#define SPK_TRANSFER_HEADER_BYTES 40
#define SPK_TRANSFER_PIECE_BYTES 1024 /* most that spk_transfer_push takes at a time */

/* What each byte of an image is coded as: one of four kinds of literals, or as the base has it. */
#define SPK_TRANSFER_KINDS 4
#define SPK_TRANSFER_COPY 4
#define SPK_TRANSFER_MOVE 5

/* A checked header. */
typedef struct {
    uint32_t image_bytes;   /* of the image that the transfer makes */
    uint32_t image_crc;     /* in its header */
    uint32_t first;         /* byte of the image that the transfer begins at; 0 in files */
    uint32_t base_bytes;    /* of the image that it is the difference to, 0 = none */
    uint32_t base_crc;
    uint32_t payload_bytes; /* behind the header */
    uint32_t payload_crc;   /* CRC-32 of it */
} spk_transfer_header_t;

/* Where expanded bytes go, and the base comes from. Functions return 0, or -1 where the flash failed. */
typedef struct {
    void *context;
    int (*write)(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count); /* in order, up to 256 at a time */
    void (*read_base)(void *context, uint32_t offset, uint8_t *bytes, uint32_t count);
} spk_transfer_ends_t;

/* One transfer being expanded, in the caller's memory. */
typedef struct spk_transfer spk_transfer_t;

/* Bytes of memory that a transfer needs while it is expanded (8-byte aligned). */
size_t spk_transfer_memory_bytes(void);

/* Check a header of SPK_TRANSFER_HEADER_BYTES. Returns SPK_OK, MAGIC, VERSION or TRANSFER. */
int spk_transfer_read_header(spk_transfer_header_t *header, const uint8_t *bytes);

/* Begin to expand. `memory` and what `ends` points to must outlive the transfer. */
spk_transfer_t *spk_transfer_begin(void *memory, const spk_transfer_header_t *header, const spk_transfer_ends_t *ends);

/* Expand the next piece of the payload, up to SPK_TRANSFER_PIECE_BYTES, but write no more than `most` bytes (at least 256)
 * and a chunk. Returns SPK_OK, 1 where `most` stopped it: call again with no bytes before the next piece; SPK_ERROR_TRANSFER
 * where the payload is longer than the header says, makes no image or has another CRC, or SPK_ERROR_FLASH: then the transfer
 * is over. */
int spk_transfer_push(spk_transfer_t *transfer, const uint8_t *bytes, uint32_t count, uint32_t most);

/* Image bytes written so far, and payload bytes taken; spk_transfer_is_done: 1 when the whole image is there. */
uint32_t spk_transfer_written(const spk_transfer_t *transfer);
uint32_t spk_transfer_taken(const spk_transfer_t *transfer);
int spk_transfer_is_done(const spk_transfer_t *transfer);

/* Code image bytes first .. image_bytes - 1 into `out`, header and payload.
 * kinds: uint8 (image_bytes,) how each byte is coded, 0..SPK_TRANSFER_COPY; deltas: int32 (image_bytes,) where a byte is a
 * copy: of base byte offset + delta, which must be inside the base and equal; base may be NULL where nothing is.
 * memory: spk_transfer_memory_bytes. Returns the bytes of `out`, or SPK_ERROR_BUFFER, or SPK_ERROR_TRANSFER where a kind or
 * copy is wrong. */
int64_t spk_transfer_encode(const spk_transfer_header_t *header, const uint8_t *image, const uint8_t *base,
                            const uint8_t *kinds, const int32_t *deltas, void *memory, uint8_t *out, size_t room);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
