/* What the driver accumulates: sample rings, field values, throttling. */
#define _GNU_SOURCE
#include "fake.h"

#include <math.h>

typedef union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } Value;
typedef struct { unsigned long long at; Value value; } Sample;
typedef struct {
    unsigned id, scope;
    long long at, latency;
    int type, code;
    Value value;
} Field;

enum { POWER = 0, GPU_UTIL = 1, MEMORY_UTIL = 2 };
/* Only three of the policies have a bit of their own among the event reasons. */
static const unsigned THROTTLE_BIT[THROTTLES] = {0x4, 0x20, 0x10, 0, 0, 0};

static unsigned value(const Gpu *gpu, int kind, double from, double to) {
    unsigned busy = percent(gpu, from, to);
    if (kind == POWER)
        return (unsigned)(1000 * (gpu->idle_watts + (gpu->busy_watts - gpu->idle_watts) * busy / 100));
    return kind == MEMORY_UTIL ? (unsigned)(busy * gpu->memory_share) : busy;
}

int nvmlDeviceGetSamples(Device device, int kind, unsigned long long seen, int *type, unsigned *count,
                         Sample *samples) {
    ENTER(device, gpu);
    WHOLE(device);
    if (gpu->mig || !gpu->ring_length || kind > MEMORY_UTIL) return NOT_SUPPORTED;
    *type = 1;
    if (!samples) {
        *count = (unsigned)gpu->ring_length;
        return OK;
    }
    double period = gpu->ring_period, offset = state()->clock_offset;
    long long last = (long long)floor((now() - gpu->ring_delay) / period);
    unsigned found = 0;
    for (long long i = last - gpu->ring_length + 1; i <= last && found < *count; i++) {
        unsigned long long at = (unsigned long long)llround((i * period + offset) * 1e6);
        unsigned busy = percent(gpu, (i - 1) * period, i * period);
        if (at <= seen || (gpu->ring_dry && !busy)) continue;
        samples[found].at = at;
        samples[found++].value.ull = value(gpu, kind, (i - 1) * period, i * period);
    }
    *count = found;
    return found ? OK : NOT_FOUND;
}

static double throttled(const Gpu *gpu, int reason) {
    const Wave *wave = &gpu->throttle[reason];
    return wave->level > 0 ? on_seconds(wave, state()->boot, now()) : 0;
}

static int field(Device device, const Gpu *gpu, Field *one) {
    one->type = 3;
    one->at = (long long)(now() * 1e6);
    if (one->id >= 3 && one->id <= 6) one->value.ull = gpu->ecc[one->id - 3];
    else if (one->id >= 74 && one->id < 74 + THROTTLES)
        one->value.ull = (unsigned long long)(throttled(gpu, (int)one->id - 74) * 1e9);
    else if (one->id == 82) one->value.ui = gpu->memory_temperature, one->type = 1;
    else if (one->id == 83) one->value.ull = (unsigned long long)(joules(state(), gpu, now()) * 1000);
    else if (one->id == 94) one->value.ui = (unsigned)gpu->replays, one->type = 1;
    else if (one->id >= 142 && one->id <= 145) one->value.ui = (unsigned)gpu->remapped[one->id - 142], one->type = 1;
    else return NOT_SUPPORTED;
    return device->part < 0 ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetFieldValues(Device device, int count, Field *values) {
    ENTER(device, gpu);
    for (int i = 0; i < count; i++) {
        values[i].value.ull = 0;
        values[i].code = field(device, gpu, &values[i]);
    }
    return OK;
}

static int reasons_of(Device device, const char *function, unsigned long long *reasons) {
    Gpu *gpu;
    int code = enter(device, function, &gpu);
    if (code) return code;
    WHOLE(device);
    *reasons = 0;
    for (int i = 0; i < THROTTLES; i++)
        if (gpu->throttle[i].level > 0 && on(&gpu->throttle[i], now())) *reasons |= THROTTLE_BIT[i];
    if (!*reasons && !(gpu->busy.level > 0 && on(&gpu->busy, now()))) *reasons = 1;
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long *reasons) {
    return reasons_of(device, __func__, reasons);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *reasons) {
    return reasons_of(device, __func__, reasons);
}

typedef struct { unsigned long long reference, nanoseconds; } Violation;

int nvmlDeviceGetViolationStatus(Device device, int policy, Violation *violation) {
    ENTER(device, gpu);
    if (policy >= THROTTLES) return NOT_SUPPORTED;
    violation->reference = (unsigned long long)(now() * 1e6);
    violation->nanoseconds = (unsigned long long)(throttled(gpu, policy) * 1e9);
    return OK;
}
