/* error -> name: every negative result of the core, one table. */
#ifndef ESPIKE_ERROR_H
#define ESPIKE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* A function of the core returns 0 or a count on success and one of these on failure. */
typedef enum {
    SPK_OK = 0,
    SPK_ERROR_TRUNCATED = -1,  /* fewer bytes than the header promises */
    SPK_ERROR_MAGIC = -2,      /* not an espike image */
    SPK_ERROR_VERSION = -3,    /* a format version that this build does not read */
    SPK_ERROR_CRC = -4,        /* a CRC-32 does not match: damaged bytes */
    SPK_ERROR_LAYOUT = -5,     /* an offset, size, count or reserved field is out of range */
    SPK_ERROR_ROW = -6,        /* a synapse row does not decode inside its area */
    SPK_ERROR_PARAMETER = -7,  /* a neuron parameter is out of range */
    SPK_ERROR_PRECISION = -8,  /* the image's precision is not the kernel's */
    SPK_ERROR_RAM = -9,        /* the arena is too small or not 8-byte aligned */
    SPK_ERROR_NEURON = -10,    /* no such neuron, or entries not strictly ascending */
    SPK_ERROR_STIMULUS = -11,  /* a stimulus value beyond the area's limit, or not finite */
    SPK_ERROR_NOT_TRACKED = -12,  /* the ledger does not track this area */
    SPK_ERROR_DEPTH = -13,     /* a ledger query deeper than its window, or of 0 bursts */
    SPK_ERROR_FUTURE = -14,    /* a ledger query that ends after the last burst */
    SPK_ERROR_HISTORY = -15,   /* a ledger query that begins before the history */
    SPK_ERROR_FRAME = -16,     /* a link frame that is too long, too short or damaged */
    SPK_ERROR_FLOAT = -17,     /* this build's float arithmetic is not IEEE binary32 without contraction */
    SPK_ERROR_SCALE = -18,     /* binary16 cannot hold a group's scale: use segment version 2 */
    SPK_ERROR_BUFFER = -19,    /* the buffer is too small */
    SPK_ERROR_CODE = -20,      /* a coded value out of range */
    SPK_ERROR_LEARNING = -21,  /* weights learn or are driven by potentials: the kernel is none that learns */
    SPK_ERROR_FLASH = -22,     /* the flash did not take what was written */
    SPK_ERROR_TRANSFER = -23,  /* a transfer's header is damaged, or its bytes do not make the image it names */
    SPK_ERROR_MODEL = -24,     /* areas have neuron models: the kernel is none that knows them */
} spk_error_t;

/* A short name for an error code, "ok" for any non-negative value; static text, never NULL. */
const char *spk_error_name(int error);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
