/// libpng's simplified interface, which reports errors without longjmp.
#include <png.h>
