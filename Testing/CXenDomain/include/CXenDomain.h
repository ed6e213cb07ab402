/// Makes small domains for tests, without Xen's libraries. The interface for that is the toolstack's: it changes with
/// Xen's version, and 4.17 and 4.20 are known here. Each function returns 0 or more, or -errno.
#ifndef CXENDOMAIN_H
#define CXENDOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Opens /dev/xen/privcmd, unrestricted. Returns the descriptor.
int cxd_open(void);
/// Which Xen this is: major << 16 | minor. XENVER_version
int cxd_version(int privcmd);

/// A domain with hardware virtualization, one virtual processor and no memory. It is paused. Returns its number.
///
/// `has_legacy`: it has the interrupt controllers and timers of a PC (HVM); else a local APIC alone (PVH).
int cxd_create(int privcmd, bool has_legacy, uint64_t memory_limit);
/// Has the processor begin at an address, in 32-bit mode without paging, with flat segments. Frame 0 is its table of
/// descriptors: the caller puts there what is said below.
int cxd_start(int privcmd, uint16_t domain, uint32_t address, uint32_t stack);
/// Ends a domain at once and for good. What others have mapped of it stays.
int cxd_destroy(int privcmd, uint16_t domain);

/// What is to be in frame 0 from byte 0 on: three segment descriptors, and from byte 256 on the interrupt gates.
enum { cxd_segments = 0, cxd_gates = 256 };

// MARK: The program in the guest

/// The program, which can lie anywhere: it asks what to do at port `cxd_port_command`, and does it.
const void *cxd_guest_bytes(void);
size_t cxd_guest_size(void);
/// Where in the program the handler of interrupt `index` begins; there are 16.
size_t cxd_guest_handler(unsigned index);
/// Where in the program the address of a register of causes is: each interrupt writes one to its lowest bit that is
/// set. 0: there is none.
size_t cxd_guest_causes(void);

enum {
    /// Read: the next word of a command. Written: a word of its result.
    cxd_port_command = 0x600,
    cxd_port_result = 0x604,
};

/// Commands: a word says which, three more are its arguments a, b and c.
enum {
    cxd_command_read = 0, ///< c bytes from address a; the result is two words.
    cxd_command_write,    ///< c bytes of b to address a; 8 bytes: b in both halves.
    cxd_command_in,       ///< c bytes from port a; the result is a word.
    cxd_command_out,      ///< c bytes of b to port a.
    cxd_command_move,     ///< rep movs: from a to b, c & 0xffff times, c >> 16 & 15 bytes each, downwards with bit 31.
    cxd_command_ins,      ///< rep ins: from port a to address b, c as for move.
    cxd_command_outs,     ///< rep outs: to port a from address b, c as for move.
    cxd_command_wait,     ///< Until interrupt a has come b times, all in all; the result is how often it has.
    cxd_command_hypercall, ///< Number a with arguments b and c; the result is Xen's.
    /// b times: c & 255 to address a, and wait until interrupt c >> 8 has come; the result is as for wait.
    cxd_command_storm,
    /// Writes to b words from address a on, c times over; the result is how many cycles that has taken.
    cxd_command_time,
};

#endif
