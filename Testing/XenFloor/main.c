// The floor of an access under Xen: a device model that does what each has to do for a request and nothing else. It
// sleeps, takes the event and the request, answers, notifies.
//
// usage: XenFloor DOMAIN FIRST LAST, of addresses in the domain's memory
#include "CXen.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int check(const char *what, int result) {
    if (result >= 0) return result;
    fprintf(stderr, "XenFloor: can't %s: error %d.\n", what, -result);
    exit(1);
}

int main(int count, char **arguments) {
    if (count != 4) return 64;
    uint16_t domain = (uint16_t)atoi(arguments[1]), server = 0;
    uint64_t first = strtoull(arguments[2], NULL, 0), last = strtoull(arguments[3], NULL, 0);
    int privcmd = check("open privcmd", open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC));
    int channels = check("open evtchn", open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC));
    struct cxen_request *request = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    if (request == MAP_FAILED) return 1;
    check("make a server", cxen_create_server(privcmd, domain, &server));
    check("map its page", cxen_map_server(privcmd, domain, server, 1, 1, request));
    check("claim", cxen_map_range(privcmd, domain, server, cxen_range_memory, first, last));
    check("begin", cxen_enable_server(privcmd, domain, server, true));
    uint32_t own = (uint32_t)check("bind", cxen_bind_channel(channels, domain, request->port));
    fprintf(stderr, "Serving\n");
    for (;;) {
        struct pollfd waiting = {.fd = channels, .events = POLLIN};
        poll(&waiting, 1, -1);
        uint32_t port;
        if (read(channels, &port, sizeof port) == sizeof port) (void)!write(channels, &port, sizeof port);
        struct cxen_request copy;
        if (!cxen_take_request(request, &copy)) continue;
        cxen_answer_request(request, 0x5eed);
        cxen_notify(channels, own);
    }
}
