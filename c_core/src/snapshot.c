/* engine <-> bytes: what the next burst depends on. */
#include "kernel.h"

typedef struct {
    spk_counters_t counters;
    uint32_t hash[2];
    uint32_t potential_hash[2];
    uint32_t frame;
    uint32_t burst;
    uint32_t fired_count;
    uint32_t next_injected;
    uint32_t track_potentials;
    uint32_t reserved;
} snapshot_t;

size_t spk_engine_snapshot_bytes(const spk_image_t *image) { return sizeof(snapshot_t) + spk_engine_ram_bytes(image); }

void spk_engine_save(const spk_engine_t *engine, uint8_t *bytes) {
    const snapshot_t head = {
        engine->counters, {engine->hash[0], engine->hash[1]}, {engine->potential_hash[0], engine->potential_hash[1]},
        engine->frame, engine->burst, engine->fired_count, engine->next_injected, engine->track_potentials, 0,
    };
    SPK_ASSERT(engine->image->expansion == NULL);
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, engine->arena, spk_engine_ram_bytes(engine->image));
}

void spk_engine_restore(spk_engine_t *engine, const uint8_t *bytes) {
    const uint32_t words = spk_words_for(engine->image->neuron_count);
    const uint32_t frames = spk_frame_count(engine->image);
    snapshot_t head;
    memcpy(&head, bytes, sizeof head);
    memcpy(engine->arena, bytes + sizeof head, spk_engine_ram_bytes(engine->image));
    engine->counters = head.counters;
    memcpy(engine->hash, head.hash, sizeof head.hash);
    memcpy(engine->potential_hash, head.potential_hash, sizeof head.potential_hash);
    engine->frame = head.frame;
    engine->burst = head.burst;
    engine->fired_count = head.fired_count;
    engine->next_injected = head.next_injected;
    engine->track_potentials = head.track_potentials != 0;
    engine->fired = engine->frames + head.frame * words;
    engine->firing = engine->frames + (head.frame + 1 == frames ? 0 : head.frame + 1) * words;
}
