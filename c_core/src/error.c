/* error -> name */
#include "espike/error.h"

const char *spk_error_name(int error) {
    static const char *const names[] = {
        "ok",        "truncated", "no espike image",  "unknown version", "damaged (CRC)", "bad layout",
        "bad row",   "bad parameter", "precision not run", "too little RAM", "no such neuron or not ascending",
        "bad stimulus", "area not tracked", "deeper than the window", "after the last burst", "before the history",
        "bad frame", "float arithmetic is not exact binary32", "scale beyond binary16", "buffer too small",
        "coded value out of range", "learning or driven weights not run", "the flash failed",
        "bad transfer", "neuron models not run",
    };
    int index = error >= 0 ? 0 : error < -1000 ? 1000 : -error;
    return index < (int)(sizeof names / sizeof names[0]) ? names[index] : "unknown error";
}
