/* image + stimulus -> fire queue: the five phases of a burst. */
#include "kernel.h"

static uint32_t words_for(uint32_t bits) { return (bits + 31) / 32; }

static uint32_t align4(uint32_t bytes) { return (bytes + 3) & ~3u; }

static uint32_t input_bytes(const spk_image_t *image, const uint32_t *area) {
    return image->precision == SPK_PRECISION_FP32 || (area[AREA_FLAGS] & AREA_WIDE_INPUT) ? 4u : 2u;
}

/* The arena: area states, two fire queues, potentials, then per area accumulators, countdowns and counts.
 * Fills `states` where it is not NULL. Returns the arena's bytes. */
static uint32_t arena_layout(const spk_image_t *image, uint32_t *states) {
    uint32_t offset = image->area_count * STATE_WORDS * 4 + 2 * words_for(image->neuron_count) * 4;
    offset += align4(image->neuron_count * spk_potential_bytes(image->precision));
    uint32_t first = 0;
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        uint32_t neurons = area[AREA_NEURONS];
        uint32_t input = offset;
        uint32_t countdown = input + align4(neurons * input_bytes(image, area));
        uint32_t count = countdown + align4(neurons * AREA_COUNTDOWN_BYTES(area[AREA_FLAGS]));
        offset = count + align4(neurons * AREA_COUNT_BYTES(area[AREA_FLAGS]));
        if (states != NULL) {
            states[STATE_FIRST] = first;
            states[STATE_INPUT] = input;
            states[STATE_COUNTDOWN] = countdown;
            states[STATE_COUNT] = count;
            states += STATE_WORDS;
        }
        first += neurons;
    }
    return offset;
}

size_t spk_engine_ram_bytes(const spk_image_t *image) { return arena_layout(image, NULL); }

static void clear_inputs(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    if (engine->kernel->empty_input == 0) {
        return; /* the arena is zero already */
    }
    for (uint32_t a = 0; a < image->area_count; a++) {
        uint32_t *input = (uint32_t *)(void *)(engine->arena + spk_area_state(engine, a)[STATE_INPUT]);
        for (uint32_t i = 0; i < spk_area_record(engine, a)[AREA_NEURONS]; i++) {
            input[i] = engine->kernel->empty_input;
        }
    }
}

int spk_engine_init(spk_engine_t *engine, const spk_image_t *image, const spk_kernel_t *kernel, void *ram,
                    size_t ram_bytes, int track_potentials) {
    if (kernel->precision != image->precision) {
        return SPK_ERROR_PRECISION;
    }
    if (ram_bytes < spk_engine_ram_bytes(image) || ((uintptr_t)ram & 7u) != 0) {
        return SPK_ERROR_RAM;
    }
    if (!kernel->self_test()) {
        return SPK_ERROR_FLOAT;
    }
    memset(engine, 0, sizeof *engine);
    memset(ram, 0, spk_engine_ram_bytes(image));
    engine->image = image;
    engine->kernel = kernel;
    engine->arena = ram;
    engine->area_state = ram;
    arena_layout(image, engine->area_state);
    engine->fired = engine->area_state + image->area_count * STATE_WORDS;
    engine->firing = engine->fired + words_for(image->neuron_count);
    engine->potential = engine->firing + words_for(image->neuron_count);
    engine->hash[1] = engine->potential_hash[1] = 1;
    engine->track_potentials = track_potentials != 0;
    clear_inputs(engine);
    return SPK_OK;
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
    engine->kernel->input(engine, spk_engine_area(engine, neuron), neuron, value);
    engine->next_injected = neuron + 1;
    return SPK_OK;
}

/* The rows of one fired neuron, projection by projection. */
static void propagate_neuron(spk_engine_t *engine, const uint32_t *area, uint32_t index) {
    const uint32_t *projection = engine->image->projections + area[AREA_PROJECTION_FIRST] * PROJECTION_WORDS;
    const uint32_t *end = projection + area[AREA_PROJECTION_COUNT] * PROJECTION_WORDS;
    for (; projection != end; projection += PROJECTION_WORDS) {
        uint32_t row = index - projection[PROJECTION_SOURCE_FIRST];
        if (row >= projection[PROJECTION_ROWS]) {
            continue;
        }
        spk_row_t bytes = spk_row_find(engine->image, projection, row);
        if (bytes.begin != bytes.end) {
            engine->counters.events += engine->kernel->scatter(engine, projection, bytes);
        }
    }
}

