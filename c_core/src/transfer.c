/* image (- installed image) <-> transfer: one procedure codes both ways; docs/transfer.md. */
#include "espike/transfer.h"

#include "bytes.h"
#include "coder.h"
#include "espike/image.h"
#include "espike/link.h"

#define MAGIC 0x54505345u /* "ESPT" */
#define HEADER_CRC (SPK_TRANSFER_HEADER_BYTES - 4)
#define HEADER_FIELDS 7u

#define CHUNK_BYTES 256u
#define LINE_BYTES 64u
#define NO_LINE UINT32_MAX
#define KIND_BITS 3u
/* Payload bytes that one image byte takes at most, with the coder's first four: a bit moves the range by two. */
#define HOLD_BYTES 28u

struct spk_transfer {
    coder_t coder;
    spk_transfer_header_t header;
    spk_transfer_ends_t ends;
    uint32_t at;      /* image byte that comes next */
    uint32_t taken;   /* payload bytes pushed */
    uint32_t crc;     /* of them */
    uint32_t held;    /* bytes in `in` */
    uint32_t delta;   /* a copy comes from base byte at + delta */
    uint32_t line_at; /* what `line` holds of the base */
    uint32_t kinds;   /* of the last two bytes, 3 bits each */
    uint8_t started;
    uint8_t over;
    coder_context_t kind_contexts[1u << 3 * KIND_BITS];
    coder_context_t literal_contexts[SPK_TRANSFER_KINDS * 256];
    uint8_t line[LINE_BYTES];
    uint8_t chunk[CHUNK_BYTES]; /* written when `at` reaches a multiple of it */
    uint8_t in[HOLD_BYTES + SPK_TRANSFER_PIECE_BYTES];
};

size_t spk_transfer_memory_bytes(void) { return (sizeof(struct spk_transfer) + 7) & ~(size_t)7; }

int spk_transfer_read_header(spk_transfer_header_t *header, const uint8_t *bytes) {
    if (spk_load32(bytes) != MAGIC) {
        return SPK_ERROR_MAGIC;
    }
    if (spk_load32(bytes + 4) != SPK_TRANSFER_VERSION) {
        return SPK_ERROR_VERSION;
    }
    uint32_t *fields[HEADER_FIELDS] = {&header->image_bytes, &header->image_crc,  &header->first,      &header->base_bytes,
                                       &header->base_crc,    &header->payload_bytes, &header->payload_crc};
    for (uint32_t i = 0; i < HEADER_FIELDS; i++) {
        *fields[i] = spk_load32(bytes + 8 + 4 * i);
    }
    int bad = spk_load32(bytes + HEADER_CRC) != spk_crc32(0, bytes, HEADER_CRC) || header->first > header->image_bytes ||
              header->image_bytes < SPK_IMAGE_HEADER_BYTES || header->image_bytes % 4 != 0 || header->first % 4 != 0;
    return bad ? SPK_ERROR_TRANSFER : SPK_OK;
}

static void write_header(const spk_transfer_header_t *header, uint8_t *out) {
    const uint32_t words[2 + HEADER_FIELDS] = {
        MAGIC, SPK_TRANSFER_VERSION, header->image_bytes, header->image_crc, header->first, header->base_bytes,
        header->base_crc, header->payload_bytes, header->payload_crc,
    };
    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        spk_store32(out + 4 * i, words[i]);
    }
    spk_store32(out + HEADER_CRC, spk_crc32(0, out, HEADER_CRC));
}

spk_transfer_t *spk_transfer_begin(void *memory, const spk_transfer_header_t *header, const spk_transfer_ends_t *ends) {
    spk_transfer_t *transfer = memory;
    memset(transfer, 0, sizeof *transfer);
    transfer->header = *header;
    transfer->ends = *ends;
    transfer->at = header->first;
    transfer->line_at = NO_LINE;
    coder_reset(transfer->kind_contexts, sizeof transfer->kind_contexts / sizeof(coder_context_t));
    coder_reset(transfer->literal_contexts, sizeof transfer->literal_contexts / sizeof(coder_context_t));
    return transfer;
}

