/* image bytes -> image view */
#include "espike/image.h"

#include "espike/half.h"
#include "espike/link.h"
#include "layout.h"
#include "rows.h"

static int refuse(spk_image_t *image, int error, uint32_t offset) {
    image->error_offset = offset;
    return error;
}

/* A word of the header, or any other that is aligned. */
static uint32_t header_word(const spk_image_t *image, uint32_t offset) { return *spk_image_words(image, offset); }

static uint32_t blocks_offset(const spk_image_t *image) { return header_word(image, HEADER_BLOCKS_OFFSET); }

/* Do `count` items of `size` bytes at `offset` lie between the header and the block CRCs, aligned to `align`? */
static int inside(const spk_image_t *image, uint32_t offset, uint32_t count, uint32_t size, uint32_t align) {
    uint32_t end = blocks_offset(image);
    return offset >= SPK_IMAGE_HEADER_BYTES && offset <= end && offset % align == 0 && count <= (end - offset) / size;
}

static int check_header(spk_image_t *image, size_t size) {
    const uint8_t *bytes = image->bytes;
    if (size < SPK_IMAGE_HEADER_BYTES) {
        return refuse(image, SPK_ERROR_TRUNCATED, (uint32_t)size);
    }
    if (memcmp(bytes, "ESPK", 4) != 0) {
        return refuse(image, SPK_ERROR_MAGIC, HEADER_MAGIC);
    }
    if (header_word(image, HEADER_VERSION) != SPK_IMAGE_VERSION) {
        return refuse(image, SPK_ERROR_VERSION, HEADER_VERSION);
    }
    image->total_bytes = header_word(image, HEADER_TOTAL_BYTES);
    if (image->total_bytes > size) {
        return refuse(image, SPK_ERROR_TRUNCATED, (uint32_t)size);
    }
    uint32_t blocks = blocks_offset(image);
    if (blocks < SPK_IMAGE_HEADER_BYTES || blocks % 4 != 0 || blocks > image->total_bytes ||
        (image->total_bytes - blocks) / 4 !=
            (blocks - SPK_IMAGE_HEADER_BYTES + SPK_IMAGE_BLOCK_BYTES - 1) / SPK_IMAGE_BLOCK_BYTES ||
        image->total_bytes % 4 != 0) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_BLOCKS_OFFSET);
    }
    uint32_t crc = spk_crc32(0, bytes, HEADER_CRC);
    crc = spk_crc32(crc, bytes + HEADER_PRECISION, SPK_IMAGE_HEADER_BYTES - HEADER_PRECISION);
    crc = spk_crc32(crc, bytes + blocks, image->total_bytes - blocks);
    return crc == header_word(image, HEADER_CRC) ? SPK_OK : refuse(image, SPK_ERROR_CRC, HEADER_CRC);
}

static int check_blocks(spk_image_t *image) {
    uint32_t end = blocks_offset(image);
    uint32_t stored = end;
    for (uint32_t begin = SPK_IMAGE_HEADER_BYTES; begin < end; begin += SPK_IMAGE_BLOCK_BYTES) {
        uint32_t count = end - begin < SPK_IMAGE_BLOCK_BYTES ? end - begin : SPK_IMAGE_BLOCK_BYTES;
        if (spk_crc32(0, image->bytes + begin, count) != header_word(image, stored)) {
            return refuse(image, SPK_ERROR_CRC, begin);
        }
        stored += 4;
    }
    return SPK_OK;
}

#define SENSES_MAGIC 0x534E4553u /* "SENS" */
#define TEST_MAGIC 0x54534554u   /* "TEST" */

/* A record of at least `head` bytes where *at says and its magic says that there is one: its second word counts its
 * bytes, less `apart`. Moves *at behind it, to 0 where it leaves the image. */
static const uint8_t *find_record(const spk_image_t *image, uint32_t *at, uint32_t magic, uint32_t head,
                                  uint32_t apart) {
    const uint32_t begin = *at;
    if (!inside(image, begin, head, 1, 4) || header_word(image, begin) != magic) {
        return NULL;
    }
    uint32_t bytes = header_word(image, begin + 4) + apart;
    *at = bytes >= head && inside(image, begin, bytes, 1, 4) ? begin + bytes : 0;
    return image->bytes + begin;
}

