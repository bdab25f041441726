/* fire queues + rows -> accumulators: the second half of phase 1, and rows without delay. */
#include "propagate.h"

#define FIRED_MOST (SPK_BLOCKS ? 128 : 32)

/* Fired neurons of one area, by their place in it. A projection reads all their rows at once, but in fp32, where sums
 * depend on the order of sources, one neuron's after the other's. */
typedef struct {
    uint32_t area;
    uint32_t delay;
    uint32_t count;
    uint32_t most;
    uint32_t neurons[FIRED_MOST];
} queue_t;

/* The row of a neuron in a projection that learns or that its potential drives. */
static void read_stepwise(spk_engine_t *engine, const uint32_t *projection, uint32_t neuron) {
    const spk_learner_t *learner = engine->kernel->learner;
    const uint32_t target = projection[PROJECTION_ENDS] >> 16;
    uint32_t pairs[2 * SPK_READ_MOST];
    spk_reader_t reader;
    if (!learner->begin(&reader, engine, projection, neuron)) {
        return;
    }
    for (uint32_t count = learner->read(&reader, pairs); count != 0; count = learner->read(&reader, pairs)) {
        for (uint32_t i = 0; i < count; i++) {
            engine->kernel->input(engine, target, pairs + 2 * i, 1);
        }
        engine->counters.events += count;
    }
}

static void read_rows(spk_engine_t *engine, queue_t *queue) {
    const uint32_t *area = spk_area_record(engine, queue->area);
    const uint32_t *projection = engine->image->projections + area[AREA_PROJECTION_FIRST] * PROJECTION_WORDS;
    const uint32_t *end = projection + area[AREA_PROJECTION_COUNT] * PROJECTION_WORDS;
    for (; projection != end; projection += PROJECTION_WORDS) {
        const uint32_t codec = projection[PROJECTION_CODEC];
        if (projection[PROJECTION_DELAY] != queue->delay) {
            continue;
        }
        spk_area_state(engine, projection[PROJECTION_ENDS] >> 16)[STATE_FLAGS] |= STATE_IS_REACHED;
        if (!CODEC_DRIVEN(codec) && CODEC_KIND(codec) != CODEC_PLASTIC) {
            engine->counters.events += engine->kernel->scatter(engine, projection, queue->neurons, queue->count);
            continue;
        }
        for (uint32_t i = 0; i < queue->count; i++) {
            read_stepwise(engine, projection, queue->neurons[i]);
        }
    }
    queue->count = 0;
}

/* The neurons of an area whose bits are set from bit `first` of a bitmap on. Its words may hold others' bits. */
static void propagate_area(spk_engine_t *engine, queue_t *queue, const uint32_t *bitmap, uint32_t first) {
    const uint32_t *area = spk_area_record(engine, queue->area);
    const uint32_t count = area[AREA_NEURONS];
    int is_ordered = SPK_PRECISION_OF(engine->image) != SPK_PRECISION_INT8 && area[AREA_PROJECTION_COUNT] > 1;
    queue->most = is_ordered ? 1 : FIRED_MOST;
    for (uint32_t word = first / 32; word < spk_words_for(first + count); word++) {
        for (uint32_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
            uint32_t index = 32 * word + spk_lowest_bit(bits) - first;
            if (index < count) {
                queue->neurons[queue->count++] = index;
            }
            if (queue->count == queue->most) {
                read_rows(engine, queue);
            }
        }
    }
    if (queue->count != 0) {
        read_rows(engine, queue);
    }
}

void spk_propagate(spk_engine_t *engine, uint32_t delay) {
    queue_t queue;
    queue.count = 0;
    queue.delay = delay;
    for (queue.area = 0; queue.area < engine->image->area_count; queue.area++) {
        const uint32_t *state = spk_area_state(engine, queue.area);
        if (delay != 1 || state[STATE_FLAGS] & STATE_HAS_FIRED) {
            propagate_area(engine, &queue, spk_frame(engine, delay - 1), state[STATE_FIRST]);
        }
    }
}

void spk_propagate_now(spk_engine_t *engine, uint32_t area) {
    queue_t queue;
    queue.count = 0;
    queue.delay = 0;
    queue.area = area;
    propagate_area(engine, &queue, engine->firing, spk_area_state(engine, area)[STATE_FIRST]);
}
