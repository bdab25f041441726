/* bytes -> transfer: whatever comes as header, payload and base, expanding it stays inside its memory and its image.
 * input: pieces' length u8, base bytes u8, then a header and its payload. The header's CRC, bounds and the payload's CRC are made
 * right, so that what is behind them is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espike/link.h"
#include "espike/transfer.h"

#define MOST 65536u

typedef struct {
    uint8_t image[MOST];
    uint32_t next;
    const uint8_t *base;
} ends_t;

static int write_image(void *context, uint32_t offset, const uint8_t *bytes, uint32_t count) {
    ends_t *ends = context;
    if (offset != ends->next || count == 0 || count > 256 || count > MOST - offset) {
        abort();
    }
    memcpy(ends->image + offset, bytes, count);
    ends->next += count;
    return 0;
}

static void read_base(void *context, uint32_t offset, uint8_t *bytes, uint32_t count) {
    memcpy(bytes, ((const ends_t *)context)->base + offset, count);
}

static void put32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void expand(const spk_transfer_header_t *header, const uint8_t *payload, uint32_t step, ends_t *ends) {
    const spk_transfer_ends_t calls = {ends, write_image, read_base};
    void *memory = malloc(spk_transfer_memory_bytes());
    spk_transfer_t *transfer = spk_transfer_begin(memory, header, &calls);
    uint32_t at = 0;
    int result = 0;
    ends->next = header->first;
    while (result >= 0 && !spk_transfer_is_done(transfer)) {
        uint32_t left = header->payload_bytes - at;
        uint32_t count = result > 0 ? 0 : left < step ? left : step;
        if (result == 0 && count == 0 && at != 0) {
            abort(); /* all was pushed, nothing waits, and it is neither done nor refused */
        }
        result = spk_transfer_push(transfer, payload + at, count, 4096);
        at += count;
    }
    if (result >= 0 && ends->next != header->image_bytes) {
        abort();
    }
    free(memory);
}

static void take(const uint8_t *data, size_t size) {
    static ends_t ends;
    spk_transfer_header_t header;
    uint8_t bytes[SPK_TRANSFER_HEADER_BYTES];
    if (size < 2 + sizeof bytes || size > MOST) {
        return;
    }
    uint32_t step = 1u + data[0] * 4u;
    uint32_t payload = (uint32_t)(size - 2 - sizeof bytes);
    memcpy(bytes, data + 2, sizeof bytes);
    (void)spk_transfer_read_header(&header, bytes);
    memcpy(bytes, "ESPT\1\0\0\0", 8);
    put32(bytes + 8, (get32(bytes + 8) % MOST) & ~3u);
    put32(bytes + 16, (get32(bytes + 16) % MOST) & ~3u);
    put32(bytes + 20, data[1] * 64u);
    put32(bytes + 28, payload);
    put32(bytes + 32, spk_crc32(0, data + 2 + sizeof bytes, payload));
    put32(bytes + 36, spk_crc32(0, bytes, 36));
    uint8_t *base = malloc(data[1] * 64u + 1u);
    memset(base, 0x5A, data[1] * 64u + 1u);
    ends.base = base;
    if (spk_transfer_read_header(&header, bytes) == SPK_OK) {
        expand(&header, data + 2 + sizeof bytes, step < SPK_TRANSFER_PIECE_BYTES ? step : SPK_TRANSFER_PIECE_BYTES, &ends);
    }
    free(base);
}

#ifdef FUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    take(data, size);
    return 0;
}

#else

int main(void) {
    static uint8_t data[MOST];
    take(data, fread(data, 1, sizeof data, stdin));
    return 0;
}

#endif
