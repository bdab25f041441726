/* engine + stimulus arrays -> ledger arrays: many bursts in one call. */
#ifndef ESPIKE_BATCH_H
#define ESPIKE_BATCH_H

#include "espike/engine.h"

/* cffi begin */

/* The stimulus of a run, sorted by (burst, neuron), and where its ledger goes. All arrays are the caller's. */
typedef struct {
    const int64_t *stimulus_burst;
    const uint32_t *stimulus_neuron;
    const uint32_t *stimulus_value; /* as spk_engine_inject takes it */
    size_t stimulus_count;
    size_t stimulus_next;           /* out: entries taken so far; 0 to begin */
    uint32_t *ids;                  /* out: fired ids, burst after burst; NULL: not kept */
    size_t ids_capacity;
    size_t ids_count;               /* out */
    int64_t *start;                 /* out: (bursts + 1,) first id of each burst; start[0] is the caller's */
    uint32_t *hashes;               /* out: (bursts, 2) */
    uint32_t *potential_hashes;     /* out: (bursts, 2) */
} spk_batch_t;

/* The kernel of a precision (SPK_PRECISION_...), NULL where this build has none. */
const spk_kernel_t *spk_batch_kernel(int precision);

/* Run up to `bursts` bursts; stops early, before a burst, where ids could not take every neuron. Returns the
 * bursts run, or the error of a stimulus entry (batch->stimulus_next says which; the engine must be reset). */
int64_t spk_batch_run(spk_engine_t *engine, spk_batch_t *batch, int64_t bursts);

/* Every synapse of a checked image as its rows hold it: projection, source, target, and its weight without the shift
 * (an int32, or a float's bits as one), 4 numbers each. Returns how many there are; `room` of them are written. */
size_t spk_batch_synapses(const spk_image_t *image, int64_t *synapses, size_t room);

/* cffi end */

#endif