/* Behind the meta may lie the senses, which spk_senses_init looks at, and the self-test. */
static int find_records(spk_image_t *image) {
    uint32_t at = (image->meta_offset + image->meta_bytes + 3) & ~3u;
    image->senses = find_record(image, &at, SENSES_MAGIC, SPK_IMAGE_SENSES_BYTES, 0);
    const uint32_t begin = at;
    image->test = at == 0 ? NULL : find_record(image, &at, TEST_MAGIC, SPK_IMAGE_TEST_BYTES, SPK_IMAGE_TEST_BYTES);
    image->test_bytes = at - begin;
    if (at == 0 || (image->test != NULL && header_word(image, begin + 8) > SPK_IMAGE_TEST_BURSTS_MOST)) {
        return refuse(image, SPK_ERROR_LAYOUT, begin != 0 ? begin : image->meta_offset + image->meta_bytes);
    }
    return SPK_OK;
}

static int read_header(spk_image_t *image) {
    image->precision = image->bytes[HEADER_PRECISION];
    image->candidates_only = image->bytes[HEADER_UPDATE];
    image->history = (uint16_t)spk_load16(image->bytes + HEADER_HISTORY);
    image->neuron_count = header_word(image, HEADER_NEURONS);
    image->synapse_count = header_word(image, HEADER_SYNAPSES);
    image->area_count = header_word(image, HEADER_AREAS);
    image->projection_count = header_word(image, HEADER_PROJECTIONS);
    image->power_count = header_word(image, HEADER_POWERED);
    image->meta_offset = header_word(image, HEADER_META_OFFSET);
    image->meta_bytes = header_word(image, HEADER_META_BYTES);
    image->timestep_us = header_word(image, HEADER_TIMESTEP_US);
    uint32_t areas = header_word(image, HEADER_AREAS_OFFSET);
    uint32_t projections = header_word(image, HEADER_PROJECTIONS_OFFSET);
    uint32_t power = header_word(image, HEADER_POWER_OFFSET);
    if (image->precision < SPK_PRECISION_INT8 || image->precision > SPK_PRECISION_LAST ||
        image->candidates_only > 1 || image->history > HISTORY_MOST) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_PRECISION);
    }
    if (image->neuron_count > SPK_NEURONS_MOST || image->area_count > 0xFFFFu ||
        spk_words_for(image->neuron_count) > FRAME_WORDS_MOST / (image->history + 1u)) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_NEURONS);
    }
    if (!inside(image, areas, image->area_count, AREA_WORDS * 4, 4) ||
        !inside(image, projections, image->projection_count, PROJECTION_WORDS * 4, 4) ||
        !inside(image, power, image->power_count, 8, 4) || !inside(image, image->meta_offset, image->meta_bytes, 1, 1)) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_AREAS_OFFSET);
    }
    image->areas = (const uint32_t *)(const void *)(image->bytes + areas);
    image->projections = (const uint32_t *)(const void *)(image->bytes + projections);
    image->power = (const uint32_t *)(const void *)(image->bytes + power);
    return SPK_OK;
}

static uint32_t offset_of(const spk_image_t *image, const uint32_t *word) {
    return (uint32_t)((const uint8_t *)word - image->bytes);
}

static int finite_bits(uint32_t bits) { return (bits & 0x7F800000u) != 0x7F800000u; }

/* Range of one neuron parameter, as docs/image.md lists it. */
static int parameter_is_valid(uint8_t precision, unsigned parameter, uint32_t value) {
    if (parameter >= AREA_REFRACTORY && parameter <= AREA_SNOOZE) {
        return value <= 0xFFFFu;
    }
    if (parameter == AREA_FIRE_DRAW) {
        return 1;
    }
    if (precision != SPK_PRECISION_INT8) {
        if (parameter == AREA_RETAINED) {
            return value <= 0x3F800000u; /* 0..1 */
        }
        return finite_bits(value) || (parameter == AREA_LIMIT && value == 0x7F800000u);
    }
    if (parameter == AREA_RETAINED) {
        return value <= 32768u;
    }
    return value <= 0x7FFFu || value >= 0xFFFF8000u;
}

