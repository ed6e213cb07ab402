// vkscene: computes and draws with Vulkan what the host, or it itself, can compute.
//
//     vkscene --compute [ROUNDS]           computes 1 Mi values a round (4 by default), and compares each
//     vkscene --fill                       takes blocks of 4 MiB that it can see until there are no more (or 256), gives
//                                          all back, and does so again
//     vkscene --offscreen WxH              draws glscene's picture, reads it back, and compares
//     vkscene --screen WxH [--frames N]    draws it, and has a display show the memory that it is in, N times
//
// It prints one line for what does it, and one for what was done:
//
//     device Virtio-GPU Venus (llvmpipe (LLVM 19.1.7, 256 bits))
//     compute 4 rounds of 1048576 values: 0 wrong in 95 ms
//     fill 14 blocks, then 14
//     offscreen 320x240: 0 pixels differ by more than 2
//     screen 640x480: 30 frames in 812 ms, kept by 123
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <vulkan/vulkan.h>

#include "display.h"
#include "shaders.h"

#define VALUES (1u << 20)

static VkPhysicalDevice physical;
static VkDevice device;
static VkQueue queue;
static VkCommandBuffer commands;
static VkPhysicalDeviceMemoryProperties memories;

static void check(VkResult result, const char *what) {
    if (result == VK_SUCCESS) return;
    fprintf(stderr, "vkscene: %s: VkResult %d\n", what, result);
    exit(1);
}

static void open_device(bool exports) {
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    VkInstance instance;
    check(vkCreateInstance(&instance_info, 0, &instance), "vkCreateInstance");
    uint32_t count = 1;
    VkResult result = vkEnumeratePhysicalDevices(instance, &count, &physical);
    if (result != VK_INCOMPLETE) check(result, "vkEnumeratePhysicalDevices");
    if (count < 1) {
        fprintf(stderr, "vkscene: there is no device\n");
        exit(1);
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    vkGetPhysicalDeviceMemoryProperties(physical, &memories);
    printf("device %s\n", properties.deviceName);
    // The first family of queues of the drivers that there are draws and computes.
    float priority = 1;
    VkDeviceQueueCreateInfo queue_info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    static const char *const extensions[] = {"VK_KHR_external_memory_fd", "VK_EXT_external_memory_dma_buf"};
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue_info,
        .enabledExtensionCount = exports ? 2 : 0, .ppEnabledExtensionNames = extensions};
    check(vkCreateDevice(physical, &info, 0, &device), "vkCreateDevice");
    vkGetDeviceQueue(device, 0, 0, &queue);
    VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                         .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT};
    VkCommandPool pool;
    check(vkCreateCommandPool(device, &pool_info, 0, &pool), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo buffer_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1};
    check(vkAllocateCommandBuffers(device, &buffer_info, &commands), "vkAllocateCommandBuffers");
}

static void begin(void) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    check(vkBeginCommandBuffer(commands, &info), "vkBeginCommandBuffer");
}

// Has the device carry out what was recorded, and waits for it.
static void finish(void) {
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    check(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    check(vkQueueSubmit(queue, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
    check(vkQueueWaitIdle(queue), "vkQueueWaitIdle");
}

// The first of the allowed types of memory that has all of the properties.
static uint32_t memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted) {
    for (uint32_t type = 0; type < memories.memoryTypeCount; type++)
        if (allowed & 1u << type && (memories.memoryTypes[type].propertyFlags & wanted) == wanted) return type;
    fprintf(stderr, "vkscene: there is no such memory\n");
    exit(1);
}

#define SEEN (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

// A buffer in memory of its own that the program sees; with `exported`, another driver may have that as a dma-buf.
static VkBuffer make_buffer(VkDeviceSize size, VkBufferUsageFlags usage, VkDeviceMemory *memory, void **place, bool exported) {
    VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                 .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT};
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .pNext = exported ? &external : 0, .size = size, .usage = usage};
    VkBuffer buffer;
    check(vkCreateBuffer(device, &info, 0, &buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device, buffer, &needs);
    VkExportMemoryAllocateInfo export = {.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
                                         .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT};
    VkMemoryAllocateInfo allocation = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = exported ? &export : 0, .allocationSize = needs.size,
        .memoryTypeIndex = memory_type(needs.memoryTypeBits, SEEN)};
    check(vkAllocateMemory(device, &allocation, 0, memory), "vkAllocateMemory");
    check(vkBindBufferMemory(device, buffer, *memory, 0), "vkBindBufferMemory");
    check(vkMapMemory(device, *memory, 0, VK_WHOLE_SIZE, 0, place), "vkMapMemory");
    return buffer;
}

