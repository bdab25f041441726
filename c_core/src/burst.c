/* image + stimulus -> fire queue: the five phases of a burst. */
#include "learn.h"
#include "propagate.h"

static uint32_t align4(uint32_t bytes) { return (bytes + 3) & ~3u; }

static uint32_t input_bytes(const spk_image_t *image, const uint32_t *area) {
    return SPK_PRECISION_OF(image) != SPK_PRECISION_INT8 || spk_input_is_wide(image, area) ? 4u : 2u;
}

/* Of an area's potentials at firing, or currents. */
static uint32_t psp_bytes(const spk_image_t *image, const uint32_t *area) {
    if (area[AREA_MODEL] != 0) {
        int has_current = (spk_area_model(image, area)[MODEL_FLAGS] & MODEL_CURRENT) != 0;
        return has_current ? align4(area[AREA_NEURONS] * spk_potential_bytes(SPK_PRECISION_OF(image))) : 0;
    }
    return area[AREA_PSP_FACTOR] != 0 ? align4(area[AREA_NEURONS]) : 0;
}

/* The arena: area states, offsets of learned weights, fire queues, potentials, accumulators, then per area countdowns,
 * counts, busy blocks and psp; learned weights. Fills `states` where it is not NULL. Returns the
 * arena's bytes: below 2^32, which spk_image_open has checked. */
static uint32_t arena_layout(const spk_image_t *image, uint32_t *states) {
    uint32_t *learned = states == NULL ? NULL : states + image->area_count * STATE_WORDS;
    uint32_t offset = (image->area_count * STATE_WORDS + image->learning_count) * 4;
    offset += spk_frame_count(image) * spk_words_for(image->neuron_count) * 4;
    offset += align4(image->neuron_count * spk_potential_bytes(SPK_PRECISION_OF(image)));
    uint32_t input = offset;
    uint32_t first = 0;
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        offset += align4(area[AREA_NEURONS] * input_bytes(image, area));
    }
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        uint32_t neurons = area[AREA_NEURONS];
        uint32_t countdown = offset;
        uint32_t count = countdown + align4(neurons * AREA_COUNTDOWN_BYTES(area[AREA_FLAGS]));
        uint32_t busy = count + align4(neurons * AREA_COUNT_BYTES(area[AREA_FLAGS]));
        uint32_t psp = busy + align4((neurons + SPK_BLOCK_LEAST - 1) / SPK_BLOCK_LEAST);
        offset = psp + psp_bytes(image, area);
        if (states != NULL) {
            states[STATE_FIRST] = first;
            states[STATE_INPUT] = input;
            states[STATE_COUNTDOWN] = countdown;
            states[STATE_COUNT] = count;
            states[STATE_BUSY] = busy;
            states[STATE_PSP] = psp;
            states[STATE_FLAGS] = STATE_IS_BUSY;
            states += STATE_WORDS;
        }
        first += neurons;
        input += align4(neurons * input_bytes(image, area));
    }
    for (uint32_t p = 0; image->learning_count != 0 && p < image->projection_count; p++) {
        const uint32_t *projection = image->projections + p * PROJECTION_WORDS;
        if (CODEC_KIND(projection[PROJECTION_CODEC]) != CODEC_PLASTIC) {
            continue;
        }
        if (learned != NULL) {
            learned[projection[PROJECTION_BOOK]] = offset;
        }
        offset += align4(projection[PROJECTION_SYNAPSES] * spk_learned_bytes(SPK_PRECISION_OF(image)));
    }
    return offset;
}

/* Engines of expanded images keep the fire queue as a list, too. */
static uint32_t list_bytes(const spk_image_t *image) {
    return SPK_BLOCKS && image->expansion != NULL ? (image->neuron_count + SPK_LIST_SPARE) * 4 : 0;
}

size_t spk_engine_ram_bytes(const spk_image_t *image) { return arena_layout(image, NULL) + list_bytes(image); }

