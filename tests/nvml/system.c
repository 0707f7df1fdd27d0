/* Starting, finding devices, and where faults strike. */
#define _GNU_SOURCE
#include "fake.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int users;
static int listed[MAX_GPUS], listed_count; /* which GPUs this session found when it began */
static Handle handles[MAX_GPUS][MAX_INSTANCES + 1];

static void pause_for(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left)) {}
}

int started(void) { return users > 0; }

Device handle(int gpu, int part) {
    Device found = &handles[gpu][part + 1];
    *found = (Handle){gpu, part};
    return found;
}

static int strike(const Gpu *gpu, const char *function) {
    for (int i = 0; i < gpu->faults; i++) {
        const Fault *fault = &gpu->fault[i];
        if (strcmp(fault->function, "*") && strcmp(fault->function, function)) continue;
        if (fault->seconds < 0) for (;;) pause_for(3600);
        if (fault->seconds > 0) pause_for(fault->seconds);
        else if (fault->code) return fault->code;
    }
    return OK;
}

int enter(Device device, const char *function, Gpu **gpu) {
    if (!users) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    State *all = state();
    if (!all) return UNKNOWN;
    if (all->latency > 0) pause_for(all->latency);
    *gpu = &all->gpu[device->gpu];
    if (device->part >= (*gpu)->instances) return NOT_FOUND;
    return strike(*gpu, function);
}

int copy(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    State *all = state();
    if (!all) return DRIVER_NOT_LOADED;
    if (all->init_code) return all->init_code;
    if (users++) return OK;
    listed_count = 0;
    for (int i = 0; i < all->gpus; i++)
        if (!all->gpu[i].absent) listed[listed_count++] = i;
    return OK;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return OK;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    State *all = state();
    return users && all ? copy(version, size, all->driver) : UNINITIALIZED;
}

int nvmlSystemGetNVMLVersion(char *version, unsigned size) {
    return users ? copy(version, size, "13.580.95.05") : UNINITIALIZED;
}

int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!users) return UNINITIALIZED;
    *count = (unsigned)listed_count;
    return OK;
}

int nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    if (!users) return UNINITIALIZED;
    if (index >= (unsigned)listed_count) return INVALID_ARGUMENT;
    Gpu *gpu;
    *device = handle(listed[index], -1);
    return enter(*device, __func__, &gpu);
}

int nvmlDeviceGetHandleByIndex(unsigned index, Device *device) {
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static int find(const char *function, const char *wanted, int by_bus, Device *device) {
    State *all = state();
    if (!users || !all) return UNINITIALIZED;
    for (int i = 0; i < listed_count; i++) {
        Gpu *gpu = &all->gpu[listed[i]];
        if (strcmp(by_bus ? gpu->bus : gpu->uuid, wanted)) continue;
        *device = handle(listed[i], -1);
        return enter(*device, function, &gpu);
    }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    return find(__func__, uuid, 0, device);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, Device *device) {
    return find(__func__, bus, 1, device);
}

int nvmlDeviceGetIndex(Device device, unsigned *index) {
    ENTER(device, gpu);
    for (int i = 0; i < listed_count; i++)
        if (listed[i] == device->gpu) *index = (unsigned)i;
    return gpu ? OK : UNKNOWN;
}
