/* challenge + key -> tag: a write is served only to who knows the board's key, and an old one never again. */
#include "app.h"

/* The journal's sequence grows with every image, the attempts with every tag, from where the clock stood. */
void app_put_challenge(const app_t *app, uint8_t *out) {
    app_put32(out, app_put32(out, 0, app->store.sequence), app->attempts);
}

spk_mac_t app_begin_tag(app_t *app, uint8_t type) {
    spk_mac_t mac;
    uint8_t head[APP_CHALLENGE_BYTES + 1];
    app_put_challenge(app, head);
    head[APP_CHALLENGE_BYTES] = type;
    app->attempts++;
    spk_mac_begin(&mac, app->store.key);
    spk_mac_push(&mac, head, sizeof head);
    return mac;
}

/* In a time that does not depend on where they differ. */
int app_is_tag(spk_mac_t *mac, const uint8_t *tag) {
    uint8_t right[SPK_MAC_BYTES];
    uint8_t different = 0;
    spk_mac_end(mac, right);
    for (int i = 0; i < SPK_MAC_BYTES; i++) {
        different = (uint8_t)(different | (right[i] ^ tag[i]));
    }
    return different == 0;
}