/* Bytes of a parameter in a column. */
static uint32_t parameter_bytes(uint8_t precision, unsigned parameter) {
    int wide = parameter <= AREA_LIMIT ? precision == SPK_PRECISION_FP32
                                       : parameter == AREA_RETAINED && precision != SPK_PRECISION_INT8;
    return wide || parameter == AREA_FIRE_DRAW ? 4 : 2;
}

/* Value of a parameter of the area's neuron `index` (docs/image.md, parameters): potentials sign-extended, or as the bits
 * of a binary32, which a word that is no binary16 turns into infinity. */
static uint32_t parameter_value(const spk_image_t *image, const uint32_t *area, unsigned parameter, uint32_t index) {
    const uint8_t *column = image->bytes + area[parameter];
    uint32_t value = area[parameter];
    if (area[AREA_COLUMNS] & AREA_COLUMN(parameter)) {
        if (parameter_bytes(SPK_PRECISION_OF(image), parameter) == 4) {
            return spk_load32(column + 4 * (size_t)index);
        }
        value = spk_load16(column + 2 * (size_t)index);
        if (parameter <= AREA_LIMIT && SPK_PRECISION_OF(image) == SPK_PRECISION_INT8) {
            return (uint32_t)(int32_t)(int16_t)value;
        }
    }
    if (parameter <= AREA_LIMIT && SPK_PRECISION_OF(image) == SPK_PRECISION_FP16) {
        return spk_half_to_float_bits((uint16_t)(value > 0xFFFFu ? 0xFC00u : value));
    }
    return value;
}

static int check_parameters(spk_image_t *image, const uint32_t *area) {
    uint32_t longest = 0;
    uint32_t highest = 0;
    for (unsigned parameter = AREA_THRESHOLD; parameter <= AREA_FIRE_DRAW; parameter++) {
        if ((area[AREA_COLUMNS] & AREA_COLUMN(parameter)) &&
            !inside(image, area[parameter], area[AREA_NEURONS], parameter_bytes(SPK_PRECISION_OF(image), parameter), 4)) {
            return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, area + parameter));
        }
        uint32_t values = area[AREA_COLUMNS] & AREA_COLUMN(parameter) ? area[AREA_NEURONS] : 1;
        for (uint32_t i = 0; i < values; i++) {
            if (!parameter_is_valid(SPK_PRECISION_OF(image), parameter, parameter_value(image, area, parameter, i))) {
                return refuse(image, SPK_ERROR_PARAMETER, offset_of(image, area + parameter));
            }
        }
    }
    uint32_t per_neuron = AREA_COLUMN(AREA_REFRACTORY) | AREA_COLUMN(AREA_SNOOZE) | AREA_COLUMN(AREA_FIRE_LIMIT);
    uint32_t values = area[AREA_COLUMNS] & per_neuron ? area[AREA_NEURONS] : 1;
    for (uint32_t i = 0; i < values; i++) {
        uint32_t limit = parameter_value(image, area, AREA_FIRE_LIMIT, i);
        uint32_t pause = parameter_value(image, area, AREA_REFRACTORY, i);
        pause += limit != 0 ? parameter_value(image, area, AREA_SNOOZE, i) : 0;
        longest = pause > longest ? pause : longest;
        highest = limit > highest ? limit : highest;
    }
    uint32_t flags = area[AREA_FLAGS];
    if (longest >> (8 * AREA_COUNTDOWN_BYTES(flags)) != 0 || highest >> (8 * AREA_COUNT_BYTES(flags)) != 0) {
        return refuse(image, SPK_ERROR_PARAMETER, offset_of(image, area + AREA_FLAGS));
    }
    return SPK_OK;
}