uint32_t spk_engine_next_fired(const spk_engine_t *engine, uint32_t from) {
    uint32_t count = engine->image->neuron_count;
    while (from < count) {
        uint32_t bits = engine->fired[from >> 5] >> (from & 31u);
        if (bits != 0) {
            while (!(bits & 1u)) {
                bits >>= 1;
                from++;
            }
            return from;
        }
        from = (from | 31u) + 1;
    }
    return count;
}

/* Phase 1: power, then the rows of the previous burst's fire queue, sources ascending. */
static void inject(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    for (uint32_t i = 0; i < image->power_count; i++) {
        const uint32_t *entry = image->power + 2 * i;
        engine->kernel->input(engine, spk_engine_area(engine, entry[0]), entry[0], entry[1]);
    }
    uint32_t area = 0;
    uint32_t end = 0;
    for (uint32_t neuron = spk_engine_next_fired(engine, 0); neuron < image->neuron_count;
         neuron = spk_engine_next_fired(engine, neuron + 1)) {
        while (neuron >= end) {
            end += spk_engine_area_count(engine, area++);
        }
        propagate_neuron(engine, spk_area_record(engine, area - 1),
                         neuron - spk_engine_area_first(engine, area - 1));
    }
}

/* Phase 2: every area consumes its input and fills the next fire queue. */
static void update(spk_engine_t *engine) {
    for (uint32_t area = 0; area < engine->image->area_count; area++) {
        engine->kernel->update(engine, area);
    }
}

uint32_t spk_engine_potential(const spk_engine_t *engine, uint32_t neuron) {
    SPK_ASSERT(neuron < engine->image->neuron_count);
    if (engine->image->precision == SPK_PRECISION_FP32) {
        uint32_t bits = ((const uint32_t *)engine->potential)[neuron];
        return bits == 0x80000000u ? 0 : bits;
    }
    return (uint32_t)(int32_t)((const int16_t *)engine->potential)[neuron];
}

/* The state hashes after a burst: docs/numbers.md, State hash. */
static void hash_burst(spk_engine_t *engine) {
    uint32_t count = engine->image->neuron_count;
    uint32_t begin = engine->burst * 0x9E3779B1u;
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t sum = 0;
        for (uint32_t id = spk_engine_next_fired(engine, 0); id < count; id = spk_engine_next_fired(engine, id + 1)) {
            sum += spk_pcg(2 * id + k);
        }
        engine->hash[k] = spk_pcg(engine->hash[k] + begin + sum);
        for (uint32_t id = 0; engine->track_potentials && id < count; id++) {
            sum += spk_pcg(spk_pcg(2 * id + k) ^ spk_engine_potential(engine, id));
        }
        engine->potential_hash[k] = spk_pcg(engine->potential_hash[k] + begin + sum);
    }
}

static uint32_t count_fired(const spk_engine_t *engine) {
    uint32_t fired = 0;
    for (uint32_t i = 0; i < words_for(engine->image->neuron_count); i++) {
        for (uint32_t bits = engine->fired[i]; bits != 0; bits &= bits - 1) {
            fired++;
        }
    }
    return fired;
}

/* Phase 3: the new fire queue becomes the last one, is counted, hashed and kept in the ledgers. */
static void archive(spk_engine_t *engine) {
    uint32_t *queue = engine->firing;
    engine->firing = engine->fired;
    engine->fired = queue;
    engine->fired_count = count_fired(engine);
    engine->counters.fired += engine->fired_count;
    hash_burst(engine);
    for (spk_ledger_t *ledger = engine->ledgers; ledger != NULL; ledger = ledger->next) {
        (void)spk_ledger_push(ledger, engine->burst, engine->fired);
    }
}

/* Phase 5: the queue that the next burst fills is empty, injection may begin at neuron 0 again. */
static void clean_up(spk_engine_t *engine) {
    memset(engine->firing, 0, words_for(engine->image->neuron_count) * 4);
    engine->next_injected = 0;
}

/* Phase 4, learning, joins with plastic rows: images have none yet. */
uint32_t spk_engine_burst(spk_engine_t *engine) {
    engine->burst++;
    inject(engine);
    update(engine);
    archive(engine);
    clean_up(engine);
    return engine->fired_count;
}

void spk_engine_track(spk_engine_t *engine, spk_ledger_t *ledger, uint32_t area) {
    SPK_ASSERT(area < engine->image->area_count);
    SPK_ASSERT(ledger->neuron_count == spk_engine_area_count(engine, area));
    ledger->neuron_first = spk_engine_area_first(engine, area);
    ledger->next = engine->ledgers;
    engine->ledgers = ledger;
}
