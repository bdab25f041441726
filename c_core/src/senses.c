/* raw samples -> stimulus, fire queues -> answer: docs/senses.md */
#include "espike/senses.h"

#include "espike/half.h"
#include "kernel.h"

enum { /* words of a record's head */
    SENSES_MAGIC,
    SENSES_BYTES,
    SENSES_CHANNELS, /* encoders in 16..31 */
    SENSES_SAMPLES,
    SENSES_BURSTS, /* of a sample; to settle in 16..31 */
    SENSES_FLAGS,  /* bit 0: presentations begin at the reset; the decoder's kind in 8..15, its margin in 16..31 */
    SENSES_READ_FIRST,
    SENSES_READ_COUNT,
    SENSES_WORDS
};

enum { /* words of an encoder */
    ENCODER_KIND, /* levels or neurons of a channel in 8..15 */
    ENCODER_CHANNELS, /* first channel; channels in 16..31 */
    ENCODER_FIRST, /* neuron of the network */
    ENCODER_LOW,   /* delta: step; value: zero */
    ENCODER_HIGH,  /* level: byte offset of the levels, from the record's begin */
    ENCODER_AMOUNT, /* what a neuron that fires is given; value: the gain, or its multiplier */
    ENCODER_SHIFT, /* value: of the multiplier */
    ENCODER_RESERVED,
    ENCODER_WORDS
};

enum { KIND_RATE, KIND_DELTA, KIND_LEVEL, KIND_LATENCY, KIND_POPULATION, KIND_VALUE, KIND_COUNT };
enum { DECODER_COUNT, DECODER_FIRST, DECODER_POTENTIAL, DECODER_NUMBER, DECODER_KINDS };

#define SENSES_FRESH 1u
#define SPAN_MOST (1 << 24)
#define VALUE_MOST (SPAN_MOST - 1)
#define PER_CHANNEL_MOST 64u
#define SHIFT_MOST 30u
#define PRESENTATION_MOST 0x7FFFFFFFu

static uint32_t decoder_of(const uint32_t *record) { return record[SENSES_FLAGS] >> 8 & 0xFFu; }

static uint32_t margin_of(const uint32_t *record) { return record[SENSES_FLAGS] >> 16; }

static uint32_t encoder_count(const uint32_t *record) { return record[SENSES_CHANNELS] >> 16; }

static const uint32_t *encoder_at(const uint32_t *record, uint32_t index) {
    return record + SENSES_WORDS + index * ENCODER_WORDS;
}

static uint32_t kind_of(const uint32_t *encoder) { return encoder[ENCODER_KIND] & 0xFFu; }

static uint32_t channels_of(const uint32_t *encoder) { return encoder[ENCODER_CHANNELS] >> 16; }

/* Neurons that one channel stimulates. */
static uint32_t per_channel(const uint32_t *encoder) {
    const uint32_t kind = kind_of(encoder);
    if (kind == KIND_LEVEL || kind == KIND_POPULATION) {
        return encoder[ENCODER_KIND] >> 8;
    }
    return kind == KIND_DELTA ? 2 : 1;
}

/* Words of state that one channel has. */
static uint32_t state_words(const uint32_t *encoder) {
    const uint32_t kind = kind_of(encoder);
    if (kind == KIND_POPULATION) {
        return per_channel(encoder);
    }
    return kind == KIND_RATE || kind == KIND_DELTA;
}

/* What follows is for checked records. */

static int32_t level_of(const uint32_t *record, const uint32_t *encoder, uint32_t k) {
    return (int32_t)record[encoder[ENCODER_HIGH] / 4 + k];
}

static int32_t low_of(const uint32_t *encoder) { return (int32_t)encoder[ENCODER_LOW]; }

static int32_t high_of(const uint32_t *encoder) { return (int32_t)encoder[ENCODER_HIGH]; }

static int32_t cut(const uint32_t *encoder, int32_t x) {
    x = x < low_of(encoder) ? low_of(encoder) : x;
    return x > high_of(encoder) ? high_of(encoder) : x;
}

/* high - low, 1 .. SPAN_MOST. */
static int32_t span_of(const uint32_t *encoder) {
    return (int32_t)(encoder[ENCODER_HIGH] - encoder[ENCODER_LOW]);
}

/* a + added; where that is full, it fires and a loses full. Pre: 0 <= *a < full, 0 <= added <= full <= SPAN_MOST. */
static int accumulate(int32_t *a, int32_t added, int32_t full) {
    const int32_t sum = *a + added;
    *a = sum >= full ? sum - full : sum;
    return sum >= full;
}