/* `count` bits of `value`, or those that are read, each in the context of those before it. */
static uint32_t code_tree(coder_t *coder, coder_context_t *contexts, uint32_t value, uint32_t count) {
    uint32_t node = 1;
    for (uint32_t bit = count; bit-- != 0;) {
        node = node << 1 | coder_bit(coder, contexts + node, value >> bit & 1u);
    }
    return node - (1u << count);
}

/* The kind of the next byte, in the context of the two before it. */
static uint32_t code_kind(spk_transfer_t *transfer, uint32_t kind) {
    return code_tree(&transfer->coder, transfer->kind_contexts + (transfer->kinds << KIND_BITS), kind, KIND_BITS);
}

static uint32_t base_byte(spk_transfer_t *transfer, uint32_t offset) {
    if (transfer->line_at != offset / LINE_BYTES) {
        uint32_t begin = offset / LINE_BYTES * LINE_BYTES;
        uint32_t left = transfer->header.base_bytes - begin;
        transfer->line_at = offset / LINE_BYTES;
        transfer->ends.read_base(transfer->ends.context, begin, transfer->line, left < LINE_BYTES ? left : LINE_BYTES);
    }
    return transfer->line[offset % LINE_BYTES];
}

/* One image byte: its kind, for a copy from elsewhere the new delta, for a literal the byte. Encoding, what is given must be
 * so; decoding, it is not looked at. Returns the byte, or -1 where there is no such kind, or no such byte in the base. */
static int32_t code_byte(spk_transfer_t *transfer, uint32_t kind, uint32_t delta, uint32_t byte) {
    uint32_t moves = kind == SPK_TRANSFER_COPY && delta != transfer->delta;
    kind = code_kind(transfer, moves ? SPK_TRANSFER_MOVE : kind);
    if (kind > SPK_TRANSFER_MOVE) {
        return -1;
    }
    if (kind == SPK_TRANSFER_MOVE) {
        transfer->delta = coder_bits(&transfer->coder, delta, 32);
        kind = SPK_TRANSFER_COPY;
    }
    transfer->kinds = (transfer->kinds << KIND_BITS | kind) & ((1u << 2 * KIND_BITS) - 1);
    if (kind != SPK_TRANSFER_COPY) {
        return (int32_t)code_tree(&transfer->coder, transfer->literal_contexts + 256 * kind, byte, 8);
    }
    uint32_t from = transfer->at + transfer->delta;
    return from < transfer->header.base_bytes ? (int32_t)base_byte(transfer, from) : -1;
}

/* Write what the chunk holds, behind the last multiple of its size. */
static int write_chunk(spk_transfer_t *transfer) {
    uint32_t begin = (transfer->at - 1) / CHUNK_BYTES * CHUNK_BYTES;
    begin = begin > transfer->header.first ? begin : transfer->header.first;
    return transfer->ends.write(transfer->ends.context, begin, transfer->chunk + begin % CHUNK_BYTES, transfer->at - begin);
}

/* Expand what `in` tells, but for its last bytes, which may not tell one whole. */
static int expand(spk_transfer_t *transfer, int is_last, uint32_t most) {
    uint32_t end = transfer->header.image_bytes;
    uint32_t until = end - transfer->at > most ? transfer->at + most : end;
    while (transfer->at < until && (is_last || transfer->held - transfer->coder.at >= HOLD_BYTES)) {
        int32_t byte = code_byte(transfer, 0, 0, 0);
        if (byte < 0) {
            return SPK_ERROR_TRANSFER;
        }
        transfer->chunk[transfer->at++ % CHUNK_BYTES] = (uint8_t)byte;
        if ((transfer->at % CHUNK_BYTES == 0 || transfer->at == end) && write_chunk(transfer) != 0) {
            return SPK_ERROR_FLASH;
        }
    }
    return transfer->at == until && until < end;
}

