/* neuron models of an image -> checked: what docs/image.md lists, for kernels that know them. */
#include "kernel.h"

static int potential_is_valid(uint8_t precision, uint32_t value) {
    if (precision == SPK_PRECISION_INT8) {
        return value <= 0x7FFFu || value >= 0xFFFF8001u;
    }
    if (precision == SPK_PRECISION_FP16) {
        return value <= 0xFFFFu && value != 0x8000u && (value & 0x7C00u) != 0x7C00u;
    }
    return spk_weight_is_valid(value);
}

/* Range of a parameter: the reset's potential, the bias, what a current retains. */
static int value_is_valid(uint8_t precision, unsigned parameter, uint32_t value) {
    const int is_int8 = precision == SPK_PRECISION_INT8;
    if (parameter == MODEL_RESET) {
        return potential_is_valid(precision, value);
    }
    if (parameter == MODEL_CURRENT_RETAINED) {
        return value <= (is_int8 ? 32768u : 0x3F800000u);
    }
    return is_int8 ? value + 0x3FFFFFFFu <= 0x7FFFFFFEu : spk_weight_is_valid(value);
}

static int check_parameter(const spk_image_t *image, const uint32_t *area, unsigned parameter) {
    const uint8_t precision = SPK_PRECISION_OF(image);
    const uint32_t *model = spk_area_model(image, area);
    const uint32_t at = model[parameter];
    const uint32_t end = spk_load32(image->bytes + HEADER_BLOCKS_OFFSET);
    uint32_t bytes = parameter == MODEL_RESET ? spk_potential_bytes(precision) : 4;
    bytes = parameter == MODEL_CURRENT_RETAINED && precision == SPK_PRECISION_INT8 ? 2 : bytes;
    if (!(model[MODEL_COLUMNS] & MODEL_COLUMN(parameter))) {
        return value_is_valid(precision, parameter, at);
    }
    if (at % 4 != 0 || at < SPK_IMAGE_HEADER_BYTES || at > end || area[AREA_NEURONS] > (end - at) / bytes) {
        return 0;
    }
    int fits = 1;
    for (uint32_t i = 0; i < area[AREA_NEURONS]; i++) {
        uint32_t value = spk_model_parameter(image, model, parameter, i, bytes);
        int is_signed = parameter == MODEL_RESET && precision == SPK_PRECISION_INT8;
        fits &= value_is_valid(precision, parameter, is_signed ? (uint32_t)(int32_t)(int16_t)value : value);
    }
    return fits;
}

/* Flags that are known and go together. */
static int flags_are_valid(const spk_image_t *image, const uint32_t *area, const uint32_t *model) {
    const uint32_t flags = model[MODEL_FLAGS];
    const uint32_t unused = model[MODEL_RESERVED] | model[MODEL_RESERVED + 1] | model[MODEL_RESERVED + 2];
    const int pauses = AREA_COUNTDOWN_BYTES(area[AREA_FLAGS]) != 0 || AREA_COUNT_BYTES(area[AREA_FLAGS]) != 0;
    const int is_graded = (flags & MODEL_GRADED) != 0;
    return (flags & ~MODEL_FLAGS_KNOWN) == 0 && MODEL_RESETS(flags) <= MODEL_RESET_NONE &&
           (flags & MODEL_CURRENT) != MODEL_CURRENT && model[MODEL_COLUMNS] < MODEL_COLUMN(MODEL_RESERVED) &&
           unused == 0 && !(flags & MODEL_LATE && is_graded) && !(flags & (MODEL_LATE | MODEL_GRADED) && pauses) &&
           (!is_graded || MODEL_RESETS(flags) == MODEL_RESET_NONE) &&
           (SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 || MODEL_SHIFT(flags) == 0) &&
           (is_graded || area[AREA_PSP_FACTOR] == 0);
}

int spk_trained_check(const spk_image_t *image) {
    int fits = !image->candidates_only;
    for (uint32_t a = 0; fits && a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        if (area[AREA_MODEL] == 0) {
            continue;
        }
        fits = flags_are_valid(image, area, spk_area_model(image, area));
        for (unsigned parameter = MODEL_RESET; fits && parameter <= MODEL_CURRENT_RETAINED; parameter++) {
            fits = check_parameter(image, area, parameter);
        }
    }
    return fits ? SPK_OK : SPK_ERROR_PARAMETER;
}