/* Does channel x fire up (k = 0) or down (k = 1) against the value r that was last told? */
static int fires_delta(const uint32_t *encoder, int32_t *r, int32_t x, uint32_t k) {
    const int64_t change = k == 0 ? (int64_t)x - *r : (int64_t)*r - x;
    if (change < low_of(encoder)) {
        return 0;
    }
    *r = x;
    return 1;
}

/* Is this burst number floor((high - x) * (bursts - 1) / span) of the sample? */
static int fires_latency(const spk_senses_t *senses, const uint32_t *encoder, int32_t x) {
    const uint64_t span = (uint32_t)span_of(encoder);
    const uint64_t late = (uint64_t)(uint32_t)(high_of(encoder) - x) * ((senses->record[SENSES_BURSTS] & 0xFFFFu) - 1);
    const uint64_t begin = senses->burst_of_sample * span;
    return x != low_of(encoder) && begin <= late && late < begin + span;
}

/* Neuron k of a channel: a rate encoder of how near x is to its centre. */
static int fires_population(const uint32_t *encoder, int32_t *a, int32_t x, uint32_t k) {
    const int32_t gaps = (int32_t)per_channel(encoder) - 1;
    const int32_t span = span_of(encoder);
    const int32_t width = span / gaps > 0 ? span / gaps : 1;
    const int32_t off = x - low_of(encoder) - (int32_t)k * span / gaps;
    const int32_t near = width - (off < 0 ? -off : off);
    return accumulate(a, near > 0 ? near : 0, width);
}

/* Does neuron k of channel i fire in the coming burst? `state` is the encoder's. */
static int fires(spk_senses_t *senses, const uint32_t *encoder, int32_t *state, uint32_t k, uint32_t i) {
    const int32_t x = senses->raw[(encoder[ENCODER_CHANNELS] & 0xFFFFu) + i];
    switch (kind_of(encoder)) {
    case KIND_RATE:
        return accumulate(state + i, cut(encoder, x) - low_of(encoder), span_of(encoder));
    case KIND_DELTA:
        return senses->burst_of_sample == 0 && fires_delta(encoder, state + i, x, k);
    case KIND_LEVEL:
        return x >= level_of(senses->record, encoder, k);
    case KIND_LATENCY:
        return fires_latency(senses, encoder, cut(encoder, x));
    default:
        return fires_population(encoder, state + k * channels_of(encoder) + i, cut(encoder, x), k);
    }
}

/* x - zero within +-VALUE_MOST. */
static int32_t value_of(const uint32_t *encoder, int32_t x) {
    int64_t value = (int64_t)x - low_of(encoder);
    value = value > VALUE_MOST ? VALUE_MOST : value;
    return (int32_t)(value < -VALUE_MOST ? -VALUE_MOST : value);
}

#ifdef SPK_INT8_ONLY
static uint32_t float_input(int32_t value, uint32_t gain) {
    (void)value;
    return gain;
}
#else
/* One multiplication, never -0. */
static uint32_t float_input(int32_t value, uint32_t gain) {
    const float product = (float)value * spk_float_from_bits(gain);
    return product == 0 ? 0 : spk_bits_from_float(product);
}
#endif

/* A value as stimulus, cut to the limit of its area; a limit of 0 gives no -0. */
static uint32_t input_of(const spk_engine_t *engine, const uint32_t *encoder, int32_t value, uint32_t limit) {
    if (SPK_PRECISION_OF(engine->image) != SPK_PRECISION_INT8) {
        const uint32_t bits = float_input(value, encoder[ENCODER_AMOUNT]);
        return (bits & 0x7FFFFFFFu) <= limit ? bits : limit == 0 ? 0 : limit | (bits & 0x80000000u);
    }
    const uint32_t shift = encoder[ENCODER_SHIFT];
    const int64_t code = ((int64_t)value * (int32_t)encoder[ENCODER_AMOUNT] + ((int64_t)1 << shift >> 1)) >> shift;
    const int64_t most = (int32_t)limit;
    return (uint32_t)(int32_t)(code > most ? most : code < -most ? -most : code);
}

