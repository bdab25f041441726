/* link frames -> bursts -> link frames: the one application of every board. docs/link.md specifies the messages. */
#ifndef ESPIKE_APP_H
#define ESPIKE_APP_H

#include "espike/engine.h"
#include "espike/link.h"
#include "espike/mac.h"
#include "espike/segment.h"
#include "espike/senses.h"
#include "espike/store.h"
#include "espike/transfer.h"
#include "port.h"

#define APP_PROTOCOL_VERSION 2
#define APP_PAYLOAD_BYTES 1028 /* a whole piece of a transfer, and where it goes */
#define APP_STIMULUS_BYTES APP_PAYLOAD_BYTES
#define APP_STREAMS 4

/* What a build may leave out, with -D...=0; what nobody names is not linked. */
#ifndef APP_FP32
#define APP_FP32 1 /* networks in binary32, and in binary16 */
#endif
#ifndef APP_SEGMENT_2
#define APP_SEGMENT_2 1 /* telemetry in segments of version 2 */
#endif
#if APP_SEGMENT_2
#define APP_SEGMENT_CODING spk_segment_version_2()
#else
#define APP_SEGMENT_CODING NULL
#endif
#ifndef APP_SLEEP
#define APP_SLEEP 1 /* sleep that the network's state outlasts */
#endif
#ifndef APP_LEARNING
#define APP_LEARNING 1 /* networks whose weights learn */
#endif
#ifndef APP_TRAINED
#define APP_TRAINED 1 /* networks with neuron models */
#endif
#ifndef APP_SENSES
#define APP_SENSES 1 /* raw samples in, answers out */
#endif
#if APP_LEARNING
#define APP_INT8_KERNEL spk_kernel_int8_learning
#define APP_FP16_KERNEL spk_kernel_fp16_learning
#define APP_FP32_KERNEL spk_kernel_fp32_learning
#elif APP_TRAINED
#define APP_INT8_KERNEL spk_kernel_int8_trained
#define APP_FP16_KERNEL spk_kernel_fp16_trained
#define APP_FP32_KERNEL spk_kernel_fp32_trained
#else
#define APP_INT8_KERNEL spk_kernel_int8
#define APP_FP16_KERNEL spk_kernel_fp16
#define APP_FP32_KERNEL spk_kernel_fp32
#endif
#if APP_FP32
#define APP_KERNEL(precision)                                       \
    ((precision) == SPK_PRECISION_FP32   ? &APP_FP32_KERNEL         \
     : (precision) == SPK_PRECISION_FP16 ? &APP_FP16_KERNEL         \
                                         : &APP_INT8_KERNEL)
#else
#define APP_KERNEL(precision) (&APP_INT8_KERNEL)
#endif

enum { /* requests; a reply has bit 7 set */
    MESSAGE_HELLO = 1,
    MESSAGE_BEGIN,
    MESSAGE_WRITE,
    MESSAGE_COMMIT,
    MESSAGE_RESET,
    MESSAGE_RUN,
    MESSAGE_INJECT,
    MESSAGE_STATE,
    MESSAGE_POTENTIALS,
    MESSAGE_STOP,
    MESSAGE_REBOOT,
    MESSAGE_READ,
    MESSAGE_TELEMETRY,
    MESSAGE_CHECK,
    MESSAGE_SELF_TEST,
    MESSAGE_KEY,
    MESSAGE_SLEEP,
    MESSAGE_SENSE,
    MESSAGE_DATA = 64, /* board to host: a piece of a run's record stream */
    MESSAGE_DONE,      /* board to host: a run has ended */
    MESSAGE_SEGMENT,   /* board to host: a piece of a stream's segment */
    MESSAGE_ERROR = 127
};
#define MESSAGE_REPLY 128

enum { /* why a request was refused; negative codes are the core's */
    APP_ERROR_UNKNOWN = 1,  /* no such request */
    APP_ERROR_LENGTH,       /* its payload has the wrong length */
    APP_ERROR_BUSY,         /* a run is on */
    APP_ERROR_EMPTY,        /* no image */
    APP_ERROR_ORDER,        /* a write that does not continue the last one; detail: expected offset */
    APP_ERROR_FLASH,        /* the flash did not take it; detail: offset */
    APP_ERROR_SIZE,         /* more than the slot holds; detail: slot bytes */
    APP_ERROR_VALUE,        /* a field out of range */
    APP_ERROR_BASE,         /* a difference to another image; detail: the CRC of the one that is here */
    APP_ERROR_TEST,         /* the self-test did not yield what it should; detail: the burst it ended at */
    APP_ERROR_KEY,          /* a write whose tag is not that of the board's key */
    APP_ERROR_SENSES        /* the image has no senses */
};

enum { /* flags of a run */
    RUN_FIRED = 1,       /* records carry fired ids */
    RUN_HASHES = 2,      /* records carry both state hashes */
    RUN_REALTIME = 4,    /* one burst per period */
    RUN_LOSSY = 8,       /* drop whole records and segments rather than wait for the wire */
    RUN_SEGMENTS = 16    /* streams of TELEMETRY take every burst */
};

enum { /* what a stream takes */
    STREAM_FIRED = 0,    /* ids that fired */
    STREAM_POTENTIALS,
    STREAM_STIMULUS      /* what was injected */
};

/* One stream of telemetry. Its work memory, values and segment buffer lie in the arena, behind the network. */
typedef struct {
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    uint8_t *values;       /* STREAM_STIMULUS: 4 bytes per neuron, of the coming burst */
    uint32_t first;
    uint32_t count;
    uint32_t first_burst;  /* of the open segment */
    uint32_t frames;       /* in it */
    uint8_t source;
    uint8_t kind;
    uint8_t type;
} app_stream_t;