/* Accumulators of zeroed memory that no input has reached, and blocks of which nothing is known yet. */
static void clear_inputs(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = spk_area_record(engine, a);
        const uint32_t *state = spk_area_state(engine, a);
        const uint32_t neurons = area[AREA_NEURONS];
        memset(engine->arena + state[STATE_BUSY], 1, (neurons + SPK_BLOCK_LEAST - 1) / SPK_BLOCK_LEAST);
        uint32_t *input = (uint32_t *)(void *)(engine->arena + state[STATE_INPUT]);
        const uint32_t *empty = spk_expanded_empty(image, area, state);
        for (uint32_t i = 0; i < neurons && (empty != NULL || engine->kernel->empty_input != 0); i++) {
            input[i] = empty != NULL ? empty[i] : engine->kernel->empty_input;
        }
    }
}

int spk_engine_init(spk_engine_t *engine, const spk_image_t *image, const spk_kernel_t *kernel, void *ram,
                    size_t ram_bytes, int track_potentials) {
    if (kernel->precision != image->precision) {
        return SPK_ERROR_PRECISION;
    }
    if (image->learning_count != 0 || image->is_driven) {
        int error = kernel->learner == NULL ? SPK_ERROR_LEARNING : kernel->learner->check(image);
        if (error != SPK_OK) {
            return error;
        }
    }
    if (image->has_models) {
        int error = kernel->trained == NULL ? SPK_ERROR_MODEL : kernel->trained->check(image);
        if (error != SPK_OK) {
            return error;
        }
    }
    uint32_t needed = arena_layout(image, NULL);
    if (ram_bytes < needed + list_bytes(image) || ((uintptr_t)ram & 7u) != 0) {
        return SPK_ERROR_RAM;
    }
    if (!kernel->self_test()) {
        return SPK_ERROR_FLOAT;
    }
    memset(engine, 0, sizeof *engine);
    memset(ram, 0, needed);
    engine->image = image;
    engine->kernel = kernel;
    engine->arena = ram;
    engine->area_state = ram;
    arena_layout(image, engine->area_state);
    engine->learned = engine->area_state + image->area_count * STATE_WORDS;
    engine->frames = engine->learned + image->learning_count;
    engine->potential = engine->frames + spk_frame_count(image) * spk_words_for(image->neuron_count);
    engine->fired = engine->frames;
    engine->firing = engine->frames + spk_words_for(image->neuron_count);
    engine->fired_list = list_bytes(image) != 0 ? (uint32_t *)(void *)(engine->arena + needed) : NULL;
    engine->hash[1] = engine->potential_hash[1] = 1;
    engine->track_potentials = track_potentials != 0;
    clear_inputs(engine);
    if (image->learning_count != 0) {
        kernel->learner->reset(engine);
    }
    return SPK_OK;
}

int spk_engine_reset(spk_engine_t *engine) {
    return spk_engine_init(engine, engine->image, engine->kernel, engine->arena, SIZE_MAX, engine->track_potentials);
}

uint32_t spk_engine_area_first(const spk_engine_t *engine, uint32_t area) {
    return spk_area_state(engine, area)[STATE_FIRST];
}

uint32_t spk_engine_area_count(const spk_engine_t *engine, uint32_t area) {
    return spk_area_record(engine, area)[AREA_NEURONS];
}

