/* What a forked nvidia-smi does for an exporter: open the driver's library, ask every GPU in turn,
 * print a line for each. The real one does more and takes tens to hundreds of milliseconds. */
#include <dlfcn.h>
#include <stdio.h>

typedef void *Device;
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;

static void *library;

static void *find(const char *name) { return dlsym(library, name); }

int main(void) {
    library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!library) return 9;
    int (*init)(void) = (int (*)(void))find("nvmlInit_v2");
    int (*count_of)(unsigned *) = (int (*)(unsigned *))find("nvmlDeviceGetCount_v2");
    int (*by_index)(unsigned, Device *) = (int (*)(unsigned, Device *))find("nvmlDeviceGetHandleByIndex_v2");
    int (*uuid_of)(Device, char *, unsigned) = (int (*)(Device, char *, unsigned))find("nvmlDeviceGetUUID");
    int (*rates_of)(Device, Rates *) = (int (*)(Device, Rates *))find("nvmlDeviceGetUtilizationRates");
    int (*memory_of)(Device, Memory *) = (int (*)(Device, Memory *))find("nvmlDeviceGetMemoryInfo_v2");
    int (*power_of)(Device, unsigned *) = (int (*)(Device, unsigned *))find("nvmlDeviceGetPowerUsage");
    int (*celsius_of)(Device, int, unsigned *) = (int (*)(Device, int, unsigned *))find("nvmlDeviceGetTemperature");
    int (*clock_of)(Device, int, unsigned *) = (int (*)(Device, int, unsigned *))find("nvmlDeviceGetClockInfo");
    unsigned count = 0;
    if (init() || count_of(&count)) return 9;
    for (unsigned i = 0; i < count; i++) {
        Device device;
        Rates rates = {0, 0};
        Memory memory = {0x02000028, 0, 0, 0, 0};
        unsigned power = 0, celsius = 0, clock = 0;
        char uuid[96] = "";
        if (by_index(i, &device) || uuid_of(device, uuid, sizeof uuid)) return 15;
        if (rates_of(device, &rates) || memory_of(device, &memory)) return 15;
        power_of(device, &power);
        celsius_of(device, 0, &celsius);
        clock_of(device, 1, &clock);
        printf("%u, %s, %u, %llu, %llu, %.2f, %u, %u\n", i, uuid, rates.gpu, memory.used >> 20,
               memory.total >> 20, power / 1000.0, celsius, clock);
    }
    return 0;
}