static void inject_encoder(spk_senses_t *senses, spk_engine_t *engine, const uint32_t *encoder, int32_t *state) {
    const uint32_t count = channels_of(encoder);
    const uint32_t limit =
        spk_area_record(engine, spk_engine_area(engine, encoder[ENCODER_FIRST]))[AREA_STIMULUS_LIMIT];
    uint32_t neuron = encoder[ENCODER_FIRST];
    for (uint32_t k = 0; k < per_channel(encoder); k++) {
        for (uint32_t i = 0; i < count; i++, neuron++) {
            uint32_t given = encoder[ENCODER_AMOUNT];
            int is_given = 0;
            if (kind_of(encoder) == KIND_VALUE) {
                const int32_t value = value_of(encoder, senses->raw[(encoder[ENCODER_CHANNELS] & 0xFFFFu) + i]);
                is_given = value != 0;
                given = input_of(engine, encoder, value, limit);
            } else {
                is_given = fires(senses, encoder, state, k, i);
            }
            if (is_given) {
                int error = spk_engine_inject(engine, neuron, given);
                SPK_ASSERT(error == SPK_OK);
                (void)error;
            }
        }
    }
}

void spk_senses_inject(spk_senses_t *senses, spk_engine_t *engine) {
    int32_t *state = senses->state;
    if (senses->burst_of_sample >= (senses->record[SENSES_BURSTS] & 0xFFFFu)) {
        return; /* it settles */
    }
    for (uint32_t e = 0; e < encoder_count(senses->record); e++) {
        const uint32_t *encoder = encoder_at(senses->record, e);
        inject_encoder(senses, engine, encoder, state);
        state += state_words(encoder) * channels_of(encoder);
    }
}

/* Is one neuron's count ahead of all others' by a margin? */
static uint32_t is_ahead(const spk_senses_t *senses, uint32_t margin) {
    uint32_t best = 0;
    uint32_t second = 0;
    for (uint32_t i = 0; i < senses->value_count; i++) {
        const uint32_t value = senses->values[i];
        second = value > best ? best : value > second ? value : second;
        best = value > best ? value : best;
    }
    return best - second >= margin;
}

void spk_senses_note(spk_senses_t *senses, const spk_engine_t *engine) {
    const uint32_t decoder = decoder_of(senses->record);
    const uint32_t margin = margin_of(senses->record);
    const uint32_t first = senses->record[SENSES_READ_FIRST];
    const uint32_t end = first + senses->value_count;
    senses->burst++;
    senses->burst_of_sample++;
    if (decoder > DECODER_FIRST) {
        return;
    }
    for (uint32_t id = spk_engine_next_fired(engine, first); id < end; id = spk_engine_next_fired(engine, id + 1)) {
        uint32_t *value = senses->values + (id - first);
        if (decoder == DECODER_COUNT) {
            *value += 1;
        } else if (*value == 0) {
            *value = senses->burst;
        }
    }
    senses->is_decided |= margin != 0 && is_ahead(senses, margin);
}

uint32_t spk_senses_burst(spk_senses_t *senses, spk_engine_t *engine) {
    spk_senses_inject(senses, engine);
    uint32_t fired = spk_engine_burst(engine);
    spk_senses_note(senses, engine);
    return fired;
}

int spk_senses_begin(spk_senses_t *senses, spk_engine_t *engine) {
    senses->burst = senses->samples_taken = senses->is_decided = 0;
    senses->burst_of_sample = senses->record[SENSES_BURSTS] & 0xFFFFu;
    memset(senses->state, 0, (size_t)((uint8_t *)senses->values - (uint8_t *)senses->state));
    memset(senses->values, 0, senses->value_count * 4);
    return senses->record[SENSES_FLAGS] & SENSES_FRESH ? spk_engine_reset(engine) : SPK_OK;
}

/* The first sample of a presentation is what changes are told against. */
static void begin_deltas(spk_senses_t *senses) {
    int32_t *state = senses->state;
    for (uint32_t e = 0; e < encoder_count(senses->record); e++) {
        const uint32_t *encoder = encoder_at(senses->record, e);
        if (kind_of(encoder) == KIND_DELTA) {
            memcpy(state, senses->raw + (encoder[ENCODER_CHANNELS] & 0xFFFFu), channels_of(encoder) * 4);
        }
        state += state_words(encoder) * channels_of(encoder);
    }
}

void spk_senses_take(spk_senses_t *senses, const int32_t *raw) {
    memcpy(senses->raw, raw, senses->channels * 4);
    senses->burst_of_sample = 0;
    if (senses->samples_taken++ == 0) {
        begin_deltas(senses);
    }
}

