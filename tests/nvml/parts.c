/* MIG, and the profiling counters (GPM), which instances have too. */
#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    unsigned multiprocessors, copy, decoders, encoders, jpeg, ofa, slices, compute_slices;
    unsigned long long memory_mib;
} Attributes;
typedef struct { double at, busy, share; int gpu; } Gpm;
typedef struct {
    unsigned id;
    int code;
    double value;
    const char *brief, *full, *unit;
} Metric;
typedef struct {
    unsigned version, count;
    Gpm *first, *second;
    Metric metric[];
} Metrics;
typedef struct { unsigned version, supported; } Support;

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    ENTER(device, gpu);
    *current = *pending = (unsigned)gpu->mig;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *count) {
    ENTER(device, gpu);
    *count = gpu ? MAX_INSTANCES : 0;
    return OK;
}

int nvmlDeviceIsMigDeviceHandle(Device device, unsigned *is) {
    ENTER(device, gpu);
    *is = gpu && device->part >= 0;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *found) {
    ENTER(device, gpu);
    if (!gpu->mig || index >= (unsigned)gpu->instances) return NOT_FOUND;
    *found = handle(device->gpu, (int)index);
    return OK;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device device, Device *found) {
    ENTER(device, gpu);
    *found = handle(device->gpu, -1);
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetGpuInstanceId(Device device, unsigned *id) {
    ENTER(device, gpu);
    if (device->part < 0) return NOT_SUPPORTED;
    *id = gpu->instance[device->part].id;
    return OK;
}

int nvmlDeviceGetComputeInstanceId(Device device, unsigned *id) {
    ENTER(device, gpu);
    *id = 0;
    return device->part < 0 || !gpu ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetAttributes_v2(Device device, Attributes *attributes) {
    ENTER(device, gpu);
    if (device->part < 0) return NOT_SUPPORTED;
    memset(attributes, 0, sizeof *attributes);
    attributes->slices = attributes->compute_slices = gpu->instance[device->part].slices;
    attributes->multiprocessors = 16 * attributes->slices;
    attributes->memory_mib = (unsigned long long)gpu->instance[device->part].memory_mib;
    return OK;
}

int nvmlGpmQueryDeviceSupport(Device device, Support *support) {
    ENTER(device, gpu);
    support->supported = (unsigned)gpu->gpm;
    return OK;
}

int nvmlGpmSampleAlloc(Gpm **sample) {
    *sample = calloc(1, sizeof **sample);
    return *sample ? OK : UNKNOWN;
}

int nvmlGpmSampleFree(Gpm *sample) {
    free(sample);
    return OK;
}

static void take(const Gpu *gpu, Device device, double share, Gpm *sample) {
    double at = now();
    *sample = (Gpm){at, busy_seconds(gpu, state()->boot, at), share, device->gpu};
}

int nvmlGpmSampleGet(Device device, Gpm *sample) {
    ENTER(device, gpu);
    if (!gpu->gpm || (gpu->mig && device->part < 0)) return NOT_SUPPORTED;
    take(gpu, device, 1, sample);
    return OK;
}

int nvmlGpmMigSampleGet(Device device, unsigned id, Gpm *sample) {
    ENTER(device, gpu);
    for (int i = 0; gpu->gpm && i < gpu->instances; i++)
        if (gpu->instance[i].id == id) {
            take(gpu, device, gpu->instance[i].share, sample);
            return OK;
        }
    return gpu->gpm ? NOT_FOUND : NOT_SUPPORTED;
}

int nvmlGpmMetricsGet(Metrics *get) {
    State *all = state();
    if (!all || !get->first || !get->second) return INVALID_ARGUMENT;
    const Gpu *gpu = &all->gpu[get->first->gpu];
    double seconds = get->second->at - get->first->at;
    if (seconds <= 0) return INVALID_ARGUMENT;
    double busy = 100 * get->first->share * (get->second->busy - get->first->busy) / seconds;
    for (unsigned i = 0; i < get->count; i++) {
        Metric *one = &get->metric[i];
        one->code = OK;
        if (one->id == 1) one->value = busy;
        else if (one->id == 2) one->value = busy * gpu->sm_share;
        else if (one->id == 3) one->value = busy * gpu->sm_share / 2;
        else if (one->id == 5) one->value = busy * gpu->tensor_share;
        else if (one->id == 10) one->value = busy * gpu->memory_share;
        else one->code = NOT_SUPPORTED;
    }
    return OK;
}
