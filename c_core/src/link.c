/* payload <-> link frame */
#include "espike/link.h"

#include "bytes.h"

uint32_t spk_crc32(uint32_t crc, const uint8_t *bytes, size_t count) {
    static const uint32_t nibble[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ nibble[crc & 15u];
        crc = crc >> 4 ^ nibble[crc & 15u];
    }
    return ~crc;
}

static void begin_frame(spk_link_receiver_t *receiver) {
    receiver->length = 0;
    receiver->run = 0;
    receiver->zero_next = 0;
    receiver->overflow = 0;
}

void spk_link_receiver_init(spk_link_receiver_t *receiver, uint8_t *buffer, uint32_t capacity) {
    receiver->buffer = buffer;
    receiver->capacity = capacity;
    begin_frame(receiver);
}

static void append(spk_link_receiver_t *receiver, uint8_t byte) {
    if (receiver->length == receiver->capacity) {
        receiver->overflow = 1;
        return;
    }
    receiver->buffer[receiver->length++] = byte;
}

static int end_frame(spk_link_receiver_t *receiver) {
    uint32_t length = receiver->length;
    int broken = receiver->overflow || receiver->run != 0;
    int empty = length == 0 && !broken;
    begin_frame(receiver);
    if (empty) {
        return 0;
    }
    if (broken || length < SPK_LINK_HEAD_BYTES + SPK_LINK_TAIL_BYTES) {
        return SPK_ERROR_FRAME;
    }
    length -= SPK_LINK_TAIL_BYTES;
    if (spk_crc32(0, receiver->buffer, length) != spk_load32(receiver->buffer + length)) {
        return SPK_ERROR_FRAME;
    }
    return (int)length;
}

int spk_link_push(spk_link_receiver_t *receiver, uint8_t byte) {
    if (byte == 0) {
        return end_frame(receiver);
    }
    if (receiver->run != 0) {
        receiver->run--;
        append(receiver, byte);
        return 0;
    }
    if (receiver->zero_next) {
        append(receiver, 0);
    }
    receiver->run = (uint8_t)(byte - 1);
    receiver->zero_next = byte != 255;
    return 0;
}

void spk_link_send(uint8_t *buffer, size_t payload_bytes, spk_link_write_t *write, void *context) {
    static const uint8_t zero = 0;
    size_t length = payload_bytes + SPK_LINK_HEAD_BYTES;
    spk_store32(buffer + length, spk_crc32(0, buffer, length));
    length += SPK_LINK_TAIL_BYTES;
    for (size_t begin = 0; begin <= length;) {
        size_t run = 0;
        while (run < 254 && begin + run < length && buffer[begin + run] != 0) {
            run++;
        }
        uint8_t code = (uint8_t)(run + 1);
        write(context, &code, 1);
        write(context, buffer + begin, run);
        begin += run;
        if (run < 254) {
            begin++; /* the zero byte, or the end */
        } else if (begin == length) {
            break; /* a full run at the end needs no empty one behind it */
        }
    }
    write(context, &zero, 1);
}