uint32_t spk_senses_bursts(const spk_senses_t *senses) {
    if (senses->is_decided) {
        return 0;
    }
    uint32_t all = senses->record[SENSES_BURSTS] & 0xFFFFu;
    if (senses->samples_taken == senses->record[SENSES_SAMPLES]) {
        all += senses->record[SENSES_BURSTS] >> 16;
    }
    return all - senses->burst_of_sample;
}

int spk_senses_is_done(const spk_senses_t *senses) {
    return senses->samples_taken == senses->record[SENSES_SAMPLES] && spk_senses_bursts(senses) == 0;
}

void spk_senses_read(spk_senses_t *senses, const spk_engine_t *engine) {
    for (uint32_t i = 0; decoder_of(senses->record) > DECODER_FIRST && i < senses->value_count; i++) {
        uint32_t bits = spk_engine_potential(engine, senses->record[SENSES_READ_FIRST] + i);
        int is_half = SPK_PRECISION_OF(engine->image) == SPK_PRECISION_FP16;
        senses->values[i] = is_half ? spk_half_to_float_bits((uint16_t)bits) : bits;
    }
}

/* Integers in the order of potentials: int32, or the bits of a binary32. */
static int32_t rank_of(const spk_image_t *image, uint32_t value) {
    if (SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 || !(value >> 31)) {
        return (int32_t)value;
    }
    return -(int32_t)(value & 0x7FFFFFFFu);
}

/* How much neuron i speaks for itself as the answer; a first spike at burst 0 is none. */
static int32_t weight_of(const spk_senses_t *senses, uint32_t i) {
    const uint32_t decoder = decoder_of(senses->record);
    const uint32_t value = senses->values[i];
    if (decoder == DECODER_FIRST) {
        return value == 0 ? -0x7FFFFFFF : -(int32_t)value;
    }
    return decoder == DECODER_COUNT ? (int32_t)value : rank_of(senses->image, value);
}

int32_t spk_senses_answer(const spk_senses_t *senses) {
    const uint32_t decoder = decoder_of(senses->record);
    uint32_t best = 0;
    for (uint32_t i = 1; i < senses->value_count; i++) {
        best = weight_of(senses, i) > weight_of(senses, best) ? i : best;
    }
    if (decoder == DECODER_NUMBER || (decoder == DECODER_FIRST && senses->values[best] == 0)) {
        return SPK_SENSES_NONE;
    }
    return (int32_t)best;
}

/* Everything above reads records that have passed this. */

static int amount_is_valid(const spk_image_t *image, uint32_t kind, uint32_t amount, uint32_t limit) {
    if (SPK_PRECISION_OF(image) != SPK_PRECISION_INT8) {
        return amount < 0x7F800000u && (kind == KIND_VALUE || amount <= limit);
    }
    return (int32_t)amount >= 0 && (kind == KIND_VALUE || amount <= limit);
}

/* The area whose neurons first .. first + count - 1 all are, or NULL. */
static const uint32_t *area_of(const spk_image_t *image, uint32_t first, uint32_t count) {
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        if (first < area[AREA_NEURONS]) {
            return count <= area[AREA_NEURONS] - first ? area : NULL;
        }
        first -= area[AREA_NEURONS];
    }
    return NULL;
}

static int levels_are_valid(const uint32_t *record, const uint32_t *encoder) {
    const uint32_t at = encoder[ENCODER_HIGH];
    const uint32_t count = encoder[ENCODER_KIND] >> 8;
    int fits = at % 4 == 0 && at <= record[SENSES_BYTES] && count <= (record[SENSES_BYTES] - at) / 4;
    for (uint32_t k = 1; fits && k < count; k++) {
        fits = level_of(record, encoder, k - 1) < level_of(record, encoder, k);
    }
    return fits;
}

