/* XID errors: each line of the file is one, told once to every set that was there before it. */
#define _GNU_SOURCE
#include "fake.h"

#include <stdlib.h>
#include <unistd.h>

enum { XID = 8 };
typedef struct { int watched[MAX_GPUS], told[MAX_GPUS]; } Set;
typedef struct { Device device; unsigned long long type, data; unsigned instance, compute; } Event;

int nvmlEventSetCreate(Set **set) {
    *set = calloc(1, sizeof **set);
    return *set ? OK : UNKNOWN;
}

int nvmlEventSetFree(Set *set) {
    free(set);
    return OK;
}

int nvmlDeviceGetSupportedEventTypes(Device device, unsigned long long *types) {
    ENTER(device, gpu);
    *types = gpu ? XID | 2 | 1 : 0;
    return OK;
}

int nvmlDeviceRegisterEvents(Device device, unsigned long long types, Set *set) {
    ENTER(device, gpu);
    if (types & XID) {
        set->watched[device->gpu] = 1;
        set->told[device->gpu] = gpu->xids;
    }
    return OK;
}

static int next(Set *set, Event *event) {
    State *all = state();
    for (int i = 0; all && i < MAX_GPUS; i++) {
        Gpu *gpu = &all->gpu[i];
        if (set->told[i] > gpu->xids) set->told[i] = gpu->xids;
        if (!set->watched[i] || set->told[i] == gpu->xids) continue;
        *event = (Event){handle(i, -1), XID, gpu->xid[set->told[i]++], ~0u, ~0u};
        return 1;
    }
    return 0;
}

int nvmlEventSetWait_v2(Set *set, Event *event, unsigned milliseconds) {
    double end = now() + milliseconds / 1e3;
    if (!started()) return UNINITIALIZED;
    while (!next(set, event)) {
        if (now() >= end) return TIMEOUT;
        usleep(5000);
    }
    return OK;
}

int nvmlEventSetWait(Set *set, Event *event, unsigned milliseconds) {
    return nvmlEventSetWait_v2(set, event, milliseconds);
}
