/* fire queues -> fire ledger */
#include "espike/ledger.h"

#include <string.h>

#include "bytes.h"

size_t spk_ledger_bytes(uint32_t neuron_count, uint32_t window_bursts) {
    return (size_t)((neuron_count + 31) / 32) * 4 * window_bursts;
}

void spk_ledger_init(spk_ledger_t *ledger, void *memory, uint32_t neuron_count, uint32_t window_bursts,
                     uint32_t burst) {
    SPK_ASSERT(window_bursts >= 1);
    memset(ledger, 0, sizeof *ledger);
    memset(memory, 0, spk_ledger_bytes(neuron_count, window_bursts));
    ledger->frames = memory;
    ledger->neuron_count = neuron_count;
    ledger->words_per_frame = (neuron_count + 31) / 32;
    ledger->window_bursts = window_bursts;
    ledger->last_burst = burst;
    ledger->held_bursts = burst == 0 ? 0 : window_bursts;
}

/* The frame `age` bursts before the newest; age < window_bursts. */
static uint32_t *frame_at(const spk_ledger_t *ledger, uint32_t age) {
    uint32_t place = ledger->newest >= age ? ledger->newest - age : ledger->newest + ledger->window_bursts - age;
    return ledger->frames + (size_t)place * ledger->words_per_frame;
}

/* The oldest frame's place becomes the newest's. */
static uint32_t *next_frame(spk_ledger_t *ledger) {
    ledger->newest = ledger->newest + 1 == ledger->window_bursts ? 0 : ledger->newest + 1;
    ledger->held_bursts += ledger->held_bursts < ledger->window_bursts;
    return frame_at(ledger, 0);
}

/* Copy the area's bits out of the bitmap over all neurons. */
static void copy_bits(const spk_ledger_t *ledger, uint32_t *frame, const uint32_t *fired) {
    uint32_t shift = ledger->neuron_first & 31u;
    const uint32_t *from = fired + ledger->neuron_first / 32;
    uint32_t last_word = (ledger->neuron_first + ledger->neuron_count - 1) / 32 - ledger->neuron_first / 32;
    for (uint32_t i = 0; i < ledger->words_per_frame; i++) {
        uint32_t word = from[i] >> shift;
        if (shift != 0 && i + 1 <= last_word) {
            word |= from[i + 1] << (32 - shift);
        }
        frame[i] = word;
    }
    if (ledger->neuron_count % 32 != 0) {
        frame[ledger->words_per_frame - 1] &= (1u << ledger->neuron_count % 32) - 1;
    }
}

int spk_ledger_push(spk_ledger_t *ledger, uint32_t burst, const uint32_t *fired) {
    if (burst <= ledger->last_burst) {
        return SPK_ERROR_HISTORY;
    }
    uint32_t empty = burst - ledger->last_burst - 1;
    for (uint32_t i = 0; i < empty && i < ledger->window_bursts; i++) {
        memset(next_frame(ledger), 0, ledger->words_per_frame * 4);
    }
    copy_bits(ledger, next_frame(ledger), fired);
    ledger->last_burst = burst;
    return SPK_OK;
}

int spk_ledger_frame(const spk_ledger_t *ledger, uint32_t end, uint32_t depth, uint32_t index,
                     const uint32_t **frame) {
    if (depth == 0 || depth > ledger->window_bursts || index >= depth) {
        return SPK_ERROR_DEPTH;
    }
    if (end > ledger->last_burst) {
        return SPK_ERROR_FUTURE;
    }
    uint32_t age = ledger->last_burst - end;
    if (age >= ledger->held_bursts || depth > ledger->held_bursts - age) {
        return SPK_ERROR_HISTORY;
    }
    *frame = frame_at(ledger, age + depth - 1 - index);
    return SPK_OK;
}
