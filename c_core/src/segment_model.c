/* values and sets <-> likely bits: the model of version 2; docs/segment.md.
 *
 * Every function here runs both ways: where the coder decodes, what it is given to code is ignored, and what it returns
 * counts. So encoder and decoder cannot drift apart. */
#include "segment_model.h"

#define LEVELS_QUANTIZED 17u /* activity runs to 128 there, ... */
#define LEVELS_INTEGERS 31u  /* ... to 240 here; contexts take steps of 8 */
#define CLASSES 16u          /* bit lengths that have contexts of their own */
#define GAPS 33u

enum { COUNT_SAME, COUNT_SIGN, COUNT_CLASS, DENSE = COUNT_CLASS + GAPS, CELL, GAP_CLASS = CELL + 4,
       GAP_MANTISSA = GAP_CLASS + GAPS, SET_CONTEXTS = GAP_MANTISSA + 3 * CLASSES };

static uint32_t level_count(uint32_t kind) { return kind == SPK_SEGMENT_QUANTIZED ? LEVELS_QUANTIZED : LEVELS_INTEGERS; }

static uint32_t context_count(uint32_t kind) {
    uint32_t levels = level_count(kind);
    return kind == SPK_SEGMENT_SETS ? (uint32_t)SET_CONTEXTS : 3 * levels + (levels / 2 + 1) * CLASSES + 3 * CLASSES + 3;
}

static size_t aligned(size_t bytes) { return (bytes + 7) / 8 * 8; }

static size_t activity_bytes(uint32_t kind, uint32_t tensor_len) {
    return kind == SPK_SEGMENT_SETS ? 0 : (size_t)tensor_len;
}

static size_t before_bytes(uint32_t kind, uint32_t tensor_len) {
    return kind == SPK_SEGMENT_SETS ? ((size_t)tensor_len + 31) / 32 * 4
                                    : kind == SPK_SEGMENT_INTEGERS ? (size_t)tensor_len * 4 : (size_t)tensor_len;
}

size_t model_bytes(uint32_t kind, uint32_t tensor_len) {
    return aligned(sizeof(model_t)) + aligned(context_count(kind) * sizeof(coder_context_t)) +
           aligned(before_bytes(kind, tensor_len)) + aligned(activity_bytes(kind, tensor_len));
}

static coder_context_t *contexts_of(model_t *model) {
    return (coder_context_t *)((uint8_t *)model + aligned(sizeof(model_t)));
}

static void *before_of(model_t *model) {
    return (uint8_t *)contexts_of(model) + aligned(context_count(model->kind) * sizeof(coder_context_t));
}

static uint8_t *activity_of(model_t *model) {
    return (uint8_t *)before_of(model) + aligned(before_bytes(model->kind, model->tensor_len));
}

void model_forget(model_t *model) {
    coder_reset(contexts_of(model), context_count(model->kind));
    uint32_t level = 0;
    for (int32_t third = model->most / 3; third != 0; third /= 2) {
        level++;
    }
    memset(activity_of(model), (int)(model->kind == SPK_SEGMENT_INTEGERS ? 128 : 16 * level),
           activity_bytes(model->kind, model->tensor_len));
    memset(model->error, 0, sizeof model->error);
}

void model_begin_block(model_t *model) {
    model_forget(model);
    memset(before_of(model), 0, before_bytes(model->kind, model->tensor_len));
    coder_reset(&model->plain, 1);
    model->count = 0;
    model->frames = 0;
}

/* Number of bits of a value, 0..32. */
static uint32_t bit_length(uint32_t value) {
    uint32_t length = 0;
    for (; value >= 256; value >>= 8) {
        length += 8;
    }
    for (; value != 0; value >>= 1) {
        length++;
    }
    return length;
}