static VkShaderModule make_shader(const uint32_t *code, size_t size) {
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = code};
    VkShaderModule shader;
    check(vkCreateShaderModule(device, &info, 0, &shader), "vkCreateShaderModule");
    return shader;
}

static VkPipelineLayout make_layout(const VkDescriptorSetLayout *set, VkShaderStageFlags stages, uint32_t constants) {
    VkPushConstantRange range = {.stageFlags = stages, .size = constants};
    VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = set ? 1 : 0, .pSetLayouts = set,
        .pushConstantRangeCount = 1, .pPushConstantRanges = &range};
    VkPipelineLayout layout;
    check(vkCreatePipelineLayout(device, &info, 0, &layout), "vkCreatePipelineLayout");
    return layout;
}

static int compute(uint32_t rounds) {
    open_device(false);
    VkDeviceMemory memory;
    uint32_t *values;
    VkBuffer buffer = make_buffer(VALUES * 4, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &memory, (void **)&values, false);

    VkDescriptorSetLayoutBinding binding = {
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 1, .pBindings = &binding};
    VkDescriptorSetLayout set_layout;
    check(vkCreateDescriptorSetLayout(device, &set_info, 0, &set_layout), "vkCreateDescriptorSetLayout");
    VkDescriptorPoolSize pool_size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1};
    VkDescriptorPoolCreateInfo pool_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1, .pPoolSizes = &pool_size};
    VkDescriptorPool pool;
    check(vkCreateDescriptorPool(device, &pool_info, 0, &pool), "vkCreateDescriptorPool");
    VkDescriptorSetAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = pool,
                                              .descriptorSetCount = 1, .pSetLayouts = &set_layout};
    VkDescriptorSet set;
    check(vkAllocateDescriptorSets(device, &allocation, &set), "vkAllocateDescriptorSets");
    VkDescriptorBufferInfo whole = {.buffer = buffer, .range = VK_WHOLE_SIZE};
    VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &whole};
    vkUpdateDescriptorSets(device, 1, &write, 0, 0);

    VkPipelineLayout layout = make_layout(&set_layout, VK_SHADER_STAGE_COMPUTE_BIT, 4);
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = make_shader(compute_comp, sizeof compute_comp), .pName = "main"}};
    VkPipeline pipeline;
    check(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, 0, &pipeline), "vkCreateComputePipelines");

    unsigned long wrong = 0;
    long start = milliseconds();
    for (uint32_t round = 0; round < rounds; round++) {
        memset(values, 0, VALUES * 4);
        begin();
        vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
        vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, 0);
        vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 4, &round);
        vkCmdDispatch(commands, VALUES / 64, 1, 1);
        finish();
        for (uint32_t i = 0; i < VALUES; i++) {
            uint32_t value = i + round;
            for (int step = 0; step < 16; step++) value = value * 1664525u + 1013904223u;
            wrong += values[i] != value;
        }
    }
    printf("compute %u rounds of %u values: %lu wrong in %ld ms\n", rounds, VALUES, wrong, milliseconds() - start);
    return wrong ? 1 : 0;
}

static int fill(void) {
    enum { most = 256 };
    static VkDeviceMemory blocks[most];
    open_device(false);
    int counts[2];
    for (int round = 0; round < 2; round++) {
        int count = 0;
        VkResult result = VK_SUCCESS;
        while (count < most) {
            VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = 4 << 20,
                                               .memoryTypeIndex = memory_type(~0u, SEEN)};
            void *place;
            result = vkAllocateMemory(device, &allocation, 0, &blocks[count]);
            if (result != VK_SUCCESS) break;
            check(vkMapMemory(device, blocks[count], 0, VK_WHOLE_SIZE, 0, &place), "vkMapMemory");
            memset(place, count + 1, 4 << 20);
            count++;
        }
        if (count < most && result != VK_ERROR_OUT_OF_DEVICE_MEMORY && result != VK_ERROR_OUT_OF_HOST_MEMORY)
            check(result, "vkAllocateMemory");
        counts[round] = count;
        while (count > 0) vkFreeMemory(device, blocks[--count], 0);
    }
    printf("fill %d blocks, then %d\n", counts[0], counts[1]);
    return 0;
}

// What draws the picture.
struct picture {
    VkImage image;
    VkRenderPass pass;
    VkFramebuffer target;
    VkPipelineLayout layout;
    VkPipeline pipeline;
};