/* All of the application's memory; static in app.c. */
typedef struct {
    const spk_port_t *port;
    spk_image_t image;
    spk_engine_t engine;
    uint8_t has_image;
    uint8_t running;
    uint8_t run_flags;
    uint8_t run_sequence;     /* of the request that began the run */
    uint8_t data_sequence;
    uint8_t stimulus_done;    /* no entry waits */
    uint32_t run_left;        /* bursts still to run; UINT32_MAX: until stopped */
    uint32_t run_period_us;
    uint64_t run_due_us;
    uint32_t record_burst;    /* burst of the last record sent */
    uint32_t overruns;
    uint32_t link_errors;
    uint32_t dropped;         /* records, and frames of streams */
    uint64_t cycles_total;
    uint64_t cycles_most;
    spk_flash_t flash;
    spk_store_t store;
    uint32_t slot;            /* whose image runs */
    uint32_t arena_bytes;     /* of the arena, without what the image takes */
    spk_transfer_t *transfer; /* in the arena; NULL: none is on */
    uint32_t transfer_crc;    /* of its image */
    uint32_t transfer_bytes;
    uint8_t transfer_waits;   /* 1: no bytes may come before one more write without any */
    uint32_t attempts;        /* tags looked at, from the clock on: no challenge comes twice */
    int32_t trial_error;
    uint32_t trial_error_offset;
    int32_t image_error;      /* why has_image is 0 */
    uint32_t image_error_offset;
    spk_link_receiver_t receiver;
    uint32_t stimulus_length; /* bytes of `stimulus` */
    uint32_t stimulus_at;
    uint32_t stimulus_burst;  /* burst of the entry at stimulus_at */
    uint32_t stimulus_neuron;
    uint32_t stimulus_value;
    uint32_t stream_length;   /* payload bytes waiting in `stream` */
    uint32_t sleep_us;        /* 0: stay awake */
    uint32_t flush_bursts;    /* a stream's segment is closed after so many; 0: when it is full */
    spk_senses_t senses;
    int32_t *sample;          /* in the arena: the sample that is coming */
    uint32_t sample_count;    /* values of it that have come */
    uint8_t senses_on;        /* a presentation is on */
    uint8_t stream_count;
    app_stream_t streams[APP_STREAMS];
    uint8_t received[SPK_LINK_HEAD_BYTES + APP_PAYLOAD_BYTES + SPK_LINK_TAIL_BYTES];
    uint8_t reply[SPK_LINK_HEAD_BYTES + APP_PAYLOAD_BYTES + SPK_LINK_TAIL_BYTES];
    uint8_t stream[SPK_LINK_HEAD_BYTES + APP_PAYLOAD_BYTES + SPK_LINK_TAIL_BYTES];
    uint8_t stimulus[APP_STIMULUS_BYTES];
} app_t;

/* Start from the image in flash, if it holds one. */
void app_init(void);

/* Handle what has arrived, run at most one burst. Returns microseconds that nothing is due, 0 = call again now. */
uint32_t app_poll(void);

/* install.c: the image slots. */
void app_open_store(app_t *app);
void app_end_transfer(app_t *app);
int app_begin(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
int app_write(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
uint32_t app_put_transfer(const app_t *app, uint8_t *out);
int app_commit(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
int app_check(const app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out);
int app_key(app_t *app, const uint8_t *payload, uint32_t length);
int app_start_engine(app_t *app, int track_potentials);

/* run.c: bursts, stimulus in, records out. */
int app_run(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
int app_inject(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
uint32_t app_run_burst(app_t *app);
void app_end_run(app_t *app);
int app_self_test(app_t *app, uint32_t *detail);
void app_flush_records(app_t *app);
void app_count_cycles(app_t *app, uint64_t cycles);
uint32_t app_put_state(const app_t *app, uint8_t *out);

/* telemetry.c: streams of segments. What was injected is noted as it comes, and forgotten with its burst. */
int app_telemetry(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *used, uint32_t *detail);
void app_note_stimulus(app_t *app, uint32_t neuron, uint32_t value);
void app_forget_stimulus(app_t *app);
void app_stream_burst(app_t *app);
void app_flush_telemetry(app_t *app);

/* senses.c: samples, answers. Returns the reply's length or a negative error. */
int app_sense(app_t *app, const uint8_t *payload, uint32_t length, uint8_t *out, uint32_t *detail);

/* sleep.c: the network's state outlasts a sleep, where there is room for it. */
int app_sleep(app_t *app, const uint8_t *payload, uint32_t length, uint32_t *detail);
void app_wake(app_t *app);

/* authentic.c: what proves that a write comes from a holder of the board's key. */
#define APP_CHALLENGE_BYTES 8
void app_put_challenge(const app_t *app, uint8_t *out);
spk_mac_t app_begin_tag(app_t *app, uint8_t type);
int app_is_tag(spk_mac_t *mac, const uint8_t *tag);

/* Send `length` bytes of payload in buffer + SPK_LINK_HEAD_BYTES as one message. */
void app_send(uint8_t *buffer, uint8_t type, uint8_t sequence, uint32_t length);
uint32_t app_get32(const uint8_t *bytes);
uint32_t app_put32(uint8_t *bytes, uint32_t at, uint32_t value);
uint32_t app_put_words(uint8_t *bytes, uint32_t at, const uint32_t *words, uint32_t count);
uint32_t app_put64(uint8_t *bytes, uint32_t at, uint64_t value);

#endif