/* A number >= 1: its bit length as so many ones, then the bits below the highest, two of them with contexts. */
static uint32_t code_number(coder_t *coder, uint32_t value, coder_context_t *classes, uint32_t last_class,
                            coder_context_t *mantissas) {
    uint32_t length = bit_length(value);
    uint32_t at = 1;
    while (at < 32 && coder_bit(coder, classes + (at < last_class ? at : last_class), at < length)) {
        at++;
    }
    uint32_t out = 1;
    coder_context_t *mantissa = mantissas + 3 * (at < CLASSES ? at : CLASSES - 1);
    if (at > 1) {
        out = out << 1 | coder_bit(coder, mantissa, value >> (at - 2) & 1u);
    }
    if (at > 2) {
        out = out << 1 | coder_bit(coder, mantissa + 1 + (out & 1u), value >> (at - 3) & 1u);
    }
    return at > 3 ? out << (at - 3) | coder_bits(coder, value & ((1u << (at - 3)) - 1), at - 3) : out;
}

/* The predictor that missed least lately: 0 the frame before, 1 zero, 2 the value before. */
static uint32_t best_predictor(const uint32_t *error) {
    uint32_t best = error[1] < error[0];
    return error[2] < error[best] ? 2 : best;
}

static void note_errors(uint32_t *error, int32_t value, const int32_t *predictions) {
    for (int k = 0; k < 3; k++) {
        uint32_t miss = (uint32_t)value - (uint32_t)predictions[k];
        miss = miss >> 31 ? 0 - miss : miss;
        error[k] += ((miss < 65535 ? miss : 65535) << 8) - (error[k] >> 7);
    }
}

/* Move the mean bit length of a value's residuals, in sixteenths, a quarter of the way. */
static uint8_t follow(uint32_t activity, uint32_t length) {
    uint32_t goal = 16 * (length < 15 ? length : 15);
    return (uint8_t)(goal > activity ? activity + (goal - activity + 3) / 4 : activity - (activity - goal + 3) / 4);
}

/* One residual; `activity` chooses contexts and learns, `left` = min(|residual of the value before|, 2). */
static int32_t code_residual(model_t *model, int32_t residual, uint8_t *activity, uint32_t *left, int32_t prediction) {
    uint32_t levels = level_count(model->kind);
    coder_context_t *zero = contexts_of(model);
    coder_context_t *classes = zero + 3 * levels;
    coder_context_t *mantissas = classes + (levels / 2 + 1) * CLASSES;
    coder_context_t *sign = mantissas + 3 * CLASSES;
    coder_t *coder = &model->coder;
    uint32_t level = (*activity + 4u) / 8;
    level = level < levels ? level : levels - 1;
    uint32_t size = residual < 0 ? 0 - (uint32_t)residual : (uint32_t)residual;
    if (coder_bit(coder, zero + 3 * level + *left, size != 0)) {
        size = code_number(coder, size, classes + level / 2 * CLASSES, CLASSES - 1, mantissas);
        uint32_t negative = coder_bit(coder, sign + (prediction > 0 ? 1 : prediction < 0 ? 2 : 0), residual < 0);
        residual = (int32_t)(negative ? 0 - size : size);
    } else {
        size = 0;
        residual = 0;
    }
    *left = size < 2 ? size : 2;
    *activity = follow(*activity, bit_length(size));
    return residual;
}

static int32_t before_at(model_t *model, uint32_t index) {
    return model->kind == SPK_SEGMENT_QUANTIZED ? ((int8_t *)before_of(model))[index]
                                                : ((int32_t *)before_of(model))[index];
}

static void set_before(model_t *model, uint32_t index, int32_t value) {
    if (model->kind == SPK_SEGMENT_QUANTIZED) {
        ((int8_t *)before_of(model))[index] = (int8_t)value;
    } else {
        ((int32_t *)before_of(model))[index] = value;
    }
}

int model_values(model_t *model, model_run_t *run, uint32_t first, uint32_t count, int32_t *values) {
    for (uint32_t i = 0; i < count; i++) {
        int32_t predictions[3] = {before_at(model, first + i), 0, run->value};
        if (run->plain) {
            uint32_t bits = coder_bits(&model->coder, (uint32_t)values[i] + (uint32_t)model->most, model->bits);
            values[i] = (int32_t)(bits - (uint32_t)model->most);
        } else {
            int32_t prediction = predictions[best_predictor(model->error)];
            int32_t residual = code_residual(model, (int32_t)((uint32_t)values[i] - (uint32_t)prediction),
                                             activity_of(model) + first + i, &run->left, prediction);
            values[i] = (int32_t)((uint32_t)prediction + (uint32_t)residual);
            note_errors(model->error, values[i], predictions);
        }
        if (model->kind == SPK_SEGMENT_QUANTIZED && (values[i] > model->most || values[i] < -model->most)) {
            return 0;
        }
        set_before(model, first + i, values[i]);
        run->value = values[i];
    }
    return 1;
}

