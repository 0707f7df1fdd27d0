/* Who uses a GPU. */
#define _GNU_SOURCE
#include "fake.h"

#include <math.h>

typedef struct { unsigned pid; unsigned long long bytes; unsigned instance, compute; } Running;
typedef struct { unsigned pid; unsigned long long at; unsigned sm, memory, encoder, decoder; } Share;

static int list(Device device, const char *function, char kind, unsigned *count, Running *into) {
    Gpu *gpu;
    int code = enter(device, function, &gpu);
    if (code) return code;
    unsigned room = *count, found = 0;
    for (int i = 0; i < gpu->processes; i++) {
        const Process *one = &gpu->process[i];
        if (one->kind != kind || one->instance != device->part) continue;
        if (found < room && into)
            into[found] = (Running){one->pid,
                                    one->mib < 0 ? ~0ull : (unsigned long long)(one->mib * 1048576),
                                    device->part < 0 ? ~0u : gpu->instance[device->part].id, ~0u};
        found++;
    }
    *count = found;
    return found > room || (found && !into) ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Running *into) {
    return list(device, __func__, 'C', count, into);
}

int nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned *count, Running *into) {
    return list(device, __func__, 'C', count, into);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Running *into) {
    return list(device, __func__, 'G', count, into);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(Device device, unsigned *count, Running *into) {
    return list(device, __func__, 'G', count, into);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, unsigned *count, Running *into) {
    return list(device, __func__, 'M', count, into);
}

/* Each process that did something since `seen`: its share of the time since then. */
int nvmlDeviceGetProcessUtilization(Device device, Share *into, unsigned *count, unsigned long long seen) {
    ENTER(device, gpu);
    WHOLE(device);
    if (gpu->mig) return NOT_SUPPORTED;
    double period = gpu->ring_period, offset = state()->clock_offset;
    double end = floor(now() / period) * period;
    double begin = fmax(end - gpu->ring_length * period, seen / 1e6 - offset);
    unsigned room = *count, found = 0;
    if (end - begin < period / 2) return NOT_FOUND;
    for (int i = 0; i < gpu->processes; i++) {
        const Process *one = &gpu->process[i];
        unsigned sm = (unsigned)lround(one->share * 100 * busy_seconds(gpu, begin, end) / (end - begin));
        if (!sm) continue;
        if (into && found < room)
            into[found] = (Share){one->pid, (unsigned long long)llround((end + offset) * 1e6), sm, 0, 0, 0};
        found++;
    }
    *count = found;
    if (!found) return NOT_FOUND;
    return !into || found > room ? INSUFFICIENT_SIZE : OK;
}