static int check_area(spk_image_t *image, const uint32_t *area, uint32_t projection_first) {
    uint32_t flags = area[AREA_FLAGS];
    uint32_t limit = area[AREA_STIMULUS_LIMIT];
    int is_float = SPK_PRECISION_OF(image) != SPK_PRECISION_INT8;
    if ((flags & ~AREA_FLAGS_KNOWN) != 0 || AREA_GUARD_BITS(flags) > 4 || AREA_COUNTDOWN_BYTES(flags) > 2 ||
        AREA_COUNT_BYTES(flags) > 2 || (is_float && (flags & (AREA_WIDE_INPUT | 0x700u)) != 0) ||
        area[AREA_COLUMNS] >= AREA_COLUMN(AREA_STIMULUS_LIMIT) ||
        (is_float && area[AREA_PSP_FACTOR] > 1) || area[AREA_RESERVED] != 0 ||
        (area[AREA_MODEL] != 0 && !inside(image, area[AREA_MODEL], MODEL_WORDS, 4, 4))) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, area + AREA_FLAGS));
    }
    if (area[AREA_PROJECTION_FIRST] != projection_first ||
        area[AREA_PROJECTION_COUNT] > image->projection_count - projection_first) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, area + AREA_PROJECTION_FIRST));
    }
    if (is_float ? limit >= 0x7F800000u : limit > 0x3FFFFFFFu) {
        return refuse(image, SPK_ERROR_PARAMETER, offset_of(image, area + AREA_STIMULUS_LIMIT));
    }
    return check_parameters(image, area);
}

static int check_areas(spk_image_t *image) {
    uint32_t neurons = 0;
    uint32_t projections = 0;
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        if (area[AREA_NEURONS] == 0 || area[AREA_NEURONS] > image->neuron_count - neurons) {
            return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, area));
        }
        int error = check_area(image, area, projections);
        if (error != SPK_OK) {
            return error;
        }
        for (uint32_t p = 0; p < area[AREA_PROJECTION_COUNT]; p++) {
            const uint32_t *projection = image->projections + (projections + p) * PROJECTION_WORDS;
            if ((projection[PROJECTION_ENDS] & 0xFFFFu) != a) {
                return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection));
            }
        }
        image->is_driven |= area[AREA_PSP_FACTOR] != 0;
        image->has_models |= area[AREA_MODEL] != 0;
        neurons += area[AREA_NEURONS];
        projections += area[AREA_PROJECTION_COUNT];
    }
    if (neurons != image->neuron_count || projections != image->projection_count) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_NEURONS);
    }
    return SPK_OK;
}

/* The synapses of a row or body; -1 for a body that does not end at its span or has other synapses than it says. */
static int check_row(const spk_image_t *image, spk_row_t row, const spk_rows_t *rows, uint32_t targets,
                     uint32_t *escapes) {
    uint32_t kind = CODEC_KIND(rows->projection[PROJECTION_CODEC]);
    uint32_t synapses = 0;
    if (CODEC_IS_SHARED(kind) && row.begin != row.end) {
        uint32_t head = spk_body_weight_bytes(SPK_PRECISION_OF(image), kind) + BODY_SPAN_BYTES;
        if ((size_t)(row.end - row.begin) < head) {
            return SPK_ERROR_ROW;
        }
        targets = spk_body_span(row, SPK_PRECISION_OF(image), kind) + 1;
        synapses = spk_body_synapses(row, SPK_PRECISION_OF(image), kind);
    }
    int found = spk_row_check(row, kind, SPK_PRECISION_OF(image), rows->book, targets, escapes);
    return synapses == 0 || found == (int)synapses ? found : SPK_ERROR_ROW;
}

