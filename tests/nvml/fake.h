/* A stand-in for NVIDIA's libnvidia-ml.so.1: the calls that exporters make, for GPUs that are
 * pure functions of the clock. What they are is read from the text file that FAKE_NVML names;
 * it is read again whenever it changes (README.md tells its lines). Layouts and numbers follow
 * https://docs.nvidia.com/deploy/nvml-api/. */
#ifndef FAKE_H
#define FAKE_H

#include <stdint.h>

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4,
    NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15,
    UNKNOWN = 999,
};
enum { MAX_GPUS = 8, MAX_PROCESSES = 32, MAX_FAULTS = 16, MAX_INSTANCES = 7, MAX_XIDS = 64 };
enum { THROTTLES = 6 };

/* Something that is on for `length` seconds of every `period`, from `phase` on; always on where
 * the period is 0. `level` is how much of it there is. */
typedef struct { double period, length, phase, level; } Wave;

typedef struct { char function[48]; int code; double seconds; } Fault; /* seconds < 0: for ever */
typedef struct { unsigned pid; double mib, share; char kind; int instance; } Process;
typedef struct { unsigned id, slices; double memory_mib, used_mib, share; char profile[32]; } Instance;

typedef struct {
    char name[96], uuid[80], bus[32];
    int absent, mig;
    double memory_mib, reserved_mib, vram_mib;
    Wave spike, busy, throttle[THROTTLES];
    double idle_watts, busy_watts;
    double ring_period, ring_delay;
    int ring_length, ring_dry, gpm;
    double sm_share, tensor_share, memory_share;
    unsigned temperature, memory_temperature, sm_clock, memory_clock;
    unsigned long long ecc[4], remapped[4], replays;
    Process process[MAX_PROCESSES];
    int processes;
    Fault fault[MAX_FAULTS];
    int faults;
    Instance instance[MAX_INSTANCES];
    int instances;
    unsigned long long xid[MAX_XIDS];
    int xids;
} Gpu;

typedef struct {
    char driver[80];
    int gpus;
    int init_code;
    double boot, clock_offset, latency; /* seconds */
    Gpu gpu[MAX_GPUS];
} State;

/* What callers hold: a GPU, or an instance of it (`part` counts from 0; -1 is the whole GPU). */
typedef struct { int gpu, part; } Handle;
typedef Handle *Device;

#pragma GCC visibility push(hidden)
/* state.c */
State *state(void);            /* what the file says now; NULL where there is no file */
/* truth.c */
double now(void);              /* seconds, Unix time */
int on(const Wave *wave, double at);
double on_seconds(const Wave *wave, double from, double to);
double busy_seconds(const Gpu *gpu, double from, double to);   /* weighted by the level */
double joules(const State *all, const Gpu *gpu, double at);
double used_mib(const Gpu *gpu, double at);
unsigned percent(const Gpu *gpu, double from, double to);
/* system.c */
int started(void);             /* whether nvmlInit was called more often than nvmlShutdown */
Device handle(int gpu, int part);
int enter(Device device, const char *function, Gpu **gpu);     /* faults strike here */
#define ENTER(device, gpu) \
    Gpu *gpu; \
    do { int code_ = enter(device, __func__, &gpu); if (code_ != OK) return code_; } while (0)
#define WHOLE(device) do { if ((device)->part >= 0) return NOT_SUPPORTED; } while (0)
int copy(char *to, unsigned size, const char *text);
#pragma GCC visibility pop

#endif
