/* untrusted row bytes -> verdict */
#include "rows.h"

/* A gap of an untrusted row. Returns 1, or 0 where the bytes end inside it or it passes 2^31. */
static int read_gap(const uint8_t **at, const uint8_t *end, int wide, uint32_t *gap, uint32_t *escapes) {
    uint32_t value = 0;
    for (unsigned shift = 0; *at < end; shift += 7) {
        uint32_t byte = *(*at)++;
        if (wide) {
            if (shift > 28 || (shift == 28 && byte > 7)) {
                return 0;
            }
            value |= (byte & 127u) << shift;
        } else {
            value += byte;
            if (value > 0x7FFFFFFFu) {
                return 0;
            }
        }
        if (wide ? !(byte & 128u) : byte != GAP_ESCAPE) {
            *gap = value;
            return 1;
        }
        *escapes += !wide;
        shift = wide ? shift : 0;
    }
    return 0;
}

static int weight_is_valid(const uint8_t *at, uint8_t precision) {
    if (precision != SPK_PRECISION_FP32) {
        return 1;
    }
    uint32_t bits = spk_load32(at);
    return (bits & 0x7F800000u) != 0x7F800000u && bits != 0x80000000u;
}

int spk_row_check(spk_row_t row, uint32_t codec, uint8_t precision, uint32_t target_count, uint32_t *escapes) {
    const uint8_t *at = row.begin;
    uint32_t weight_bytes = spk_weight_bytes(precision, codec);
    uint32_t target = 0;
    int synapses = 0;
    if (at == row.end) {
        return 0;
    }
    if (CODEC_IS_UNIFORM(codec)) {
        if ((size_t)(row.end - at) <= weight_bytes || !weight_is_valid(at, precision)) {
            return SPK_ERROR_ROW;
        }
        at += weight_bytes;
    }
    do {
        uint32_t gap = 0;
        if (CODEC_IS_U16(codec) || (synapses == 0 && !CODEC_IS_WIDE(codec))) {
            if (row.end - at < 2 || spk_load16(at) < target) {
                return SPK_ERROR_ROW;
            }
            gap = spk_load16(at) - target;
            at += 2;
        } else if (!read_gap(&at, row.end, CODEC_IS_WIDE(codec) != 0, &gap, escapes)) {
            return SPK_ERROR_ROW;
        }
        if (gap >= target_count - target) {
            return SPK_ERROR_ROW;
        }
        target += gap;
        if (!CODEC_IS_UNIFORM(codec)) {
            if ((size_t)(row.end - at) < weight_bytes || !weight_is_valid(at, precision)) {
                return SPK_ERROR_ROW;
            }
            at += weight_bytes;
        }
        synapses++;
    } while (at < row.end);
    return synapses;
}
