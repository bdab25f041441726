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
    ledger->first_burst = burst >= window_bursts ? burst - window_bursts + 1 : 1;
}

static uint32_t *frame_of(const spk_ledger_t *ledger, uint32_t burst) {
    return ledger->frames + (size_t)(burst % ledger->window_bursts) * ledger->words_per_frame;
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
    uint32_t gap = burst - ledger->last_burst - 1;
    for (uint32_t i = 0; i < gap && i < ledger->window_bursts; i++) {
        memset(frame_of(ledger, burst - 1 - i), 0, ledger->words_per_frame * 4);
    }
    copy_bits(ledger, frame_of(ledger, burst), fired);
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
    uint32_t oldest = ledger->first_burst;
    if (ledger->last_burst >= ledger->window_bursts && ledger->last_burst - ledger->window_bursts + 1 > oldest) {
        oldest = ledger->last_burst - ledger->window_bursts + 1;
    }
    if (end < depth || end - depth + 1 < oldest) {
        return SPK_ERROR_HISTORY;
    }
    *frame = frame_of(ledger, end - depth + 1 + index);
    return SPK_OK;
}
