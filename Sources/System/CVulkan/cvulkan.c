#include "CVulkan.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Of the Vulkan specification, 1.0, as much as it takes to ask for names. */
struct instance_create_info {
    int32_t type;
    const void *next;
    uint32_t flags;
    const void *application;
    uint32_t layer_count;
    const char *const *layers;
    uint32_t extension_count;
    const char *const *extensions;
};
struct device_properties {
    uint32_t api_version, driver_version, vendor, device, type;
    char name[256];
    uint8_t identity[16];
    /* VkPhysicalDeviceLimits and VkPhysicalDeviceSparseProperties are shorter. */
    uint64_t rest[128];
};
typedef void (*function)(void);
typedef int32_t (*create_instance)(const struct instance_create_info *, const void *, void **);
typedef int32_t (*enumerate_devices)(void *, uint32_t *, void **);
typedef void (*get_properties)(void *, struct device_properties *);

static const int32_t type_instance_create_info = 1;
static const int32_t incomplete = 5;

int cvulkan_device_name(char *name, size_t size) {
    void *loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!loader) return -ENOENT;
    function (*get)(void *, const char *);
    *(void **)&get = dlsym(loader, "vkGetInstanceProcAddr");
    create_instance create = get ? (create_instance)get(NULL, "vkCreateInstance") : NULL;
    struct instance_create_info info = {.type = type_instance_create_info};
    void *instance = NULL;
    if (!create || create(&info, NULL, &instance) != 0) return -ENODEV;
    enumerate_devices enumerate = (enumerate_devices)get(instance, "vkEnumeratePhysicalDevices");
    get_properties properties = (get_properties)get(instance, "vkGetPhysicalDeviceProperties");
    if (!enumerate || !properties) return -ENODEV;
    uint32_t count = 1;
    void *device = NULL;
    int32_t result = enumerate(instance, &count, &device);
    if ((result != 0 && result != incomplete) || count < 1) return -ENODEV;
    struct device_properties found = {0};
    properties(device, &found);
    found.name[sizeof found.name - 1] = 0;
    strncpy(name, found.name, size - 1);
    name[size - 1] = 0;
    return 0;
}
