/* last fire queue + rows -> accumulators: the second half of phase 1. */
#include "propagate.h"

#ifdef SPK_VECTOR

#define QUEUE_ROWS 16

/* Rows on their way: found and asked for from memory before the first of them is read. */
typedef struct {
    uint32_t count;
    spk_row_t rows[QUEUE_ROWS];
    const uint32_t *projections[QUEUE_ROWS];
} queue_t;

static void flush(spk_engine_t *engine, queue_t *queue) {
    for (uint32_t i = 0; i < queue->count; i++) {
        engine->counters.events += engine->kernel->scatter(engine, queue->projections[i], queue->rows[i]);
    }
    queue->count = 0;
}

static void read_row(spk_engine_t *engine, queue_t *queue, const uint32_t *projection, spk_row_t row) {
    __builtin_prefetch(row.begin);
    __builtin_prefetch(row.begin + 64);
    queue->rows[queue->count] = row;
    queue->projections[queue->count++] = projection;
    if (queue->count == QUEUE_ROWS) {
        flush(engine, queue);
    }
}

#else

/* Boards read from flash or tightly coupled RAM: a row is read when it is found. */
typedef struct {
    uint32_t count;
} queue_t;

static void flush(spk_engine_t *engine, queue_t *queue) {
    (void)engine;
    (void)queue;
}

static void read_row(spk_engine_t *engine, queue_t *queue, const uint32_t *projection, spk_row_t row) {
    (void)queue;
    engine->counters.events += engine->kernel->scatter(engine, projection, row);
}

#endif

/* The rows of one fired neuron, projection by projection. */
static void propagate_neuron(spk_engine_t *engine, queue_t *queue, const uint32_t *area, uint32_t index) {
    const uint32_t *projection = engine->image->projections + area[AREA_PROJECTION_FIRST] * PROJECTION_WORDS;
    const uint32_t *end = projection + area[AREA_PROJECTION_COUNT] * PROJECTION_WORDS;
    for (; projection != end; projection += PROJECTION_WORDS) {
        uint32_t row = index - projection[PROJECTION_SOURCE_FIRST];
        if (row >= projection[PROJECTION_ROWS]) {
            continue;
        }
        spk_row_t bytes = spk_row_find(engine->image, projection, row);
        if (bytes.begin != bytes.end) {
            read_row(engine, queue, projection, bytes);
        }
    }
}

/* Every fired neuron's rows, sources ascending. */
void spk_propagate(spk_engine_t *engine) {
    queue_t queue;
    queue.count = 0;
    uint32_t area = 0;
    uint32_t first = 0;
    uint32_t end = 0;
    for (uint32_t word = 0; word < spk_words_for(engine->image->neuron_count); word++) {
        for (uint32_t bits = engine->fired[word]; bits != 0; bits &= bits - 1) {
            uint32_t neuron = 32 * word + spk_lowest_bit(bits);
            while (neuron >= end) {
                first = end;
                end += spk_engine_area_count(engine, area++);
            }
            propagate_neuron(engine, &queue, spk_area_record(engine, area - 1), neuron - first);
        }
    }
    flush(engine, &queue);
}
