/* What is true of a GPU at a moment. */
#define _GNU_SOURCE
#include "fake.h"

#include <math.h>
#include <time.h>

double now(void) {
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    return (double)clock.tv_sec + clock.tv_nsec / 1e9;
}

int on(const Wave *wave, double at) {
    if (wave->period <= 0) return wave->level > 0;
    double into = fmod(at - wave->phase, wave->period);
    return (into < 0 ? into + wave->period : into) < wave->length;
}

/* Seconds on since the wave's phase; negative before it. */
static double since(const Wave *wave, double at) {
    double cycles = floor((at - wave->phase) / wave->period);
    double into = at - wave->phase - cycles * wave->period;
    return cycles * wave->length + fmin(into, wave->length);
}

double on_seconds(const Wave *wave, double from, double to) {
    if (wave->period <= 0) return wave->level > 0 ? to - from : 0;
    return since(wave, to) - since(wave, from);
}

double busy_seconds(const Gpu *gpu, double from, double to) {
    return gpu->busy.level * on_seconds(&gpu->busy, from, to);
}

double joules(const State *all, const Gpu *gpu, double at) {
    double whole = at - all->boot;
    return gpu->idle_watts * whole + (gpu->busy_watts - gpu->idle_watts) * busy_seconds(gpu, all->boot, at);
}

double used_mib(const Gpu *gpu, double at) {
    int high = gpu->spike.period > 0 && on(&gpu->spike, at);
    return gpu->vram_mib + (high ? gpu->spike.level : 0);
}

unsigned percent(const Gpu *gpu, double from, double to) {
    return (unsigned)lround(100 * busy_seconds(gpu, from, to) / (to - from));
}