uint32_t spk_engine_area(const spk_engine_t *engine, uint32_t neuron) {
    SPK_ASSERT(neuron < engine->image->neuron_count);
    uint32_t low = 0;
    uint32_t high = engine->image->area_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (spk_engine_area_first(engine, middle) <= neuron) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Stimulus or power of one area. */
static void add_input(spk_engine_t *engine, uint32_t area, const uint32_t *pairs, uint32_t count) {
    engine->kernel->input(engine, area, pairs, count);
    spk_area_state(engine, area)[STATE_FLAGS] |= STATE_IS_REACHED;
}

int spk_engine_inject_check(const spk_engine_t *engine, uint32_t neuron, uint32_t value) {
    if (neuron >= engine->image->neuron_count) {
        return SPK_ERROR_NEURON;
    }
    const uint32_t *area = spk_area_record(engine, spk_engine_area(engine, neuron));
    return engine->kernel->accepts(area, value) ? SPK_OK : SPK_ERROR_STIMULUS;
}

int spk_engine_inject(spk_engine_t *engine, uint32_t neuron, uint32_t value) {
    int error = neuron < engine->next_injected ? SPK_ERROR_NEURON : spk_engine_inject_check(engine, neuron, value);
    if (error != SPK_OK) {
        return error;
    }
    const uint32_t pair[2] = {neuron, value};
    add_input(engine, spk_engine_area(engine, neuron), pair, 1);
    engine->next_injected = neuron + 1;
    return SPK_OK;
}

uint32_t spk_engine_next_fired(const spk_engine_t *engine, uint32_t from) {
    uint32_t count = engine->image->neuron_count;
    while (from < count) {
        uint32_t bits = engine->fired[from >> 5] >> (from & 31u);
        if (bits != 0) {
            return from + spk_lowest_bit(bits);
        }
        from = (from | 31u) + 1;
    }
    return count;
}

/* Add what the power table holds, area by area. */
static void inject_power(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    const uint32_t *pairs = image->power;
    const uint32_t *end = pairs + 2 * image->power_count;
    uint32_t area_end = 0;
    for (uint32_t area = 0; area < image->area_count && pairs != end; area++) {
        const uint32_t *begin = pairs;
        area_end += spk_engine_area_count(engine, area);
        pairs = end[-2] < area_end ? end : pairs;
        while (pairs != end && *pairs < area_end) {
            pairs += 2;
        }
        if (pairs != begin) {
            add_input(engine, area, begin, (uint32_t)(pairs - begin) / 2);
        }
    }
}

/* Phase 1: power, then the rows of the neurons that fired, delay by delay. Accumulators of an expanded image hold power. */
static void inject(spk_engine_t *engine) {
    if (SPK_BLOCKS && engine->image->expansion != NULL) {
        spk_propagate_expanded(engine);
        return;
    }
    inject_power(engine);
    if (engine->fired_count != 0) {
        spk_propagate(engine, 1);
    }
    for (uint32_t delay = 2; delay <= engine->image->delay_most; delay++) {
        spk_propagate(engine, delay);
    }
}

static uint32_t update_area(spk_engine_t *engine, uint32_t area) {
    int has_model = spk_area_record(engine, area)[AREA_MODEL] != 0;
    return (has_model ? engine->kernel->trained->update : engine->kernel->update)(engine, area);
}

/* Phase 2: every area consumes its input and fills the next fire queue; areas at rest that nothing reached are left as
 * they are. Returns not 0 where any neuron fired. */
static uint32_t update(spk_engine_t *engine) {
    uint32_t all = 0;
    for (uint32_t area = 0; area < engine->image->area_count; area++) {
        uint32_t *flags = spk_area_state(engine, area) + STATE_FLAGS;
        int powered = SPK_BLOCKS && engine->image->expansion != NULL && engine->image->expansion->powered[area];
        int is_still = !powered && !(*flags & (STATE_IS_BUSY | STATE_IS_REACHED));
        *flags = is_still ? 0 : update_area(engine, area);
        all |= *flags;
        if (engine->image->has_delay_zero && *flags & STATE_HAS_FIRED) {
            spk_propagate_now(engine, area);
        }
    }
    return all & STATE_HAS_FIRED;
}

uint32_t spk_engine_potential(const spk_engine_t *engine, uint32_t neuron) {
    SPK_ASSERT(neuron < engine->image->neuron_count);
    if (SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP32) {
        uint32_t bits = ((const uint32_t *)engine->potential)[neuron];
        return bits == 0x80000000u ? 0 : bits;
    }
    if (SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP16) {
        uint32_t bits = ((const uint16_t *)engine->potential)[neuron];
        return bits == 0x8000u ? 0 : bits;
    }
    return (uint32_t)(int32_t)((const int16_t *)engine->potential)[neuron];
}

/* What every neuron's potential adds to the hash with potentials. */
static void sum_potentials(const spk_engine_t *engine, uint32_t sum[2]) {
    for (uint32_t id = 0; id < engine->image->neuron_count; id++) {
        uint32_t bits = spk_engine_potential(engine, id);
        sum[0] += spk_pcg(spk_pcg(2 * id) ^ bits);
        sum[1] += spk_pcg(spk_pcg(2 * id + 1) ^ bits);
    }
}

/* Count the fire queue, and sum what its ids add to the state hash. */
static void sum_fired(spk_engine_t *engine, uint32_t sum[2]) {
    engine->fired_count = 0;
    for (uint32_t word = 0; word < spk_words_for(engine->image->neuron_count); word++) {
        for (uint32_t bits = engine->fired[word]; bits != 0; bits &= bits - 1) {
            uint32_t id = 32 * word + spk_lowest_bit(bits);
            sum[0] += spk_pcg(2 * id);
            sum[1] += spk_pcg(2 * id + 1);
            engine->fired_count++;
        }
    }
}

/* Count the fire queue and extend the state hashes by it: docs/numbers.md, State hash. */
static void hash_burst(spk_engine_t *engine, uint32_t any_fired) {
    uint32_t begin = engine->burst * 0x9E3779B1u;
    uint32_t sum[2] = {0, 0};
    engine->fired_count = 0;
    if (any_fired) {
        (SPK_BLOCKS && engine->fired_list != NULL ? spk_list_fired : sum_fired)(engine, sum);
    }
    for (uint32_t k = 0; k < 2; k++) {
        engine->hash[k] = spk_pcg(engine->hash[k] + begin + sum[k]);
    }
    if (engine->track_potentials) {
        sum_potentials(engine, sum);
        if (engine->image->learning_count != 0) {
            engine->kernel->learner->sum(engine, sum);
        }
    }
    for (uint32_t k = 0; k < 2; k++) {
        engine->potential_hash[k] = spk_pcg(engine->potential_hash[k] + begin + sum[k]);
    }
}

/* Phase 3: the new fire queue becomes the last one and is kept in ledgers; the oldest makes room. */
static void archive(spk_engine_t *engine) {
    const uint32_t words = spk_words_for(engine->image->neuron_count);
    const uint32_t frames = spk_frame_count(engine->image);
    engine->fired = engine->firing;
    engine->frame = engine->frame + 1 == frames ? 0 : engine->frame + 1;
    engine->firing = engine->frames + (engine->frame + 1 == frames ? 0 : engine->frame + 1) * words;
    for (uint32_t word = words; (frames > 2 || engine->fired_count != 0) && word != 0; word--) {
        engine->firing[word - 1] = 0;
    }
    for (spk_ledger_t *ledger = engine->ledgers; ledger != NULL; ledger = ledger->next) {
        (void)ledger->push(ledger, engine->burst, engine->fired);
    }
}

/* Phase 4: weights that learn move. */
static void learn(spk_engine_t *engine) {
    if (engine->image->learning_count != 0) {
        engine->kernel->learner->learn(engine);
    }
}

/* Phase 5: what the burst leaves is counted and hashed, injection may begin at neuron 0 again. */
static void clean_up(spk_engine_t *engine, uint32_t any_fired) {
    hash_burst(engine, any_fired);
    engine->counters.fired += engine->fired_count;
    engine->next_injected = 0;
}

uint32_t spk_engine_burst(spk_engine_t *engine) {
    engine->burst++;
    inject(engine);
    uint32_t any_fired = update(engine);
    archive(engine);
    learn(engine);
    clean_up(engine, any_fired);
    return engine->fired_count;
}

void spk_engine_track(spk_engine_t *engine, spk_ledger_t *ledger, uint32_t area) {
    SPK_ASSERT(area < engine->image->area_count);
    SPK_ASSERT(ledger->neuron_count == spk_engine_area_count(engine, area));
    ledger->neuron_first = spk_engine_area_first(engine, area);
    ledger->next = engine->ledgers;
    ledger->push = spk_ledger_push;
    engine->ledgers = ledger;
}
