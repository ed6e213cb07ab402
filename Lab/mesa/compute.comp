#version 450
// What vkcheck computes as well, for each value: sixteen steps of a pseudo-random sequence that begins with its place.
layout(local_size_x = 64) in;
layout(std430, binding = 0) buffer Values { uint values[]; };
layout(push_constant) uniform Round { uint number; };
void main() {
    uint value = gl_GlobalInvocationID.x + number;
    for (int step = 0; step < 16; step++) value = value * 1664525u + 1013904223u;
    values[gl_GlobalInvocationID.x] = value;
}
