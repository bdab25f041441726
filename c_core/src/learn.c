/* frames + weights -> weights: phase 4 */
#include "learn.h"

/* One projection on its way through phase 4. */
typedef struct {
    const spk_engine_t *engine;
    const uint32_t *rule;
    const uint32_t *projection;
    uint32_t source;
    uint32_t target;
} learning_t;

static learning_t learning_of(const spk_engine_t *engine, uint32_t index) {
    const uint32_t *rule = engine->image->learning + index * LEARNING_WORDS;
    const uint32_t *projection = engine->image->projections + rule[LEARNING_PROJECTION] * PROJECTION_WORDS;
    learning_t found = {engine, rule, projection, projection[PROJECTION_ENDS] & 0xFFFFu,
                        projection[PROJECTION_ENDS] >> 16};
    return found;
}

/* Did a neuron of an area fire within the window? Bit 0: in any burst; bit 1: in each. */
static uint32_t fired_in_window(const learning_t *l, uint32_t area, uint32_t neuron) {
    const uint32_t id = spk_area_state(l->engine, area)[STATE_FIRST] + neuron;
    uint32_t any = 0;
    uint32_t all = 1;
    for (uint32_t age = 0; age < l->rule[LEARNING_WINDOW]; age++) {
        uint32_t bit = spk_frame(l->engine, age)[id >> 5] >> (id & 31u) & 1u;
        any |= bit;
        all &= bit;
    }
    return any | all << 1;
}

/* Did any neuron of an area, or a neighbour that shares a word with it? */
static int any_fired(const learning_t *l, uint32_t area) {
    const uint32_t first = spk_area_state(l->engine, area)[STATE_FIRST];
    const uint32_t end = spk_words_for(first + spk_area_record(l->engine, area)[AREA_NEURONS]);
    uint32_t any = 0;
    for (uint32_t age = 0; age < l->rule[LEARNING_WINDOW]; age++) {
        const uint32_t *frame = spk_frame(l->engine, age);
        for (uint32_t word = first / 32; word < end; word++) {
            any |= frame[word];
        }
    }
    return any != 0;
}

/* One weight moved by a step and cut to the rule's ends. */
static void move_weight(const learning_t *l, uint32_t synapse, uint32_t step) {
    void *weights = spk_learned_weights(l->engine, l->projection);
    if (SPK_PRECISION_OF(l->engine->image) == SPK_PRECISION_INT8) {
        int16_t *w = (int16_t *)weights + synapse;
        int32_t moved = *w + (int32_t)step;
        moved = moved < (int32_t)l->rule[LEARNING_LOW] ? (int32_t)l->rule[LEARNING_LOW] : moved;
        *w = (int16_t)(moved > (int32_t)l->rule[LEARNING_HIGH] ? (int32_t)l->rule[LEARNING_HIGH] : moved);
        return;
    }
    uint32_t before = spk_learned_weight(l->engine, l->projection, synapse);
    float moved = spk_float_from_bits(before) + spk_float_from_bits(step);
    moved = moved < spk_float_from_bits(l->rule[LEARNING_LOW]) ? spk_float_from_bits(l->rule[LEARNING_LOW]) : moved;
    moved = moved > spk_float_from_bits(l->rule[LEARNING_HIGH]) ? spk_float_from_bits(l->rule[LEARNING_HIGH]) : moved;
    if (SPK_PRECISION_OF(l->engine->image) == SPK_PRECISION_FP16) {
        ((uint16_t *)weights)[synapse] = spk_half_even(moved);
    } else {
        ((float *)weights)[synapse] = moved;
    }
}

static void learn_row(const learning_t *l, uint32_t row, uint32_t source_fired) {
    spk_rows_t rows;
    spk_rows_open(&rows, l->engine->image, l->projection);
    spk_row_t bytes = spk_rows_find(&rows, row);
    uint32_t i = (uint32_t)(bytes.begin - rows.data) / 2;
    for (const uint8_t *at = bytes.begin; at != bytes.end; at += 2, i++) {
        uint32_t target_fired = fired_in_window(l, l->target, spk_load16(at));
        if ((source_fired | target_fired) != 0) {
            move_weight(l, i, l->rule[source_fired & target_fired & 2u ? LEARNING_LTP : LEARNING_LTD]);
        }
    }
}

