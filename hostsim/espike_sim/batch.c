/* engine + stimulus arrays -> ledger arrays */
#include "batch.h"

#include "../../c_core/src/rows.h"

const spk_kernel_t *spk_batch_kernel(int precision) {
    switch (precision) {
    case SPK_PRECISION_INT8:
        return &spk_kernel_int8_learning;
    case SPK_PRECISION_FP16:
        return &spk_kernel_fp16_learning;
    case SPK_PRECISION_FP32:
        return &spk_kernel_fp32_learning;
    default:
        return NULL;
    }
}

static int take_stimulus(spk_engine_t *engine, spk_batch_t *batch) {
    int64_t burst = (int64_t)engine->burst + 1;
    while (batch->stimulus_next < batch->stimulus_count && batch->stimulus_burst[batch->stimulus_next] == burst) {
        size_t i = batch->stimulus_next;
        int error = spk_engine_inject(engine, batch->stimulus_neuron[i], batch->stimulus_value[i]);
        if (error != SPK_OK) {
            return error;
        }
        batch->stimulus_next++;
    }
    return SPK_OK;
}

static void keep_fired(const spk_engine_t *engine, spk_batch_t *batch, int64_t done) {
    uint32_t count = engine->image->neuron_count;
    for (uint32_t id = spk_engine_next_fired(engine, 0); id < count; id = spk_engine_next_fired(engine, id + 1)) {
        batch->ids[batch->ids_count++] = id;
    }
    batch->start[done + 1] = (int64_t)batch->ids_count;
}

int64_t spk_batch_run(spk_engine_t *engine, spk_batch_t *batch, int64_t bursts) {
    int64_t done = 0;
    for (; done < bursts; done++) {
        if (batch->ids != NULL && batch->ids_capacity - batch->ids_count < engine->image->neuron_count) {
            break;
        }
        int error = take_stimulus(engine, batch);
        if (error != SPK_OK) {
            return error;
        }
        spk_engine_burst(engine);
        if (batch->ids != NULL) {
            keep_fired(engine, batch, done);
        }
        for (int k = 0; k < 2; k++) {
            batch->hashes[2 * done + k] = engine->hash[k];
            batch->potential_hashes[2 * done + k] = engine->potential_hash[k];
        }
    }
    return done;
}

/* Where decoded synapses go. */
typedef struct {
    int64_t *at;
    int64_t *end;
    int64_t projection;
    int64_t source;
    int64_t target_first;
} decoding_t;

static void keep_synapse(void *context, uint32_t target, uint32_t weight) {
    decoding_t *d = context;
    if (d->at != d->end) {
        d->at[0] = d->projection;
        d->at[1] = d->source;
        d->at[2] = d->target_first + target;
        d->at[3] = (int32_t)weight;
        d->at += 4;
    }
}

static int64_t area_first(const spk_image_t *image, uint32_t area) {
    int64_t first = 0;
    for (uint32_t a = 0; a < area; a++) {
        first += image->areas[a * AREA_WORDS + AREA_NEURONS];
    }
    return first;
}

size_t spk_batch_synapses(const spk_image_t *image, int64_t *synapses, size_t room) {
    decoding_t d = {synapses, synapses + 4 * room, 0, 0, 0};
    size_t count = 0;
    for (uint32_t p = 0; p < image->projection_count; p++) {
        const uint32_t *projection = image->projections + p * PROJECTION_WORDS;
        d.projection = p;
        d.target_first = area_first(image, projection[PROJECTION_ENDS] >> 16);
        d.source = area_first(image, projection[PROJECTION_ENDS] & 0xFFFFu) + projection[PROJECTION_SOURCE_FIRST];
        for (uint32_t row = 0; row < projection[PROJECTION_ROWS]; row++, d.source++) {
            count += spk_row_each(image, projection, row, keep_synapse, &d);
        }
    }
    return count;
}