static void make_image(struct picture *picture, VkFormat format, uint32_t width, uint32_t height) {
    VkImageCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = VK_IMAGE_TYPE_2D, .format = format,
        .extent = {width, height, 1}, .mipLevels = 1, .arrayLayers = 1, .samples = VK_SAMPLE_COUNT_1_BIT,
        .usage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT};
    check(vkCreateImage(device, &info, 0, &picture->image), "vkCreateImage");
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(device, picture->image, &needs);
    VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size,
                                       .memoryTypeIndex = memory_type(needs.memoryTypeBits, 0)};
    VkDeviceMemory memory;
    check(vkAllocateMemory(device, &allocation, 0, &memory), "vkAllocateMemory");
    check(vkBindImageMemory(device, picture->image, memory, 0), "vkBindImageMemory");
    VkImageViewCreateInfo view_info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, .image = picture->image, .viewType = VK_IMAGE_VIEW_TYPE_2D,
        .format = format, .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    VkImageView view;
    check(vkCreateImageView(device, &view_info, 0, &view), "vkCreateImageView");

    VkAttachmentDescription attachment = {
        .format = format, .samples = VK_SAMPLE_COUNT_1_BIT, .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
        .storeOp = VK_ATTACHMENT_STORE_OP_STORE, .finalLayout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL};
    VkAttachmentReference reference = {.layout = VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    VkSubpassDescription subpass = {.colorAttachmentCount = 1, .pColorAttachments = &reference};
    VkSubpassDependency dependency = {
        .dstSubpass = VK_SUBPASS_EXTERNAL, .srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
        .dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT, .srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT};
    VkRenderPassCreateInfo pass_info = {
        .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO, .attachmentCount = 1, .pAttachments = &attachment,
        .subpassCount = 1, .pSubpasses = &subpass, .dependencyCount = 1, .pDependencies = &dependency};
    check(vkCreateRenderPass(device, &pass_info, 0, &picture->pass), "vkCreateRenderPass");
    VkFramebufferCreateInfo target_info = {
        .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO, .renderPass = picture->pass, .attachmentCount = 1,
        .pAttachments = &view, .width = width, .height = height, .layers = 1};
    check(vkCreateFramebuffer(device, &target_info, 0, &picture->target), "vkCreateFramebuffer");
}

static void make_pipeline(struct picture *picture, uint32_t width, uint32_t height) {
    picture->layout = make_layout(0, VK_SHADER_STAGE_FRAGMENT_BIT, 8);
    VkPipelineShaderStageCreateInfo stages[] = {
        {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_VERTEX_BIT,
         .module = make_shader(picture_vert, sizeof picture_vert), .pName = "main"},
        {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
         .module = make_shader(picture_frag, sizeof picture_frag), .pName = "main"}};
    VkPipelineVertexInputStateCreateInfo input = {.sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO};
    VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO, .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST};
    VkViewport viewport = {.width = width, .height = height, .maxDepth = 1};
    VkRect2D all = {.extent = {width, height}};
    VkPipelineViewportStateCreateInfo view = {.sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
                                              .viewportCount = 1, .pViewports = &viewport, .scissorCount = 1, .pScissors = &all};
    VkPipelineRasterizationStateCreateInfo raster = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO, .lineWidth = 1};
    VkPipelineMultisampleStateCreateInfo samples = {.sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
                                                    .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT};
    VkPipelineColorBlendAttachmentState channels = {.colorWriteMask = 0xf};
    VkPipelineColorBlendStateCreateInfo blend = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO, .attachmentCount = 1, .pAttachments = &channels};
    VkGraphicsPipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO, .stageCount = 2, .pStages = stages, .pVertexInputState = &input,
        .pInputAssemblyState = &assembly, .pViewportState = &view, .pRasterizationState = &raster, .pMultisampleState = &samples,
        .pColorBlendState = &blend, .layout = picture->layout, .renderPass = picture->pass};
    check(vkCreateGraphicsPipelines(device, VK_NULL_HANDLE, 1, &info, 0, &picture->pipeline), "vkCreateGraphicsPipelines");
}

// Draws it, and leaves it in the buffer, line after line.
static void draw(const struct picture *picture, VkBuffer buffer, uint32_t width, uint32_t height) {
    float size[2] = {width, height};
    VkClearValue white = {.color = {.float32 = {1, 1, 1, 1}}};
    VkRenderPassBeginInfo pass = {
        .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO, .renderPass = picture->pass, .framebuffer = picture->target,
        .renderArea = {.extent = {width, height}}, .clearValueCount = 1, .pClearValues = &white};
    VkBufferImageCopy copy = {.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1}, .imageExtent = {width, height, 1}};
    begin();
    vkCmdBeginRenderPass(commands, &pass, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, picture->pipeline);
    vkCmdPushConstants(commands, picture->layout, VK_SHADER_STAGE_FRAGMENT_BIT, 0, sizeof size, size);
    vkCmdDraw(commands, 3, 1, 0, 0);
    vkCmdEndRenderPass(commands);
    vkCmdCopyImageToBuffer(commands, picture->image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer, 1, &copy);
    finish();
}

