/* entry points -> link: what a firmware of one number type calls of the core, for the size of the code it carries.
 * -DLINK_KERNEL names the type. Never run: the calls are kept because main is. */
#include "espike/engine.h"
#include "espike/link.h"

#ifndef LINK_KERNEL
#define LINK_KERNEL spk_kernel_int8
#endif

int main(void);

static void write_nothing(void *context, const uint8_t *bytes, size_t count) {
    (void)context;
    (void)bytes;
    (void)count;
}

static uint32_t run(spk_engine_t *engine, spk_ledger_t *ledger, void *memory) {
    const uint32_t *frame = memory;
    spk_ledger_init(ledger, memory, spk_engine_area_count(engine, 0), 1, engine->burst);
    spk_engine_track(engine, ledger, 0);
    int result = spk_engine_inject(engine, spk_engine_area_first(engine, 0), 1);
    result += spk_engine_inject_check(engine, 0, 1);
    result += (int)spk_engine_burst(engine);
    result += spk_ledger_frame(ledger, 1, 1, 0, &frame);
    return (uint32_t)result + spk_engine_next_fired(engine, 0) + spk_engine_potential(engine, 0) +
           spk_engine_area(engine, 0) + engine->potential_hash[0] + *frame;
}

int main(void) {
    static spk_image_t image;
    static spk_engine_t engine;
    static spk_ledger_t ledger;
    static spk_link_receiver_t receiver;
    static uint64_t memory[64];
    uint8_t *bytes = (uint8_t *)memory;
    int result = spk_image_open(&image, bytes, sizeof memory);
    result += spk_image_network_hash(&image)[0];
    result += spk_engine_init(&engine, &image, &LINK_KERNEL, memory, spk_engine_ram_bytes(&image), 1);
    result += (int)run(&engine, &ledger, memory) + (int)spk_ledger_bytes(1, 1);
    spk_link_receiver_init(&receiver, bytes, sizeof memory);
    result += spk_link_push(&receiver, bytes[0]);
    spk_link_send(bytes, 0, write_nothing, &receiver);
    return result + spk_error_name(result)[0];
}
