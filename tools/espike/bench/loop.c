/* synapse arrays + bursts -> spikes: the plain C loop that the engine's speed is compared with.
 *
 * What a programmer writes who needs one network fast on one machine: synapses by source in three arrays, 5 bytes
 * each, one pass over all neurons that the compiler turns into vector code, one scatter loop per spike. It leaks by a
 * shift, which rounds down. With -DLOOP_EXACT it rounds as docs/numbers.md asks: then its spike counts are the
 * engine's, which shows that both run the same network. */
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t neurons;
    int16_t threshold;
    int16_t refractory;         /* bursts */
    const uint32_t *row_start;  /* (neurons + 1,) */
    const uint32_t *target;     /* (synapses,) */
    const int8_t *weight;       /* (synapses,) */
    const int16_t *drive;       /* (neurons,) added every burst */
    int16_t *potential;         /* (neurons,) */
    int16_t *input;             /* (neurons,) sums for the next burst */
    int16_t *countdown;         /* (neurons,) */
    uint8_t *flag;              /* (neurons,) fired in this burst */
    uint32_t *fired;            /* (neurons,) their ids */
    uint64_t events;
} loop_t;

static inline int16_t leak(int16_t v) {
#ifdef LOOP_EXACT
    int y = (v * 30720 + 16384) >> 15;
    return (int16_t)(y - (y == v) * ((v > 0) - (v < 0)));
#else
    return (int16_t)(v - (v >> 4));
#endif
}

static void update(loop_t *net) {
    const uint32_t count = net->neurons;
    const int16_t threshold = net->threshold;
    const int16_t refractory = net->refractory;
    const int16_t *restrict drive = net->drive;
    int16_t *restrict potential = net->potential;
    int16_t *restrict input = net->input;
    int16_t *restrict countdown = net->countdown;
    uint8_t *restrict flag = net->flag;
    for (uint32_t i = 0; i < count; i++) { /* masks of 0 or -1 in place of branches */
        int16_t v = potential[i];
        int16_t resting = (int16_t)-(countdown[i] > 0);
        int16_t sum = (int16_t)(v + input[i] + drive[i]);
        int16_t fires = (int16_t)(-(sum >= threshold) & ~resting);
        potential[i] = (int16_t)((v & resting) | (leak(sum) & ~fires & ~resting));
        countdown[i] = (int16_t)((countdown[i] + resting) | (refractory & fires));
        flag[i] = (uint8_t)(fires & 1);
        input[i] = 0;
    }
}

static uint32_t collect(loop_t *net) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < net->neurons; i++) {
        net->fired[count] = i;
        count += net->flag[i];
    }
    return count;
}

static void scatter(loop_t *net, uint32_t source) {
    const uint32_t end = net->row_start[source + 1];
    for (uint32_t s = net->row_start[source]; s < end; s++) {
        net->input[net->target[s]] = (int16_t)(net->input[net->target[s]] + net->weight[s]);
    }
    net->events += end - net->row_start[source];
}

/* Run `bursts` bursts. Returns the number of spikes. */
uint64_t loop_run(loop_t *net, uint32_t bursts);

uint64_t loop_run(loop_t *net, uint32_t bursts) {
    uint64_t spikes = 0;
    for (uint32_t burst = 0; burst < bursts; burst++) {
        update(net);
        uint32_t count = collect(net);
        spikes += count;
        for (uint32_t i = 0; i < count; i++) {
            scatter(net, net->fired[i]);
        }
    }
    return spikes;
}
