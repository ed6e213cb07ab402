/// Counts what chosen threads allocate: linked into a test, it stands in front of the C library's allocator,
/// which Swift's runtime uses too.
#ifndef CALLOCATIONCOUNTER_H
#define CALLOCATIONCOUNTER_H

#include <stdbool.h>

/// False in a build with a sanitizer, which brings an allocator of its own.
bool allocation_counter_works(void);

/// From now on the calling thread's allocations count.
void allocation_counter_include_this_thread(void);

/// How many there were so far, in all threads included.
unsigned long allocation_counter_value(void);

#endif