static int encoder_is_valid(const spk_image_t *image, const uint32_t *record, const uint32_t *encoder) {
    const uint32_t kind = kind_of(encoder);
    const uint32_t first = encoder[ENCODER_CHANNELS] & 0xFFFFu;
    const uint32_t channels = record[SENSES_CHANNELS] & 0xFFFFu;
    const uint32_t several = encoder[ENCODER_KIND] >> 8;
    const uint32_t count = several == 0 ? 1 : several;
    if (kind >= KIND_COUNT || several > PER_CHANNEL_MOST || channels_of(encoder) == 0 || first > channels ||
        channels_of(encoder) > channels - first || encoder[ENCODER_SHIFT] > SHIFT_MOST ||
        encoder[ENCODER_RESERVED] != 0 || (several != 0) != (kind == KIND_LEVEL || kind == KIND_POPULATION) ||
        (kind == KIND_POPULATION && count < 2)) {
        return 0;
    }
    const uint32_t *area = area_of(image, encoder[ENCODER_FIRST], channels_of(encoder) * per_channel(encoder));
    if (area == NULL || !amount_is_valid(image, kind, encoder[ENCODER_AMOUNT], area[AREA_STIMULUS_LIMIT])) {
        return 0;
    }
    if (kind == KIND_LEVEL) {
        return levels_are_valid(record, encoder);
    }
    if (kind == KIND_DELTA || kind == KIND_VALUE) {
        return kind == KIND_VALUE || low_of(encoder) >= 1;
    }
    return low_of(encoder) < high_of(encoder) && (uint32_t)span_of(encoder) <= SPAN_MOST;
}

static int record_is_valid(const spk_image_t *image, const uint32_t *record) {
    const uint32_t bursts = record[SENSES_BURSTS] & 0xFFFFu;
    const uint64_t all = (uint64_t)record[SENSES_SAMPLES] * bursts + (record[SENSES_BURSTS] >> 16);
    const uint32_t encoders = encoder_count(record);
    if ((record[SENSES_CHANNELS] & 0xFFFFu) == 0 || encoders == 0 || bursts == 0 || record[SENSES_SAMPLES] == 0 ||
        all > PRESENTATION_MOST || (record[SENSES_FLAGS] & 0xFEu) != 0 || decoder_of(record) >= DECODER_KINDS ||
        (margin_of(record) != 0 && decoder_of(record) != DECODER_COUNT) ||
        encoders > (record[SENSES_BYTES] / 4 - SENSES_WORDS) / ENCODER_WORDS || record[SENSES_READ_COUNT] == 0 ||
        area_of(image, record[SENSES_READ_FIRST], record[SENSES_READ_COUNT]) == NULL) {
        return 0;
    }
    uint32_t free = 0;
    for (uint32_t e = 0; e < encoders; e++) {
        const uint32_t *encoder = encoder_at(record, e);
        if (encoder[ENCODER_FIRST] < free || !encoder_is_valid(image, record, encoder)) {
            return 0;
        }
        free = encoder[ENCODER_FIRST] + channels_of(encoder) * per_channel(encoder);
    }
    return 1;
}

/* The record, checked, or NULL. */
static const uint32_t *record_of(const spk_image_t *image) {
    const uint32_t *record = (const uint32_t *)(const void *)image->senses;
    return record != NULL && record_is_valid(image, record) ? record : NULL;
}

uint32_t spk_senses_channels(const spk_image_t *image) {
    const uint32_t *record = record_of(image);
    return record == NULL ? 0 : record[SENSES_CHANNELS] & 0xFFFFu;
}

/* Words of all encoders' states. */
static uint32_t all_state_words(const uint32_t *record) {
    uint32_t words = 0;
    for (uint32_t e = 0; e < encoder_count(record); e++) {
        words += state_words(encoder_at(record, e)) * channels_of(encoder_at(record, e));
    }
    return words;
}

size_t spk_senses_ram_bytes(const spk_image_t *image) {
    const uint32_t *record = record_of(image);
    if (record == NULL) {
        return 0;
    }
    return 4 * (size_t)((record[SENSES_CHANNELS] & 0xFFFFu) + all_state_words(record) + record[SENSES_READ_COUNT]);
}

int spk_senses_init(spk_senses_t *senses, const spk_image_t *image, void *ram, size_t ram_bytes) {
    const uint32_t *record = record_of(image);
    if (record == NULL) {
        return SPK_ERROR_LAYOUT;
    }
    if (ram_bytes < spk_senses_ram_bytes(image) || ((uintptr_t)ram & 3u) != 0) {
        return SPK_ERROR_RAM;
    }
    memset(senses, 0, sizeof *senses);
    memset(ram, 0, spk_senses_ram_bytes(image));
    senses->image = image;
    senses->record = record;
    senses->channels = record[SENSES_CHANNELS] & 0xFFFFu;
    senses->value_count = record[SENSES_READ_COUNT];
    senses->raw = ram;
    senses->state = senses->raw + senses->channels;
    senses->values = (uint32_t *)(void *)(senses->state + all_state_words(record));
    senses->burst_of_sample = record[SENSES_BURSTS] & 0xFFFFu;
    return SPK_OK;
}
