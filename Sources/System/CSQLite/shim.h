/// SQLite's C interface, with what Swift can't read of it.
#include <sqlite3.h>

/// Says that SQLite is to copy what is bound. It is a cast of -1, which no Swift import knows.
static inline sqlite3_destructor_type csqlite_transient(void) { return SQLITE_TRANSIENT; }
