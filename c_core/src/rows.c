/* untrusted row bytes -> verdict; rows of any codec -> synapses */
#include "rows.h"

#include "espike/half.h"

/* A varint of at most 31 bits. Returns 1, or 0 where the bytes end inside it or it is larger. */
static int read_varint(const uint8_t **at, const uint8_t *end, uint32_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end; shift += 7) {
        uint32_t byte = *(*at)++;
        if (shift == 28 && byte > 7) {
            return 0;
        }
        *value |= (byte & 127u) << shift;
        if (!(byte & 128u)) {
            return 1;
        }
    }
    return 0;
}

/* The code of a D8W4 gap at cursor->at, which moves to the next gap. Returns 16 where the row ends before it. */
static uint32_t read_pair_code(spk_cursor_t *cursor, const uint8_t *end) {
    const uint8_t *gap = cursor->at;
    if (end - gap < 2) {
        return 16;
    }
    cursor->is_odd ^= 1;
    if (!cursor->is_odd) {
        cursor->at += 2;
        return gap[1] >> 4;
    }
    uint32_t is_last = end - gap == 2;
    cursor->at += 1 + is_last;
    return gap[2 - is_last] & 15u;
}

/* Gaps of a byte or less, escapes included; sets the weight where a code comes with the gap. Returns 1 or 0 as above,
 * or where the gap leaves the targets. */
static int read_short(spk_cursor_t *cursor, const uint8_t *end, uint32_t *gap) {
    const uint32_t most = GAP_ESCAPE >> cursor->bits;
    while (cursor->at < end && *gap < cursor->target_count) {
        uint32_t byte = *cursor->at;
        uint32_t code = byte & ((1u << cursor->bits) - 1);
        if (cursor->kind == CODEC_D8W4) {
            code = read_pair_code(cursor, end);
            if (code > 15) {
                return 0;
            }
        } else {
            cursor->at++;
        }
        *gap += byte >> cursor->bits;
        if (byte >> cursor->bits != most) {
            if (cursor->book != NULL) {
                cursor->weight = (uint32_t)(int32_t)(int8_t)cursor->book[code];
            }
            return 1;
        }
        *gap += cursor->bits != 0 ? most * code : 0;
        cursor->escapes++;
    }
    return 0;
}

static int read_weight(spk_cursor_t *cursor) {
    const uint8_t *at = cursor->at;
    if ((size_t)(cursor->end - at) < cursor->weight_bytes) {
        return 0;
    }
    cursor->at += cursor->weight_bytes;
    if (cursor->is_half) {
        cursor->weight = spk_half_to_float_bits((uint16_t)spk_load16(at));
        return spk_weight_is_valid(cursor->weight);
    }
    if (cursor->weight_bytes < 4) {
        cursor->weight = cursor->weight_bytes == 1 ? (uint32_t)(int32_t)(int8_t)*at : (uint32_t)(int32_t)(int16_t)spk_load16(at);
        return 1;
    }
    cursor->weight = spk_load32(at);
    return spk_weight_is_valid(cursor->weight);
}

int spk_cursor_begin(spk_cursor_t *cursor, spk_row_t row, uint32_t kind, uint8_t precision, const uint8_t *book,
                     uint32_t target_count) {
    memset(cursor, 0, sizeof *cursor);
    cursor->at = row.begin;
    cursor->end = row.end;
    cursor->kind = kind;
    cursor->is_half = precision == SPK_PRECISION_FP16;
    cursor->weight_bytes = spk_weight_bytes(precision, kind);
    cursor->target_count = target_count;
    cursor->is_first = 1;
    int is_read = !CODEC_IS_UNIFORM(kind) || read_weight(cursor);
    if (CODEC_HAS_CODES(kind)) {
        cursor->book = book;
        cursor->bits = kind == CODEC_D8W4 ? 0 : CODEC_CODE_BITS(kind);
        is_read = read_varint(&cursor->at, row.end, &cursor->target) && cursor->target < target_count;
    } else if (kind == CODEC_TERNARY && is_read) {
        uint32_t bytes;
        is_read = read_varint(&cursor->at, row.end, &bytes) && bytes <= (size_t)(row.end - cursor->at);
        cursor->split = cursor->at + (is_read ? bytes : 0);
    } else if (CODEC_IS_SHARED(kind) && is_read) {
        is_read = row.end - cursor->at >= (ptrdiff_t)BODY_SPAN_BYTES;
        cursor->at += is_read ? BODY_SPAN_BYTES : 0;
    }
    return is_read ? SPK_OK : SPK_ERROR_ROW;
}

int spk_cursor_next(spk_cursor_t *cursor) {
    const uint32_t kind = cursor->kind;
    uint32_t gap = 0;
    int is_read = 1;
    if (cursor->at == cursor->end && !cursor->is_first) {
        return 0;
    }
    if (cursor->at == cursor->split) {
        cursor->split = NULL;
        cursor->target = 0;
        cursor->weight = 0u - cursor->weight;
        cursor->is_first = 1;
    }
    const uint8_t *end = cursor->split != NULL ? cursor->split : cursor->end;
    if (CODEC_IS_U16(kind) || (cursor->is_first && kind <= CODEC_D8_UNIFORM)) {
        is_read = end - cursor->at >= 2 && spk_load16(cursor->at) >= cursor->target;
        gap = is_read ? spk_load16(cursor->at) - cursor->target : 0;
        cursor->at += is_read ? 2 : 0;
    } else if (CODEC_IS_WIDE(kind) || (cursor->is_first && kind == CODEC_TERNARY)) {
        is_read = read_varint(&cursor->at, end, &gap);
    } else if (!cursor->is_first || !CODEC_IS_SHARED(kind)) {
        is_read = read_short(cursor, end, &gap);
    }
    if (!is_read || gap >= cursor->target_count - cursor->target) {
        return SPK_ERROR_ROW;
    }
    cursor->target += gap;
    cursor->is_first = 0;
    if (!CODEC_IS_UNIFORM(kind) && cursor->book == NULL && cursor->weight_bytes != 0 && !read_weight(cursor)) {
        return SPK_ERROR_ROW;
    }
    return 1;
}