static uint32_t bit_at(const uint32_t *bitmap, uint32_t index) { return bitmap[index / 32] >> index % 32 & 1u; }

/* A decoded member; what is encoded stays untouched, it may lie in flash. */
static void put_member(const model_t *model, uint32_t *bitmap, uint32_t index) {
    if (model->coder.decoding) {
        bitmap[index / 32] |= 1u << index % 32;
    }
}

/* A set as its members' gaps. Returns 0 where a decoded one is out of range. */
static int code_list(model_t *model, uint32_t *bitmap, uint32_t count) {
    coder_context_t *contexts = contexts_of(model);
    uint32_t free = 0; /* smallest index that may come */
    for (uint32_t k = 0; k < count; k++) {
        uint32_t index = free;
        while (!model->coder.decoding && !bit_at(bitmap, index)) {
            index++;
        }
        uint32_t gap = code_number(&model->coder, index - free + 1, contexts + GAP_CLASS, GAPS - 1,
                                   contexts + GAP_MANTISSA) - 1;
        if (gap >= model->tensor_len - free) {
            return 0;
        }
        put_member(model, bitmap, free + gap);
        free += gap + 1;
    }
    return 1;
}

/* A set as one bit per index; contexts: was it in the frame before, is its neighbour in this one? */
static void code_bitmap(model_t *model, uint32_t *bitmap, uint32_t plain) {
    const uint32_t *before = before_of(model);
    coder_context_t *cells = contexts_of(model) + CELL;
    coder_t *coder = &model->coder;
    uint32_t bit = 0;
    for (uint32_t i = 0; i < model->tensor_len; i++) {
        coder_context_t *cell = cells + 2 * bit_at(before, i) + bit;
        bit = bit_at(bitmap, i);
        bit = plain ? coder_bits(coder, bit, 1) : coder_bit(coder, cell, bit);
        if (bit != 0) {
            put_member(model, bitmap, i);
        }
    }
}

static uint32_t members(const uint32_t *bitmap, uint32_t tensor_len) {
    uint32_t count = 0;
    for (uint32_t w = 0; w < (tensor_len + 31) / 32; w++) {
        for (uint32_t word = bitmap[w]; word != 0; word &= word - 1) {
            count++;
        }
    }
    return count;
}

int model_set(model_t *model, uint32_t plain, uint32_t *bitmap) {
    coder_context_t *contexts = contexts_of(model);
    coder_t *coder = &model->coder;
    int fine = 1;
    if (coder->decoding) {
        memset(bitmap, 0, before_bytes(SPK_SEGMENT_SETS, model->tensor_len));
    }
    uint32_t count = members(bitmap, model->tensor_len);
    if (plain) {
        code_bitmap(model, bitmap, 1);
        count = members(bitmap, model->tensor_len);
    } else {
        uint32_t change = count - model->count;
        if (coder_bit(coder, contexts + COUNT_SAME, change != 0)) {
            uint32_t size = change >> 31 ? 0 - change : change;
            uint32_t down = coder_bit(coder, contexts + COUNT_SIGN, change >> 31);
            size = code_number(coder, size, contexts + COUNT_CLASS, GAPS - 1, contexts + GAP_MANTISSA);
            change = down ? 0 - size : size;
        } else {
            change = 0;
        }
        count = model->count + change;
        if (count > model->tensor_len) {
            return 0;
        }
        if (count != 0 && coder_bit(coder, contexts + DENSE, count > model->tensor_len / 16)) {
            code_bitmap(model, bitmap, 0);
            fine = members(bitmap, model->tensor_len) == count;
        } else {
            fine = code_list(model, bitmap, count);
        }
    }
    memcpy(before_of(model), bitmap, before_bytes(SPK_SEGMENT_SETS, model->tensor_len));
    model->count = count;
    return fine;
}