static int take(spk_transfer_t *transfer, const uint8_t *bytes, uint32_t count) {
    if (count > sizeof transfer->in - transfer->held || count > transfer->header.payload_bytes - transfer->taken) {
        return SPK_ERROR_TRANSFER;
    }
    memcpy(transfer->in + transfer->held, bytes, count);
    transfer->held += count;
    transfer->taken += count;
    transfer->crc = spk_crc32(transfer->crc, bytes, count);
    int is_last = transfer->taken == transfer->header.payload_bytes;
    return is_last && transfer->crc != transfer->header.payload_crc ? SPK_ERROR_TRANSFER : SPK_OK;
}

int spk_transfer_push(spk_transfer_t *transfer, const uint8_t *bytes, uint32_t count, uint32_t most) {
    int error = transfer->over ? SPK_ERROR_TRANSFER : take(transfer, bytes, count);
    int is_last = transfer->taken == transfer->header.payload_bytes;
    if (error == SPK_OK && (transfer->started || is_last || transfer->held >= HOLD_BYTES)) {
        if (!transfer->started) {
            coder_begin_decode(&transfer->coder, transfer->in, 0, transfer->held);
            transfer->started = 1;
        }
        transfer->coder.end = transfer->held;
        error = expand(transfer, is_last, most);
        transfer->held -= transfer->coder.at;
        memmove(transfer->in, transfer->in + transfer->coder.at, transfer->held);
        transfer->coder.at = 0;
    }
    transfer->over |= error < 0;
    return error;
}

uint32_t spk_transfer_written(const spk_transfer_t *transfer) {
    uint32_t at = transfer->at;
    uint32_t whole = at == transfer->header.image_bytes ? at : at / CHUNK_BYTES * CHUNK_BYTES;
    return whole > transfer->header.first ? whole : transfer->header.first;
}

uint32_t spk_transfer_taken(const spk_transfer_t *transfer) { return transfer->taken; }

int spk_transfer_is_done(const spk_transfer_t *transfer) {
    return !transfer->over && transfer->at == transfer->header.image_bytes &&
           transfer->taken == transfer->header.payload_bytes;
}

static void read_memory(void *context, uint32_t offset, uint8_t *bytes, uint32_t count) {
    memcpy(bytes, (const uint8_t *)context + offset, count);
}

int64_t spk_transfer_encode(const spk_transfer_header_t *header, const uint8_t *image, const uint8_t *base,
                            const uint8_t *kinds, const int32_t *deltas, void *memory, uint8_t *out, size_t room) {
    const union {
        const uint8_t *bytes;
        void *context;
    } from = {base};
    const spk_transfer_ends_t ends = {from.context, NULL, read_memory};
    spk_transfer_header_t made = *header;
    spk_transfer_t *transfer = spk_transfer_begin(memory, header, &ends);
    uint32_t end = room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
    if (end < SPK_TRANSFER_HEADER_BYTES) {
        return SPK_ERROR_BUFFER;
    }
    coder_begin_encode(&transfer->coder, out, SPK_TRANSFER_HEADER_BYTES, end);
    for (; transfer->at < header->image_bytes; transfer->at++) {
        uint32_t byte = image[transfer->at];
        if (kinds[transfer->at] > SPK_TRANSFER_COPY ||
            code_byte(transfer, kinds[transfer->at], (uint32_t)deltas[transfer->at], byte) != (int32_t)byte) {
            return SPK_ERROR_TRANSFER;
        }
    }
    coder_end_encode(&transfer->coder);
    made.payload_bytes = transfer->coder.at - SPK_TRANSFER_HEADER_BYTES;
    made.payload_crc = spk_crc32(0, out + SPK_TRANSFER_HEADER_BYTES, made.payload_bytes);
    write_header(&made, out);
    return transfer->coder.overflow ? SPK_ERROR_BUFFER : (int64_t)transfer->coder.at;
}