/* Shared rows: a checked body lies behind each first target. Adds up their synapses. */
static int check_entries(spk_image_t *image, const spk_rows_t *rows, uint32_t targets, uint64_t *synapses) {
    const uint32_t *projection = rows->projection;
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    *synapses = 0;
    for (uint32_t row = 0; row < projection[PROJECTION_ROWS]; row++) {
        uint32_t entry = spk_rows_entry(rows, row);
        uint32_t span = entry & 0xFFFFu;
        if (entry >> 16 < projection[PROJECTION_BODIES]) {
            spk_row_t body = spk_rows_find(rows, entry >> 16);
            if (body.begin != body.end) {
                span += spk_body_span(body, SPK_PRECISION_OF(image), kind);
                *synapses += spk_body_synapses(body, SPK_PRECISION_OF(image), kind);
            }
        } else {
            span = targets;
        }
        if (span >= targets) {
            return refuse(image, SPK_ERROR_ROW, projection[PROJECTION_ENTRIES] + 4 * row);
        }
    }
    return SPK_OK;
}

/* Rows, or bodies, that an index finds. */
static int check_rows(spk_image_t *image, const uint32_t *projection, uint32_t count) {
    const uint32_t targets = spk_target_count(image, projection);
    uint32_t codec = projection[PROJECTION_CODEC];
    uint32_t begin = 0;
    uint64_t synapses = 0;
    uint32_t escapes = 0;
    int found = SPK_OK;
    spk_rows_t rows;
    spk_rows_open(&rows, image, projection);
    for (uint32_t row = 0; row <= count; row++) {
        uint32_t end = spk_row_offset(rows.bases, rows.offsets, rows.block_log2, row);
        if (end < begin || end > projection[PROJECTION_DATA_BYTES]) {
            return refuse(image, SPK_ERROR_ROW, projection[PROJECTION_OFFSETS] + 2 * row);
        }
        spk_row_t bytes = {rows.data + begin, rows.data + end};
        found = row == 0 ? (end == 0 ? 0 : SPK_ERROR_ROW) : check_row(image, bytes, &rows, targets, &escapes);
        if (found < 0) {
            return refuse(image, found, projection[PROJECTION_DATA] + begin);
        }
        synapses += (uint32_t)found;
        begin = end;
    }
    found = CODEC_IS_SHARED(CODEC_KIND(codec)) ? check_entries(image, &rows, targets, &synapses) : SPK_OK;
    if (found == SPK_OK && (begin != projection[PROJECTION_DATA_BYTES] || synapses != projection[PROJECTION_SYNAPSES] ||
                            (escapes != 0) != CODEC_ESCAPES(codec))) {
        return refuse(image, SPK_ERROR_ROW, offset_of(image, projection + PROJECTION_CODEC));
    }
    return found;
}

/* Rows found by multiplication, or drawn: every code is a weight, so that only floats and indices are looked at. */
static int check_unindexed(spk_image_t *image, const uint32_t *projection) {
    const uint32_t columns = projection[PROJECTION_COLUMNS];
    const uint32_t first = projection[PROJECTION_COLUMN_FIRST];
    const uint32_t kind = CODEC_KIND(projection[PROJECTION_CODEC]);
    const uint32_t targets = spk_target_count(image, projection);
    uint32_t row_bytes = 0;
    int fits = columns <= PROCEDURAL_FAN_OUT_MOST;
    if (kind != CODEC_PROCEDURAL) {
        row_bytes = spk_dense_bytes(projection, SPK_PRECISION_OF(image));
        fits = first <= targets && columns <= targets - first;
    }
    if (!fits || (uint64_t)projection[PROJECTION_ROWS] * columns != projection[PROJECTION_SYNAPSES] ||
        (uint64_t)projection[PROJECTION_ROWS] * row_bytes != projection[PROJECTION_DATA_BYTES]) {
        return refuse(image, SPK_ERROR_ROW, offset_of(image, projection + PROJECTION_CODEC));
    }
    uint32_t indices = CODEC_IS_VECTORS(kind) ? projection[PROJECTION_DATA_BYTES] : 0;
    for (uint32_t offset = projection[PROJECTION_DATA]; indices != 0; indices--, offset++) {
        if (image->bytes[offset] > VECTORS_LAST(projection[PROJECTION_BODIES])) {
            return refuse(image, SPK_ERROR_ROW, offset);
        }
    }
    uint32_t floats = SPK_PRECISION_OF(image) != SPK_PRECISION_INT8 ? projection[PROJECTION_SYNAPSES] : 0;
    uint32_t width = spk_weight_bytes(SPK_PRECISION_OF(image), kind);
    for (uint32_t offset = projection[PROJECTION_DATA]; floats != 0; floats--, offset += width) {
        const uint8_t *at = image->bytes + offset;
        if (!spk_weight_is_valid(width == 4 ? spk_load32(at) : spk_half_to_float_bits((uint16_t)spk_load16(at)))) {
            return refuse(image, SPK_ERROR_ROW, offset);
        }
    }
    return SPK_OK;
}