/* Phase 4: docs/numbers.md, Learning. */
static void learn(spk_engine_t *engine) {
    for (uint32_t index = 0; index < engine->image->learning_count; index++) {
        learning_t l = learning_of(engine, index);
        int target_fired = any_fired(&l, l.target);
        for (uint32_t row = 0; row < l.projection[PROJECTION_ROWS]; row++) {
            uint32_t source_fired = fired_in_window(&l, l.source, l.projection[PROJECTION_SOURCE_FIRST] + row);
            if (target_fired || source_fired != 0) {
                learn_row(&l, row, source_fired);
            }
        }
    }
}

static int weight_is_valid(const spk_image_t *image, uint32_t value) {
    if (SPK_PRECISION_OF(image) == SPK_PRECISION_INT8) {
        return value <= 0x7FFFu || value >= 0xFFFF8001u;
    }
    return spk_weight_is_valid(value);
}

/* Integers in the order of the codes or floats that `value` stands for; no float is -0. */
static int32_t rank_of(const spk_image_t *image, uint32_t value) {
    if (SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 || !(value >> 31)) {
        return (int32_t)value;
    }
    return -(int32_t)(value & 0x7FFFFFFFu);
}

static int check_rule(const spk_image_t *image, uint32_t index) {
    const uint32_t *rule = image->learning + index * LEARNING_WORDS;
    const uint32_t number = rule[LEARNING_PROJECTION];
    const uint32_t *projection = image->projections + (number < image->projection_count ? number : 0) * PROJECTION_WORDS;
    const uint32_t width = spk_learned_bytes(SPK_PRECISION_OF(image));
    const uint32_t end = spk_load32(image->bytes + HEADER_BLOCKS_OFFSET);
    const uint32_t at = rule[LEARNING_WEIGHTS];
    int fits = number < image->projection_count && CODEC_KIND(projection[PROJECTION_CODEC]) == CODEC_PLASTIC &&
               projection[PROJECTION_BOOK] == index && at % 4 == 0 && at >= SPK_IMAGE_HEADER_BYTES && at <= end &&
               projection[PROJECTION_SYNAPSES] <= (end - at) / width &&
               rule[LEARNING_WINDOW] != 0 && rule[LEARNING_WINDOW] <= image->history;
    for (unsigned word = LEARNING_LTP; word <= LEARNING_HIGH; word++) {
        fits = fits && weight_is_valid(image, rule[word]);
    }
    const int32_t low = rank_of(image, rule[LEARNING_LOW]);
    const int32_t high = rank_of(image, rule[LEARNING_HIGH]);
    for (uint32_t i = 0; fits && i < projection[PROJECTION_SYNAPSES]; i++) {
        const uint8_t *stored = image->bytes + at + i * width;
        uint32_t w = width == 2 ? (uint32_t)(int32_t)(int16_t)spk_load16(stored) : spk_load32(stored);
        w = SPK_PRECISION_OF(image) == SPK_PRECISION_FP16 ? spk_half_to_float_bits((uint16_t)w) : w;
        fits = weight_is_valid(image, w) && rank_of(image, w) >= low && rank_of(image, w) <= high;
    }
    return fits && low <= high ? SPK_OK : SPK_ERROR_LAYOUT;
}

static int check(const spk_image_t *image) {
    int error = SPK_OK;
    for (uint32_t index = 0; error == SPK_OK && index < image->learning_count; index++) {
        error = check_rule(image, index);
    }
    return error;
}

/* Weights as the image holds them. */
static void reset(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    for (uint32_t index = 0; index < image->learning_count; index++) {
        learning_t l = learning_of(engine, index);
        memcpy(spk_learned_weights(engine, l.projection), image->bytes + l.rule[LEARNING_WEIGHTS],
               l.projection[PROJECTION_SYNAPSES] * spk_learned_bytes(SPK_PRECISION_OF(image)));
    }
}

