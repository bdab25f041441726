/* key + message -> tag: Chaskey-12 (Mouha et al. 2014; ISO/IEC 29192-6), made for chips with 32-bit words. */
#ifndef ESPIKE_MAC_H
#define ESPIKE_MAC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

#define SPK_MAC_BYTES 16 /* of a key, and of a tag */

/* A tag in the making, in the caller's memory. */
typedef struct {
    uint32_t key[4];
    uint32_t state[4];
    uint8_t block[16];
    uint32_t held; /* bytes in block */
} spk_mac_t;

/* Begin with a key of SPK_MAC_BYTES; take message bytes, any number at a time; write the tag of SPK_MAC_BYTES. */
void spk_mac_begin(spk_mac_t *mac, const uint8_t *key);
void spk_mac_push(spk_mac_t *mac, const uint8_t *bytes, size_t count);
void spk_mac_end(spk_mac_t *mac, uint8_t *tag);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
