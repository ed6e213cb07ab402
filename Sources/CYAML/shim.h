/// libyaml: YAML 1.1 as events, each with its place in the text.
#include <yaml.h>
