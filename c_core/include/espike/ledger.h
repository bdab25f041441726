/* fire queues -> fire ledger: a sliding window of one area's fire queues. */
#ifndef ESPIKE_LEDGER_H
#define ESPIKE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* The last `window_bursts` fire queues of one area, as bitmaps in the caller's memory. */
typedef struct spk_ledger {
    struct spk_ledger *next;  /* the engine's list of tracked areas */
    int (*push)(struct spk_ledger *ledger, uint32_t burst, const uint32_t *fired); /* spk_ledger_push, linked with track */
    uint32_t *frames;         /* window_bursts frames of words_per_frame words, a ring */
    uint32_t neuron_first;    /* of the area, in the engine */
    uint32_t neuron_count;
    uint32_t words_per_frame;
    uint32_t window_bursts;
    uint32_t last_burst;      /* newest frame */
    uint32_t newest;          /* its place in the ring */
    uint32_t held_bursts;     /* frames that may be asked for, up to window_bursts */
} spk_ledger_t;

/* Bytes of memory for a window (4-byte aligned). */
size_t spk_ledger_bytes(uint32_t neuron_count, uint32_t window_bursts);

/* Begin to track at burst `burst`: 0 = before the first, no history; else a whole window of empty frames.
 * memory: spk_ledger_bytes(neuron_count, window_bursts), owned by the caller; window_bursts >= 1. */
void spk_ledger_init(spk_ledger_t *ledger, void *memory, uint32_t neuron_count, uint32_t window_bursts,
                     uint32_t burst);

/* Add burst `burst`'s fire queue, taken from a bitmap over all neurons; bursts left out become empty frames.
 * Returns SPK_OK, or SPK_ERROR_HISTORY where burst is not after the last one. */
int spk_ledger_push(spk_ledger_t *ledger, uint32_t burst, const uint32_t *fired);

/* Frame of burst `end - depth + 1 + index` (index < depth) as a bitmap of the area's neurons, words_per_frame words.
 * The query as a whole must hold exactly `depth` bursts that end at `end`.
 * Returns SPK_OK, or SPK_ERROR_DEPTH, SPK_ERROR_FUTURE, SPK_ERROR_HISTORY. */
int spk_ledger_frame(const spk_ledger_t *ledger, uint32_t end, uint32_t depth, uint32_t index,
                     const uint32_t **frame);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
