/* engine + stimulus arrays -> ledger arrays */
#include "batch.h"

const spk_kernel_t *spk_batch_kernel(int precision) {
    switch (precision) {
    case SPK_PRECISION_INT8:
        return &spk_kernel_int8;
    case SPK_PRECISION_FP32:
        return &spk_kernel_fp32;
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
