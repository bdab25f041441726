/* bytes -> link frames: a receiver of every capacity takes any bytes. Built under sanitizers.
 *
 * Each input's first byte chooses the receiver's capacity, the rest is the wire. As a program the input is standard
 * input and every frame is printed in hexadecimal; with -DFUZZER the same is a libFuzzer target. What was received
 * is also sent again and must come back as it was. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espike/link.h"

static const uint32_t capacities[] = {0, 1, 5, 6, 7, 8, 64, 255, 256, 260, 1030, 70000};

typedef struct {
    uint8_t *bytes;
    size_t count;
} wire_t;

static void keep(void *context, const uint8_t *bytes, size_t count) {
    wire_t *wire = context;
    if (count != 0) {
        memcpy(wire->bytes + wire->count, bytes, count);
    }
    wire->count += count;
}

/* Send a frame that was received, and receive it again. */
static void echo(const uint8_t *frame, size_t length) {
    uint8_t *buffer = malloc(length + SPK_LINK_TAIL_BYTES);
    uint8_t *again = malloc(length + SPK_LINK_TAIL_BYTES);
    wire_t wire = {malloc(2 * (length + SPK_LINK_TAIL_BYTES) + 2), 0};
    spk_link_receiver_t receiver;
    int found = 0;
    if (buffer == NULL || again == NULL || wire.bytes == NULL) {
        abort();
    }
    memcpy(buffer, frame, length);
    spk_link_send(buffer, length - SPK_LINK_HEAD_BYTES, keep, &wire);
    spk_link_receiver_init(&receiver, again, (uint32_t)length + SPK_LINK_TAIL_BYTES);
    for (size_t i = 0; i < wire.count; i++) {
        if (found != 0 || (wire.bytes[i] == 0) != (i + 1 == wire.count)) {
            abort();
        }
        found = spk_link_push(&receiver, wire.bytes[i]);
    }
    if (found != (int)length || memcmp(again, frame, length) != 0) {
        abort();
    }
    free(buffer);
    free(again);
    free(wire.bytes);
}

static void receive(const uint8_t *data, size_t size, int print) {
    if (size == 0) {
        return;
    }
    uint32_t capacity = capacities[data[0] % (sizeof capacities / sizeof capacities[0])];
    uint8_t *buffer = malloc(capacity != 0 ? capacity : 1);
    spk_link_receiver_t receiver;
    if (buffer == NULL) {
        abort();
    }
    spk_link_receiver_init(&receiver, buffer, capacity);
    for (size_t i = 1; i < size; i++) {
        int length = spk_link_push(&receiver, data[i]);
        if (length < 0 && length != SPK_ERROR_FRAME) {
            abort();
        }
        if (length > 0) {
            if (length < SPK_LINK_HEAD_BYTES || (uint32_t)length + SPK_LINK_TAIL_BYTES > capacity) {
                abort();
            }
            echo(buffer, (size_t)length);
        }
        for (int k = 0; print && k < length; k++) {
            printf("%02x%s", buffer[k], k + 1 == length ? "\n" : "");
        }
    }
    free(buffer);
}

#ifdef FUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    receive(data, size, 0);
    return 0;
}

#else

int main(void) {
    size_t size = 0;
    size_t room = 1 << 24;
    uint8_t *data = malloc(room);
    if (data == NULL) {
        return 2;
    }
    size = fread(data, 1, room, stdin);
    receive(data, size, 1);
    free(data);
    return 0;
}

#endif
