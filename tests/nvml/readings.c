/* What a GPU is, and its readings of the moment. */
#define _GNU_SOURCE
#include "fake.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double MIB = 1048576;

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned gpu, memory; } Rates;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char text[32];
} Pci;

int nvmlDeviceGetName(Device device, char *name, unsigned size) {
    ENTER(device, gpu);
    if (device->part < 0) return copy(name, size, gpu->name);
    char text[160];
    snprintf(text, sizeof text, "%.95s MIG %.31s", gpu->name, gpu->instance[device->part].profile);
    return copy(name, size, text);
}

int nvmlDeviceGetUUID(Device device, char *uuid, unsigned size) {
    ENTER(device, gpu);
    char text[96];
    if (device->part < 0) return copy(uuid, size, gpu->uuid);
    snprintf(text, sizeof text, "MIG-%.60s-%u", gpu->uuid + 4, gpu->instance[device->part].id);
    return copy(uuid, size, text);
}

int nvmlDeviceGetPciInfo_v3(Device device, Pci *pci) {
    ENTER(device, gpu);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->text, sizeof pci->text, "%.31s", gpu->bus);
    snprintf(pci->legacy, sizeof pci->legacy, "%.12s", gpu->bus + 4);
    sscanf(gpu->bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    return OK;
}

int nvmlDeviceGetMinorNumber(Device device, unsigned *minor) {
    ENTER(device, gpu);
    *minor = (unsigned)device->gpu;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetSerial(Device device, char *serial, unsigned size) {
    ENTER(device, gpu);
    return gpu ? copy(serial, size, "1650000000000") : UNKNOWN;
}

static MemoryV2 memory_of(const Gpu *gpu, int part) {
    double total = part < 0 ? gpu->memory_mib : gpu->instance[part].memory_mib;
    double used = part < 0 ? used_mib(gpu, now()) : gpu->instance[part].used_mib;
    double reserved = part < 0 ? gpu->reserved_mib : 0;
    MemoryV2 memory = {0, (unsigned long long)(total * MIB), (unsigned long long)(reserved * MIB), 0,
                       (unsigned long long)(used * MIB)};
    memory.free = memory.total - memory.reserved - memory.used;
    return memory;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *memory) {
    ENTER(device, gpu);
    unsigned version = memory->version;
    *memory = memory_of(gpu, device->part);
    memory->version = version;
    return OK;
}

/* The older call counts what the driver reserves as used. */
int nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    ENTER(device, gpu);
    MemoryV2 split = memory_of(gpu, device->part);
    *memory = (Memory){split.total, split.free, split.used + split.reserved};
    return OK;
}

int nvmlDeviceGetBAR1MemoryInfo(Device device, Memory *memory) {
    ENTER(device, gpu);
    *memory = (Memory){262144ull << 20, 262143ull << 20, 1ull << 20};
    return gpu ? OK : UNKNOWN;
}

/* The average over the last period that is complete: what a scrape sees of a short burst. */
int nvmlDeviceGetUtilizationRates(Device device, Rates *rates) {
    ENTER(device, gpu);
    WHOLE(device);
    if (gpu->mig) return NOT_SUPPORTED;
    double end = floor(now() / gpu->ring_period) * gpu->ring_period;
    rates->gpu = percent(gpu, end - gpu->ring_period, end);
    rates->memory = (unsigned)(rates->gpu * gpu->memory_share);
    return OK;
}

static int codec(Device device, const char *function, unsigned *percentage, unsigned *period) {
    Gpu *gpu;
    int code = enter(device, function, &gpu);
    *percentage = 0;
    *period = 166666;
    return code;
}

int nvmlDeviceGetEncoderUtilization(Device device, unsigned *percentage, unsigned *period) {
    return codec(device, __func__, percentage, period);
}

int nvmlDeviceGetDecoderUtilization(Device device, unsigned *percentage, unsigned *period) {
    return codec(device, __func__, percentage, period);
}

int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *celsius) {
    ENTER(device, gpu);
    *celsius = gpu->temperature;
    return sensor ? INVALID_ARGUMENT : OK;
}

int nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatts) {
    ENTER(device, gpu);
    WHOLE(device);
    double watts = on(&gpu->busy, now()) && gpu->busy.level > 0
        ? gpu->idle_watts + (gpu->busy_watts - gpu->idle_watts) * gpu->busy.level : gpu->idle_watts;
    *milliwatts = (unsigned)(watts * 1000);
    return OK;
}

int nvmlDeviceGetPowerManagementLimit(Device device, unsigned *milliwatts) {
    ENTER(device, gpu);
    *milliwatts = (unsigned)(gpu->busy_watts * 1000);
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *millijoules) {
    ENTER(device, gpu);
    WHOLE(device);
    *millijoules = (unsigned long long)(joules(state(), gpu, now()) * 1000);
    return OK;
}

int nvmlDeviceGetClockInfo(Device device, int kind, unsigned *mhz) {
    ENTER(device, gpu);
    *mhz = kind == 2 ? gpu->memory_clock : gpu->sm_clock;
    return OK;
}

int nvmlDeviceGetMaxClockInfo(Device device, int kind, unsigned *mhz) {
    return nvmlDeviceGetClockInfo(device, kind, mhz);
}

int nvmlDeviceGetPerformanceState(Device device, unsigned *state_) {
    ENTER(device, gpu);
    *state_ = 0;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetPersistenceMode(Device device, unsigned *mode) {
    ENTER(device, gpu);
    *mode = 1;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetComputeMode(Device device, unsigned *mode) {
    ENTER(device, gpu);
    *mode = 0;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
    ENTER(device, gpu);
    *major = 9;
    *minor = 0;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetPcieReplayCounter(Device device, unsigned *count) {
    ENTER(device, gpu);
    *count = (unsigned)gpu->replays;
    return OK;
}

int nvmlDeviceGetPcieThroughput(Device device, int direction, unsigned *kilobytes) {
    ENTER(device, gpu);
    *kilobytes = direction ? 2000 : 1000;
    return gpu ? OK : UNKNOWN;
}

int nvmlDeviceGetRemappedRows(Device device, unsigned *correctable, unsigned *uncorrectable,
                              unsigned *pending, unsigned *failed) {
    ENTER(device, gpu);
    *correctable = (unsigned)gpu->remapped[0];
    *uncorrectable = (unsigned)gpu->remapped[1];
    *pending = (unsigned)gpu->remapped[2];
    *failed = (unsigned)gpu->remapped[3];
    return OK;
}

int nvmlDeviceGetTotalEccErrors(Device device, int uncorrected, int aggregate, unsigned long long *count) {
    ENTER(device, gpu);
    *count = gpu->ecc[(uncorrected ? 1 : 0) + (aggregate ? 2 : 0)];
    return OK;
}
