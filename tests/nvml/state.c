/* The text file, read again when it changes. */
#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static State current;

static void defaults(State *all) {
    memset(all, 0, sizeof *all);
    strcpy(all->driver, "580.95.05");
    all->gpus = 1;
    for (int i = 0; i < MAX_GPUS; i++) {
        Gpu *gpu = &all->gpu[i];
        strcpy(gpu->name, "NVIDIA H200");
        snprintf(gpu->uuid, sizeof gpu->uuid, "GPU-%08x-fa4e-fa4e-fa4e-fa4efa4efa4e", i);
        snprintf(gpu->bus, sizeof gpu->bus, "00000000:%02X:00.0", i + 1);
        gpu->memory_mib = 143771;
        gpu->reserved_mib = 600;
        gpu->busy = (Wave){0, 0, 0, 0};
        gpu->idle_watts = 80;
        gpu->busy_watts = 600;
        gpu->ring_period = 1.0 / 6;
        gpu->ring_length = 120;
        gpu->gpm = 1;
        gpu->sm_share = 0.8;
        gpu->tensor_share = 0.5;
        gpu->memory_share = 0.25;
        gpu->temperature = 45;
        gpu->memory_temperature = 55;
        gpu->sm_clock = 1980;
        gpu->memory_clock = 3201;
    }
}

static const char *THROTTLE[THROTTLES] = {
    "power", "thermal", "sync_boost", "board_limit", "low_util", "reliability",
};

static void wave(Wave *to, const char *text) {
    *to = (Wave){0, 0, 0, 1};
    sscanf(text, "%lf %lf %lf %lf", &to->period, &to->length, &to->phase, &to->level);
}

static void throttle(Gpu *gpu, const char *text) {
    char reason[32];
    int used = 0;
    if (sscanf(text, "%31s %n", reason, &used) != 1) return;
    for (int i = 0; i < THROTTLES; i++)
        if (!strcmp(reason, THROTTLE[i])) wave(&gpu->throttle[i], text + used);
}

static void fault(Gpu *gpu, const char *text, int hang) {
    if (gpu->faults == MAX_FAULTS) return;
    Fault *one = &gpu->fault[gpu->faults++];
    double number = 0;
    sscanf(text, "%47s %lf", one->function, &number);
    one->code = hang ? OK : (int)number;
    one->seconds = hang ? number : 0;
}

static void process(Gpu *gpu, const char *text) {
    if (gpu->processes == MAX_PROCESSES) return;
    Process *one = &gpu->process[gpu->processes++];
    *one = (Process){.kind = 'C', .instance = -1};
    sscanf(text, "%u %lf %lf %c %d", &one->pid, &one->mib, &one->share, &one->kind, &one->instance);
}

static void instance(Gpu *gpu, const char *text) {
    if (gpu->instances == MAX_INSTANCES) return;
    Instance *one = &gpu->instance[gpu->instances++];
    sscanf(text, "%u %31s %u %lf %lf %lf", &one->id, one->profile, &one->slices, &one->memory_mib,
           &one->used_mib, &one->share);
}

static void words(char *to, size_t size, const char *text) {
    snprintf(to, size, "%s", text);
    to[strcspn(to, "\n")] = 0;
}

static void setting(Gpu *gpu, const char *key, const char *text) {
    double number = atof(text);
    unsigned long long *counts = !strcmp(key, "ecc") ? gpu->ecc : gpu->remapped;
    if (!strcmp(key, "name")) words(gpu->name, sizeof gpu->name, text);
    else if (!strcmp(key, "uuid")) words(gpu->uuid, sizeof gpu->uuid, text);
    else if (!strcmp(key, "bus")) words(gpu->bus, sizeof gpu->bus, text);
    else if (!strcmp(key, "absent")) gpu->absent = (int)number;
    else if (!strcmp(key, "mig")) gpu->mig = (int)number;
    else if (!strcmp(key, "memory")) sscanf(text, "%lf %lf", &gpu->memory_mib, &gpu->reserved_mib);
    else if (!strcmp(key, "vram")) gpu->vram_mib = number;
    else if (!strcmp(key, "spike")) wave(&gpu->spike, text);
    else if (!strcmp(key, "busy")) wave(&gpu->busy, text);
    else if (!strcmp(key, "throttle")) throttle(gpu, text);
    else if (!strcmp(key, "watts")) sscanf(text, "%lf %lf", &gpu->idle_watts, &gpu->busy_watts);
    else if (!strcmp(key, "ring"))
        sscanf(text, "%lf %d %d %lf", &gpu->ring_period, &gpu->ring_length, &gpu->ring_dry, &gpu->ring_delay);
    else if (!strcmp(key, "gpm")) gpu->gpm = (int)number;
    else if (!strcmp(key, "shares"))
        sscanf(text, "%lf %lf %lf", &gpu->sm_share, &gpu->tensor_share, &gpu->memory_share);
    else if (!strcmp(key, "celsius")) sscanf(text, "%u %u", &gpu->temperature, &gpu->memory_temperature);
    else if (!strcmp(key, "mhz")) sscanf(text, "%u %u", &gpu->sm_clock, &gpu->memory_clock);
    else if (!strcmp(key, "replays")) gpu->replays = (unsigned long long)number;
    else if (!strcmp(key, "ecc") || !strcmp(key, "remapped"))
        sscanf(text, "%llu %llu %llu %llu", &counts[0], &counts[1], &counts[2], &counts[3]);
    else if (!strcmp(key, "process")) process(gpu, text);
    else if (!strcmp(key, "instance")) instance(gpu, text);
    else if (!strcmp(key, "error")) fault(gpu, text, 0);
    else if (!strcmp(key, "hang")) fault(gpu, text, 1);
    else if (!strcmp(key, "xid") && gpu->xids < MAX_XIDS) gpu->xid[gpu->xids++] = (unsigned long long)number;
    else fprintf(stderr, "fake nvml: no such line: %s %s", key, text);
}

static void line(State *all, const char *text) {
    char who[32], key[32];
    int used = 0;
    if (sscanf(text, "%31s %n", who, &used) != 1 || who[0] == '#') return;
    const char *rest = text + used;
    if (!strcmp(who, "driver")) words(all->driver, sizeof all->driver, rest);
    else if (!strcmp(who, "gpus")) all->gpus = atoi(rest);
    else if (!strcmp(who, "init")) all->init_code = atoi(rest);
    else if (!strcmp(who, "boot")) all->boot = atof(rest);
    else if (!strcmp(who, "clock_offset")) all->clock_offset = atof(rest);
    else if (!strcmp(who, "latency")) all->latency = atof(rest);
    else if (sscanf(rest, "%31s %n", key, &used) == 1)
        for (int i = 0; i < MAX_GPUS; i++)
            if (who[0] == '*' || atoi(who) == i) setting(&all->gpu[i], key, rest + used);
}

State *state(void) {
    static struct stat seen;
    const char *path = getenv("FAKE_NVML");
    struct stat fresh;
    if (!path || stat(path, &fresh)) return NULL;
    if (fresh.st_ino == seen.st_ino && fresh.st_mtim.tv_nsec == seen.st_mtim.tv_nsec &&
        fresh.st_mtim.tv_sec == seen.st_mtim.tv_sec && fresh.st_size == seen.st_size)
        return &current;
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    char text[512];
    defaults(&current);
    while (fgets(text, sizeof text, file)) line(&current, text);
    fclose(file);
    seen = fresh;
    return &current;
}