/* What the weights add to the hash with potentials. */
static void sum_weights(const spk_engine_t *engine, uint32_t sum[2]) {
    for (uint32_t index = 0; index < engine->image->learning_count; index++) {
        learning_t l = learning_of(engine, index);
        for (uint32_t i = 0; i < l.projection[PROJECTION_SYNAPSES]; i++) {
            uint32_t bits = spk_learned_weight(engine, l.projection, i);
            bits = SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP16 ? spk_half_even(spk_float_from_bits(bits)) : bits;
            uint32_t number = l.rule[LEARNING_FIRST] + i;
            sum[0] += spk_pcg(spk_pcg(2 * number) ^ bits);
            sum[1] += spk_pcg(spk_pcg(2 * number + 1) ^ bits);
        }
    }
}

static int is_graded(const spk_engine_t *engine, uint32_t area) {
    return spk_area_record(engine, area)[AREA_MODEL] != 0;
}

/* What drives the weights of an area's neuron: its potential when it fired, 0..255; of a graded one its potential as it
 * is, int32 or the bits of a binary32. */
static uint32_t psp_of(const spk_engine_t *engine, uint32_t area, uint32_t neuron) {
    const uint32_t *state = spk_area_state(engine, area);
    if (!is_graded(engine, area)) {
        return engine->arena[state[STATE_PSP] + neuron];
    }
    uint32_t bits = spk_engine_potential(engine, state[STATE_FIRST] + neuron);
    return SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP16 ? spk_half_to_float_bits((uint16_t)bits) : bits;
}

static int begin(spk_reader_t *reader, const spk_engine_t *engine, const uint32_t *projection, uint32_t neuron) {
    const uint32_t codec = projection[PROJECTION_CODEC];
    const uint32_t row = neuron - projection[PROJECTION_SOURCE_FIRST];
    spk_rows_t rows;
    spk_rows_open(&rows, engine->image, projection);
    if (row >= projection[PROJECTION_ROWS]) {
        return 0;
    }
    const spk_row_t bytes = spk_rows_find(&rows, row);
    reader->engine = engine;
    reader->projection = projection;
    reader->psp = CODEC_DRIVEN(codec) ? psp_of(engine, projection[PROJECTION_ENDS] & 0xFFFFu, neuron) : 1;
    reader->is_graded = CODEC_DRIVEN(codec) && is_graded(engine, projection[PROJECTION_ENDS] & 0xFFFFu);
    reader->synapse = (uint32_t)(bytes.begin - rows.data) / 2;
    return bytes.begin != bytes.end &&
           spk_cursor_begin(&reader->cursor, bytes, CODEC_KIND(codec), SPK_PRECISION_OF(engine->image), NULL,
                            spk_target_count(engine->image, projection)) == SPK_OK;
}

/* A weight psp times, as an input: finite, so that no sum of inputs is NaN. */
static uint32_t driven(const spk_reader_t *reader, uint32_t weight) {
    if (SPK_PRECISION_OF(reader->engine->image) == SPK_PRECISION_INT8) {
        return weight * reader->psp << CODEC_SHIFT(reader->projection[PROJECTION_CODEC]);
    }
    float psp = reader->is_graded ? spk_float_from_bits(reader->psp) : (float)reader->psp;
    float product = spk_float_from_bits(weight) * psp;
    uint32_t bits = product == 0 ? 0 : spk_bits_from_float(product); /* never -0 */
    return (bits & 0x7F800000u) == 0x7F800000u ? (bits & 0x80000000u) | 0x7F7FFFFFu : bits;
}

static uint32_t read(spk_reader_t *reader, uint32_t pairs[2 * SPK_READ_MOST]) {
    const int learns = CODEC_KIND(reader->projection[PROJECTION_CODEC]) == CODEC_PLASTIC;
    const uint32_t first = spk_area_state(reader->engine, reader->projection[PROJECTION_ENDS] >> 16)[STATE_FIRST];
    uint32_t count = 0;
    for (; count < SPK_READ_MOST && spk_cursor_next(&reader->cursor) > 0; count++, reader->synapse++) {
        uint32_t weight = learns ? spk_learned_weight(reader->engine, reader->projection, reader->synapse)
                                 : reader->cursor.weight;
        pairs[2 * count] = first + reader->cursor.target;
        pairs[2 * count + 1] = driven(reader, weight);
    }
    return count;
}

const spk_learner_t spk_learner = {check, reset, learn, sum_weights, begin, read};
