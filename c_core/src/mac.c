/* key + message -> tag: Chaskey-12 */
#include "espike/mac.h"

#include "bytes.h"

#define ROUNDS 12

static uint32_t turned(uint32_t word, unsigned count) { return word << count | word >> (32 - count); }

static void permute(uint32_t *v) {
    for (int round = 0; round < ROUNDS; round++) {
        v[0] += v[1];
        v[1] = turned(v[1], 5) ^ v[0];
        v[0] = turned(v[0], 16);
        v[2] += v[3];
        v[3] = turned(v[3], 8) ^ v[2];
        v[0] += v[3];
        v[3] = turned(v[3], 13) ^ v[0];
        v[2] += v[1];
        v[1] = turned(v[1], 7) ^ v[2];
        v[2] = turned(v[2], 16);
    }
}

static void mix(uint32_t *state, const uint32_t *words) {
    for (int i = 0; i < 4; i++) {
        state[i] ^= words[i];
    }
}

static void mix_block(spk_mac_t *mac) {
    for (int i = 0; i < 4; i++) {
        mac->state[i] ^= spk_load32(mac->block + 4 * i);
    }
}

/* key *= x in GF(2^128) with x^128 + x^7 + x^2 + x + 1 */
static void double_key(uint32_t *key) {
    uint32_t carry = key[3] >> 31;
    for (int i = 3; i > 0; i--) {
        key[i] = key[i] << 1 | key[i - 1] >> 31;
    }
    key[0] = key[0] << 1 ^ (carry != 0 ? 0x87u : 0);
}

void spk_mac_begin(spk_mac_t *mac, const uint8_t *key) {
    memset(mac, 0, sizeof *mac);
    for (int i = 0; i < 4; i++) {
        mac->key[i] = mac->state[i] = spk_load32(key + 4 * i);
    }
}

void spk_mac_push(spk_mac_t *mac, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (mac->held == sizeof mac->block) {
            mix_block(mac);
            permute(mac->state);
            mac->held = 0;
        }
        mac->block[mac->held++] = bytes[i];
    }
}

void spk_mac_end(spk_mac_t *mac, uint8_t *tag) {
    double_key(mac->key);
    if (mac->held < sizeof mac->block) {
        double_key(mac->key);
        memset(mac->block + mac->held, 0, sizeof mac->block - mac->held);
        mac->block[mac->held] = 1;
    }
    mix_block(mac);
    mix(mac->state, mac->key);
    permute(mac->state);
    mix(mac->state, mac->key);
    for (int i = 0; i < 4; i++) {
        spk_store32(tag + 4 * i, mac->state[i]);
    }
}
