/* image bytes -> image view */
#include "espike/image.h"

#include "espike/link.h"
#include "layout.h"
#include "rows.h"

static int refuse(spk_image_t *image, int error, uint32_t offset) {
    image->error_offset = offset;
    return error;
}

static uint32_t header_word(const spk_image_t *image, uint32_t offset) { return spk_load32(image->bytes + offset); }

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

static int read_header(spk_image_t *image) {
    image->precision = image->bytes[HEADER_PRECISION];
    image->candidates_only = image->bytes[HEADER_UPDATE];
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
    if ((image->precision != SPK_PRECISION_INT8 && image->precision != SPK_PRECISION_FP32) ||
        image->candidates_only > 1 || spk_load16(image->bytes + HEADER_RESERVED) != 0) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_PRECISION);
    }
    if (image->neuron_count > SPK_NEURONS_MOST || image->area_count > 0xFFFFu ||
        header_word(image, HEADER_RESERVED_2) != 0) {
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
    if (precision == SPK_PRECISION_FP32) {
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

/* Value of a parameter of the area's neuron `index` (docs/image.md, parameters), potentials sign-extended. */
static uint32_t parameter_value(const spk_image_t *image, const uint32_t *area, unsigned parameter, uint32_t index) {
    if (!(area[AREA_COLUMNS] & AREA_COLUMN(parameter))) {
        return area[parameter];
    }
    const uint8_t *column = image->bytes + area[parameter];
    int wide = parameter == AREA_FIRE_DRAW || (parameter <= AREA_RETAINED && image->precision == SPK_PRECISION_FP32);
    if (wide) {
        return spk_load32(column + 4 * (size_t)index);
    }
    uint32_t value = spk_load16(column + 2 * (size_t)index);
    return parameter <= AREA_LIMIT ? (uint32_t)(int32_t)(int16_t)value : value;
}

static int check_parameters(spk_image_t *image, const uint32_t *area) {
    uint32_t longest = 0;
    uint32_t highest = 0;
    for (unsigned parameter = AREA_THRESHOLD; parameter <= AREA_FIRE_DRAW; parameter++) {
        int wide = parameter == AREA_FIRE_DRAW || (parameter <= AREA_RETAINED && image->precision == SPK_PRECISION_FP32);
        if ((area[AREA_COLUMNS] & AREA_COLUMN(parameter)) &&
            !inside(image, area[parameter], area[AREA_NEURONS], wide ? 4 : 2, 4)) {
            return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, area + parameter));
        }
        uint32_t values = area[AREA_COLUMNS] & AREA_COLUMN(parameter) ? area[AREA_NEURONS] : 1;
        for (uint32_t i = 0; i < values; i++) {
            if (!parameter_is_valid(image->precision, parameter, parameter_value(image, area, parameter, i))) {
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
    int is_float = image->precision == SPK_PRECISION_FP32;
    if ((flags & ~AREA_FLAGS_KNOWN) != 0 || AREA_GUARD_BITS(flags) > 4 || AREA_COUNTDOWN_BYTES(flags) > 2 ||
        AREA_COUNT_BYTES(flags) > 2 || (is_float && (flags & (AREA_WIDE_INPUT | 0x700u)) != 0) ||
        area[AREA_COLUMNS] >= AREA_COLUMN(AREA_STIMULUS_LIMIT) ||
        (area[AREA_RESERVED] | area[AREA_RESERVED_2] | area[AREA_RESERVED_3]) != 0) {
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
        neurons += area[AREA_NEURONS];
        projections += area[AREA_PROJECTION_COUNT];
    }
    if (neurons != image->neuron_count || projections != image->projection_count) {
        return refuse(image, SPK_ERROR_LAYOUT, HEADER_NEURONS);
    }
    return SPK_OK;
}

static int check_rows(spk_image_t *image, const uint32_t *projection) {
    const uint32_t *bases = (const uint32_t *)(const void *)(image->bytes + projection[PROJECTION_BASES]);
    const uint16_t *offsets = (const uint16_t *)(const void *)(image->bytes + projection[PROJECTION_OFFSETS]);
    const uint8_t *data = image->bytes + projection[PROJECTION_DATA];
    uint32_t codec = projection[PROJECTION_CODEC];
    uint32_t targets = image->areas[(projection[PROJECTION_ENDS] >> 16) * AREA_WORDS + AREA_NEURONS];
    uint32_t begin = 0;
    uint32_t synapses = 0;
    uint32_t escapes = 0;
    for (uint32_t row = 0; row <= projection[PROJECTION_ROWS]; row++) {
        uint32_t end = spk_row_offset(bases, offsets, CODEC_BLOCK_LOG2(codec), row);
        if (end < begin || end > projection[PROJECTION_DATA_BYTES]) {
            return refuse(image, SPK_ERROR_ROW, projection[PROJECTION_OFFSETS] + 2 * row);
        }
        spk_row_t bytes = {data + begin, data + end};
        int found = row == 0 ? (end == 0 ? 0 : SPK_ERROR_ROW)
                             : spk_row_check(bytes, CODEC_KIND(codec), image->precision, targets, &escapes);
        if (found < 0) {
            return refuse(image, found, projection[PROJECTION_DATA] + begin);
        }
        synapses += (uint32_t)found;
        begin = end;
    }
    if (begin != projection[PROJECTION_DATA_BYTES] || synapses != projection[PROJECTION_SYNAPSES] ||
        (escapes != 0) != CODEC_ESCAPES(codec)) {
        return refuse(image, SPK_ERROR_ROW, offset_of(image, projection + PROJECTION_CODEC));
    }
    return SPK_OK;
}

static int check_projection(spk_image_t *image, const uint32_t *projection) {
    uint32_t codec = projection[PROJECTION_CODEC];
    uint32_t source = projection[PROJECTION_ENDS] & 0xFFFFu;
    uint32_t target = projection[PROJECTION_ENDS] >> 16;
    uint32_t rows = projection[PROJECTION_ROWS];
    uint32_t most_shift = image->precision == SPK_PRECISION_INT8 ? 7 : 0;
    if (target >= image->area_count || CODEC_KIND(codec) >= CODEC_COUNT || CODEC_SHIFT(codec) > most_shift ||
        CODEC_BLOCK_LOG2(codec) > 5 || codec >> 25 != 0 || projection[PROJECTION_DELAY] != 1 ||
        (projection[PROJECTION_RESERVED] | projection[PROJECTION_RESERVED_2]) != 0) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_CODEC));
    }
    uint32_t sources = image->areas[source * AREA_WORDS + AREA_NEURONS];
    uint32_t first = projection[PROJECTION_SOURCE_FIRST];
    if (first > sources || rows > sources - first) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_SOURCE_FIRST));
    }
    uint32_t blocks = (rows >> CODEC_BLOCK_LOG2(codec)) + 1;
    if (!inside(image, projection[PROJECTION_BASES], blocks, 4, 4) ||
        !inside(image, projection[PROJECTION_OFFSETS], rows + 1, 2, 2) ||
        !inside(image, projection[PROJECTION_DATA], projection[PROJECTION_DATA_BYTES], 1, 1)) {
        return refuse(image, SPK_ERROR_LAYOUT, offset_of(image, projection + PROJECTION_BASES));
    }
    return check_rows(image, projection);
}

static int check_power(spk_image_t *image) {
    for (uint32_t i = 0; i < image->power_count; i++) {
        const uint32_t *entry = image->power + 2 * i;
        int is_float = image->precision == SPK_PRECISION_FP32;
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
    }
    return synapses == image->synapse_count ? SPK_OK : refuse(image, SPK_ERROR_LAYOUT, HEADER_SYNAPSES);
}

int spk_image_open(spk_image_t *image, const uint8_t *bytes, size_t size) {
    SPK_ASSERT(((uintptr_t)bytes & 3u) == 0);
    memset(image, 0, sizeof *image);
    image->bytes = bytes;
    static int (*const checks[])(spk_image_t *) = {check_blocks, read_header, check_areas, check_projections,
                                                   check_power};
    int error = check_header(image, size);
    for (unsigned i = 0; error == SPK_OK && i < sizeof checks / sizeof checks[0]; i++) {
        error = checks[i](image);
    }
    return error;
}

const uint8_t *spk_image_network_hash(const spk_image_t *image) { return image->bytes + HEADER_NETWORK_HASH; }