/* What a projection's offsets lead to: index, data, codebook or entries. */
static int check_pieces(spk_image_t *image, const uint32_t *projection, uint32_t count) {
    const uint32_t codec = projection[PROJECTION_CODEC];
    const uint32_t kind = CODEC_KIND(codec);
    const uint32_t book = projection[PROJECTION_BOOK];
    const uint32_t bodies = projection[PROJECTION_BODIES];
    int fits = inside(image, projection[PROJECTION_DATA], projection[PROJECTION_DATA_BYTES], 1, 1);
    if (CODEC_HAS_INDEX(kind)) {
        fits &= inside(image, projection[PROJECTION_BASES], (count >> CODEC_BLOCK_LOG2(codec)) + 1, 4, 4) &
                inside(image, projection[PROJECTION_OFFSETS], count + 1, 2, 2);
    } else {
        fits &= codec >> 16 == 0;
    }
    if (CODEC_IS_SHARED(kind)) {
        fits &= (count <= 0x10000u) & inside(image, book, projection[PROJECTION_ROWS], 4, 4);
    } else if (CODEC_HAS_CODES(kind) || kind == CODEC_PROCEDURAL || CODEC_IS_VECTORS(kind)) {
        uint32_t bits = kind == CODEC_PROCEDURAL ? PROCEDURAL_LEVELS_LOG2 : CODEC_CODE_BITS(kind);
        uint32_t vectors = 1;
        uint32_t known = 0;
        if (CODEC_IS_VECTORS(kind)) {
            bits = VECTORS_WIDTH_LOG2(bodies);
            vectors = VECTORS_LAST(bodies) + 1;
            known = VECTORS_KNOWN;
        }
        fits &= inside(image, book, vectors << bits, 1, 1) & (bodies <= known);
    } else if (kind == CODEC_PLASTIC) { /* check_learning looks at its record */
        fits &= bodies == 0;
    } else {
        fits &= (book | bodies) == 0;
    }
    return fits ? SPK_OK : refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_BASES));
}

/* A delay that the source's frames reach back to, or 0 to a later area; driven weights where the source keeps what drives
 * them, in rows that an engine goes through synapse by synapse. */
static int timing_is_valid(const spk_image_t *image, const uint32_t *projection) {
    const uint32_t source = projection[PROJECTION_ENDS] & 0xFFFFu;
    const uint32_t *area = image->areas + source * AREA_WORDS;
    const uint32_t codec = projection[PROJECTION_CODEC];
    const uint32_t delay = projection[PROJECTION_DELAY];
    int is_in_time = delay == 0 ? projection[PROJECTION_ENDS] >> 16 > source : delay == 1 || delay <= image->history;
    int is_driven = CODEC_DRIVEN(codec);
    return is_in_time && (!is_driven || (area[AREA_PSP_FACTOR] != 0 && delay <= 1 &&
                                         (CODEC_KIND(codec) < CODEC_DENSE || CODEC_KIND(codec) == CODEC_PLASTIC)));
}