int spk_row_check(spk_row_t row, uint32_t kind, uint8_t precision, const uint8_t *book, uint32_t target_count,
                  uint32_t *escapes) {
    spk_cursor_t cursor;
    int synapses = 0;
    if (row.begin == row.end) {
        return 0;
    }
    int found = spk_cursor_begin(&cursor, row, kind, precision, book, target_count);
    while (found == SPK_OK && (found = spk_cursor_next(&cursor)) > 0) {
        synapses++;
        found = SPK_OK;
    }
    *escapes += cursor.escapes;
    return found < 0 ? found : synapses;
}

uint32_t spk_dense_bits(const uint32_t *projection) {
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    return CODEC_IS_VECTORS(kind) ? 8u >> VECTORS_WIDTH_LOG2(projection[PROJECTION_BODIES]) : CODEC_CODE_BITS(kind);
}

uint32_t spk_dense_bytes(const uint32_t *projection, uint8_t precision) {
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    const uint32_t columns = projection[PROJECTION_COLUMNS];
    return kind == CODEC_DENSE ? columns * spk_weight_bytes(precision, kind)
                               : (columns * spk_dense_bits(projection) + 7) / 8;
}

/* The synapses of dense rows, from targets `first` on. */
static uint32_t each_dense(const spk_rows_t *rows, const spk_image_t *image, uint32_t row, spk_row_visit_t visit,
                           void *context) {
    const uint32_t columns = rows->projection[PROJECTION_COLUMNS];
    const uint32_t kind = CODEC_KIND(rows->projection[PROJECTION_CODEC]);
    const uint32_t bits = kind == CODEC_DENSE ? 8 : spk_dense_bits(rows->projection);
    const uint8_t *at = rows->data + (size_t)row * spk_dense_bytes(rows->projection, SPK_PRECISION_OF(image));
    uint32_t target = rows->projection[PROJECTION_COLUMN_FIRST];
    for (uint32_t i = 0; i < columns; i++, target++) {
        if (SPK_PRECISION_OF(image) != SPK_PRECISION_INT8) {
            visit(context, target, SPK_PRECISION_OF(image) == SPK_PRECISION_FP32
                                       ? spk_load32(at + 4 * (size_t)i)
                                       : spk_half_to_float_bits((uint16_t)spk_load16(at + 2 * (size_t)i)));
            continue;
        }
        const uint8_t *byte = at + (size_t)i * bits / 8;
        uint32_t shift = (uint32_t)((size_t)i * bits % 8);
        uint32_t code = *byte >> shift;
        code |= shift + bits > 8 ? (uint32_t)byte[1] << (8 - shift) : 0;
        code &= (1u << bits) - 1;
        code = CODEC_IS_VECTORS(kind) ? (8u * *byte + shift) >> (bits - 1) : code; /* bits: 2 or 1 */
        visit(context, target, (uint32_t)(int32_t)(int8_t)(kind == CODEC_DENSE ? code : rows->book[code]));
    }
    return columns;
}

static uint32_t each_procedural(const spk_rows_t *rows, uint32_t target_count, uint32_t row, spk_row_visit_t visit,
                                void *context) {
    const uint32_t fan_out = rows->projection[PROJECTION_FAN_OUT];
    uint32_t x = spk_procedural_begin(rows->projection[PROJECTION_SEED], rows->first + row);
    for (uint32_t i = 0; i < fan_out; i++) {
        x = spk_procedural_next(x);
        const int8_t level = (int8_t)rows->book[spk_procedural_level(x)];
        visit(context, spk_procedural_target(x, target_count), (uint32_t)(int32_t)level);
    }
    return fan_out;
}

uint32_t spk_row_each(const spk_image_t *image, const uint32_t *projection, uint32_t row, spk_row_visit_t visit,
                      void *context) {
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    const uint32_t target_count = spk_target_count(image, projection);
    uint32_t first = 0;
    uint32_t synapses = 0;
    spk_cursor_t cursor;
    spk_rows_t rows;
    spk_rows_open(&rows, image, projection);
    if (CODEC_IS_DENSE(kind)) {
        return each_dense(&rows, image, row, visit, context);
    }
    if (kind == CODEC_PROCEDURAL) {
        return each_procedural(&rows, target_count, row, visit, context);
    }
    if (CODEC_IS_SHARED(kind)) {
        uint32_t entry = spk_rows_entry(&rows, row);
        first = entry & 0xFFFFu;
        row = entry >> 16;
    }
    const spk_row_t found = spk_rows_find(&rows, row);
    if (found.begin == found.end) {
        return 0;
    }
    (void)spk_cursor_begin(&cursor, found, kind, SPK_PRECISION_OF(image), rows.book, target_count);
    for (; spk_cursor_next(&cursor) > 0; synapses++) {
        visit(context, first + cursor.target, cursor.weight);
    }
    return synapses;
}
