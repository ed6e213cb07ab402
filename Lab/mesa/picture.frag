#version 450
// The picture of glscene.
layout(push_constant) uniform Size { vec2 size; };
layout(location = 0) out vec4 colour;
void main() {
    vec2 place = gl_FragCoord.xy / size;
    float inside = distance(gl_FragCoord.xy, size * 0.5) < size.y * 0.25 ? 1.0 : 0.0;
    colour = vec4(place.x, 1.0 - place.y, inside, 1.0);
}