static int check_projection(spk_image_t *image, const uint32_t *projection) {
    uint32_t codec = projection[PROJECTION_CODEC];
    uint32_t kind = CODEC_KIND(codec);
    uint32_t source = projection[PROJECTION_ENDS] & 0xFFFFu;
    uint32_t rows = projection[PROJECTION_ROWS];
    int is_int8 = SPK_PRECISION_OF(image) == SPK_PRECISION_INT8;
    if (projection[PROJECTION_ENDS] >> 16 >= image->area_count || kind >= CODEC_COUNT ||
        CODEC_SHIFT(codec) > (is_int8 ? 7u : 0) || CODEC_BLOCK_LOG2(codec) > 5 || codec >> 26 != 0 ||
        (!is_int8 && kind > CODEC_DENSE && !CODEC_IS_SHARED(kind) && kind != CODEC_PLASTIC) ||
        !timing_is_valid(image, projection)) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_CODEC));
    }
    uint32_t sources = image->areas[source * AREA_WORDS + AREA_NEURONS];
    uint32_t first = projection[PROJECTION_SOURCE_FIRST];
    if (first > sources || rows > sources - first) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_SOURCE_FIRST));
    }
    uint32_t count = CODEC_IS_SHARED(kind) ? projection[PROJECTION_BODIES] : rows;
    int error = check_pieces(image, projection, count);
    if (error != SPK_OK) {
        return error;
    }
    return CODEC_HAS_INDEX(kind) ? check_rows(image, projection, count) : check_unindexed(image, projection);
}

static int check_power(spk_image_t *image) {
    for (uint32_t i = 0; i < image->power_count; i++) {
        const uint32_t *entry = image->power + 2 * i;
        int is_float = SPK_PRECISION_OF(image) != SPK_PRECISION_INT8;
        int ascending = i == 0 || entry[0] > entry[-2];
        if (!ascending || entry[0] >= image->neuron_count ||
            (is_float && (!finite_bits(entry[1]) || entry[1] == 0x80000000u))) {
            return refuse(image, SPK_ERROR_PARAMETER, offset_of(image, entry));
        }
    }
    return SPK_OK;
}

static int check_projections(spk_image_t *image) {
    uint32_t synapses = 0;
    for (uint32_t p = 0; p < image->projection_count; p++) {
        const uint32_t *projection = image->projections + p * PROJECTION_WORDS;
        int error = check_projection(image, projection);
        if (error != SPK_OK) {
            return error;
        }
        synapses += projection[PROJECTION_SYNAPSES];
        uint32_t delay = projection[PROJECTION_DELAY];
        image->delay_most = (uint16_t)(delay > image->delay_most ? delay : image->delay_most);
        image->has_delay_zero |= delay == 0;
    }
    return synapses == image->synapse_count ? SPK_OK : refuse(image, SPK_ERROR_LAYOUT, HEADER_SYNAPSES);
}

/* Plastic projections have learning records, which spk_engine_init looks at; their weights are numbered in image order. */
static int check_learning(spk_image_t *image) {
    uint32_t offset = header_word(image, HEADER_LEARNING_OFFSET);
    uint32_t left = LEARNED_MOST;
    for (uint32_t p = 0; p < image->projection_count; p++) {
        const uint32_t *projection = image->projections + p * PROJECTION_WORDS;
        if (CODEC_KIND(projection[PROJECTION_CODEC]) != CODEC_PLASTIC) {
            continue;
        }
        if (projection[PROJECTION_BOOK] != image->learning_count++ || projection[PROJECTION_SYNAPSES] > left) {
            return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_BOOK));
        }
        left -= projection[PROJECTION_SYNAPSES];
    }
    if (image->learning_count == 0 ? offset != 0
                                   : !inside(image, offset, image->learning_count, LEARNING_WORDS * 4, 4)) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_LEARNING_OFFSET);
    }
    image->learning = spk_image_words(image, offset);
    return SPK_OK;
}

int spk_image_open(spk_image_t *image, const uint8_t *bytes, size_t size) {
    SPK_ASSERT(((uintptr_t)bytes & 3u) == 0);
    memset(image, 0, sizeof *image);
    image->bytes = bytes;
    static int (*const checks[])(spk_image_t *) = {check_blocks, read_header, find_records, check_areas, check_projections,
                                                   check_power,  check_learning};
    int error = check_header(image, size);
    for (unsigned i = 0; error == SPK_OK && i < sizeof checks / sizeof checks[0]; i++) {
        error = checks[i](image);
    }
    return error;
}

const uint8_t *spk_image_network_hash(const spk_image_t *image) { return image->bytes + HEADER_NETWORK_HASH; }
