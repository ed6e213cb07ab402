/// What a host's Vulkan loader has: found when it is asked for, so that nothing needs it to be there.
#ifndef CVULKAN_H
#define CVULKAN_H

#include <stddef.h>

/// Stores the name of the first graphics device that the loader, libvulkan.so.1, finds a driver for
/// (VkPhysicalDeviceProperties.deviceName), with a zero at its end. Loads drivers, which stay loaded.
///
/// Returns 0; -ENOENT when there is no loader, -ENODEV when it finds no device.
int cvulkan_device_name(char *name, size_t size);

#endif