static int offscreen(uint32_t width, uint32_t height) {
    open_device(false);
    struct picture picture;
    VkDeviceMemory memory;
    void *pixels;
    VkBuffer buffer =
        make_buffer((VkDeviceSize)width * height * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT, &memory, &pixels, false);
    make_image(&picture, VK_FORMAT_R8G8B8A8_UNORM, width, height);
    make_pipeline(&picture, width, height);
    draw(&picture, buffer, width, height);
    int differing = compare(pixels, width, height, 1);
    printf("offscreen %ux%u: %d pixels differ by more than 2\n", width, height, differing);
    return differing ? 1 : 0;
}

static int screen(uint32_t width, uint32_t height, int frames) {
    int card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
    if (card < 0) fail("the graphics device");
    uint32_t connector, crtc;
    struct drm_mode_modeinfo mode;
    find(card, width, height, &connector, &crtc, &mode);
    open_device(true);
    struct picture picture;
    VkDeviceMemory memory;
    void *pixels;
    VkBuffer buffer =
        make_buffer((VkDeviceSize)width * height * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT, &memory, &pixels, true);
    make_image(&picture, VK_FORMAT_B8G8R8A8_UNORM, width, height);
    make_pipeline(&picture, width, height);
    VkMemoryGetFdInfoKHR wanted = {.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR, .memory = memory,
                                   .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT};
    PFN_vkGetMemoryFdKHR get = (PFN_vkGetMemoryFdKHR)vkGetDeviceProcAddr(device, "vkGetMemoryFdKHR");
    struct drm_prime_handle shared = {0};
    check(get(device, &wanted, &shared.fd), "vkGetMemoryFdKHR");
    if (ioctl(card, DRM_IOCTL_PRIME_FD_TO_HANDLE, &shared)) fail("PRIME_FD_TO_HANDLE");
    struct drm_mode_fb_cmd frame = {
        .width = width, .height = height, .pitch = width * 4, .bpp = 32, .depth = 24, .handle = shared.handle};
    if (ioctl(card, DRM_IOCTL_MODE_ADDFB, &frame)) fail("ADDFB");
    long start = milliseconds();
    for (int i = 0; i < frames; i++) {
        draw(&picture, buffer, width, height);
        struct drm_mode_crtc set = {
            .set_connectors_ptr = (uintptr_t)&connector, .count_connectors = 1, .crtc_id = crtc, .fb_id = frame.fb_id,
            .mode_valid = 1, .mode = mode};
        struct drm_mode_fb_dirty_cmd dirty = {.fb_id = frame.fb_id};
        if (i == 0 && ioctl(card, DRM_IOCTL_MODE_SETCRTC, &set)) fail("SETCRTC");
        if (i > 0 && ioctl(card, DRM_IOCTL_MODE_DIRTYFB, &dirty)) fail("DIRTYFB");
    }
    int keeper = keep();
    printf("screen %ux%u: %d frames in %ld ms, kept by %d\n", width, height, frames, milliseconds() - start, keeper);
    return 0;
}

int main(int count, char **words) {
    setvbuf(stdout, 0, _IOLBF, 0);
    const char *verb = count > 1 ? words[1] : "";
    unsigned width = 0, height = 0;
    if (!strcmp(verb, "--compute") && count <= 3) return compute(count == 3 ? (uint32_t)atoi(words[2]) : 4);
    if (!strcmp(verb, "--fill") && count == 2) return fill();
    if (count > 2 && sscanf(words[2], "%ux%u", &width, &height) == 2 && width && height && width <= 8192 && height <= 8192) {
        if (!strcmp(verb, "--offscreen") && count == 3) return offscreen(width, height);
        if (!strcmp(verb, "--screen") && count == 3) return screen(width, height, 1);
        if (!strcmp(verb, "--screen") && count == 5 && !strcmp(words[3], "--frames") && atoi(words[4]) > 0)
            return screen(width, height, atoi(words[4]));
    }
    fprintf(stderr, "usage: vkscene --compute [ROUNDS] | --fill | --offscreen WxH | --screen WxH [--frames N]\n");
    return 2;
}
