/* frames -> segment -> frames behind handles: the codec for a host that cannot hold C structs (docs/segment.md).
 *
 * The same names are exported by segment.wasm, where a pointer is 32 bits, and by libespike_segment.so, where it is the
 * machine's. All state lies in static pools: at most TTC_STREAMS streams, one arena for their memory and for ttc_alloc.
 * Not for several threads at once; a WebAssembly instance or a process has its own pools.
 *
 * A call returns 0 or a negative error: of the core (espike/error.h) or of ttc_error_t. A call that fails changes
 * nothing but what ttc_last_error tells. Pointers are to memory of the host (in WebAssembly: behind the module's own,
 * where memory.grow made it) or to what ttc_alloc gave; floats and uint32 lie on a multiple of 4. */
#ifndef ESPIKE_TTC_H
#define ESPIKE_TTC_H

#include <stdint.h>

#include "espike/segment.h"

#define TTC_STREAMS 64u
#define TTC_MOST_LEN (1u << 20)           /* values of a frame that a stream takes */
#define TTC_BUFFER_FRAMES 256u            /* a stream's segment buffer takes so many frames, */
#define TTC_BUFFER_BYTES (256u << 10)     /* as long as that is not more than this; in any case one */

#pragma GCC visibility push(default)

/* cffi begin */

typedef enum {
    TTC_ERROR_NULL = -101,    /* detail: which argument, from 1 on, is NULL; */
    TTC_ERROR_POINTER = -102, /* points outside the memory, or into what is not the host's; */
    TTC_ERROR_ALIGN = -103,   /* is not on a multiple of 4; */
    TTC_ERROR_OVERLAP = -104, /* shares bytes with another one */
    TTC_ERROR_HANDLE = -105,  /* no such stream, or it was freed; detail: the handle */
    TTC_ERROR_LENGTH = -106,  /* a length that cannot be; detail: the one expected, or the most */
    TTC_ERROR_STREAMS = -107, /* all streams are in use; detail: how many there are */
    TTC_ERROR_MEMORY = -108,  /* the arena has no room; detail: bytes asked for */
    TTC_ERROR_STARTED = -109, /* the stream has taken a frame */
} ttc_error_t;

/* What a segment tells before it is decoded. */
typedef struct {
    uint32_t version;
    uint32_t kind; /* spk_segment_kind_t */
    uint32_t bits;
    uint32_t group_len;
    uint32_t group_count;
    uint32_t tensor_len;
    uint32_t frame_count;
    uint32_t block_frames; /* version 2 */
    uint32_t byte_count;   /* the next segment begins behind so many */
    uint32_t bounded;      /* version 2: it says that nothing was clamped */
} ttc_info_t;

/* A stream of frames of 1 .. TTC_MOST_LEN floats, with spk_segment_policy_default or with these parts of it in its
 * place: warm_bits 3, 5, 7 or 8; drift_pct_q8 of every tier, in 1/256. A drift beyond 198 lowers low_q8 to what goes
 * with it. A handle is never 0 and never comes again soon. Errors: NULL, POINTER, ALIGN, LENGTH, STREAMS, MEMORY,
 * SPK_ERROR_PARAMETER. */
int32_t ttc_create(uint32_t len, uint32_t now_ts, uint32_t *out_handle);
int32_t ttc_create_with_policy(uint32_t len, uint32_t now_ts, uint32_t hot_min_score, uint32_t warm_min_score,
                               uint32_t warm_bits, uint32_t drift_pct_q8, uint32_t group_len, uint32_t *out_handle);

/* The other parts of the policy, before the first frame: version 1 or 2, headroom 0 or 1, low_q8 0..256,
 * hysteresis_frames 1..255, block_frames 1..65535. Errors: HANDLE, STARTED, MEMORY, SPK_ERROR_PARAMETER. */
int32_t ttc_configure(uint32_t handle, uint32_t version, uint32_t headroom, uint32_t low_q8,
                      uint32_t hysteresis_frames, uint32_t block_frames);

/* End a stream; frames that were not flushed are gone. */
int32_t ttc_free(uint32_t handle);

/* Record an access, or set both figures: the tier follows from them. */
int32_t ttc_touch(uint32_t handle, uint32_t now_ts);
int32_t ttc_set_access(uint32_t handle, uint32_t count, uint32_t last_ts);

/* Add a frame of `len` floats, the stream's length. Where it begins a new segment the one before is written to `out`;
 * *out_written = its bytes, else 0. `out` may be NULL where out_cap is 0. SPK_ERROR_BUFFER: *out_written = bytes that
 * `out` must have; push the frame again with them. SPK_ERROR_SCALE: binary16 cannot hold the scale of a group (detail),
 * the frame is not taken. After any error a segment that was complete waits for the next push or flush. */
int32_t ttc_push_frame(uint32_t handle, uint32_t ts, const float *in, uint32_t len, uint8_t *out, uint32_t out_cap,
                       uint32_t *out_written);

/* End the open segment -> its bytes; *out_written = 0 where no frame was open. SPK_ERROR_BUFFER as above. */
int32_t ttc_flush(uint32_t handle, uint8_t *out, uint32_t out_cap, uint32_t *out_written);

/* All frames of the segment that begins at `seg`, more may lie behind it: frame_count * tensor_len floats, integers
 * rounded to float, members of sets as 1 and others as 0. out_cap and *out_written count floats. SPK_ERROR_BUFFER:
 * *out_written = floats needed. Errors of spk_segment_open (detail: byte), SPK_ERROR_CODE (detail: frame), LENGTH (more
 * floats than can be counted), MEMORY. */
int32_t ttc_decode_segment(const uint8_t *seg, uint32_t seg_len, float *out, uint32_t out_cap, uint32_t *out_written);

/* The head of a checked segment, and the bound of each group as spk_segment_bound. */
int32_t ttc_segment_info(const uint8_t *seg, uint32_t seg_len, ttc_info_t *out);
int32_t ttc_segment_bounds(const uint8_t *seg, uint32_t seg_len, float *out, uint32_t out_cap, uint32_t *out_written);

/* Memory for the host, aligned to 8. dealloc takes the size again: POINTER where it is nothing that alloc gave or was
 * given back, LENGTH where the size differs. */
int32_t ttc_alloc(uint32_t size, void **out_ptr);
int32_t ttc_dealloc(void *ptr, uint32_t cap);

/* What the latest of the calls above returned, the number that goes with it, and a name: static text, never NULL. */
int32_t ttc_last_error(void);
uint32_t ttc_last_detail(void);
const char *ttc_error_name(int32_t error);

/* cffi end */

#pragma GCC visibility pop

#endif
