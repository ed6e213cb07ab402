# Reads and writes registers of every width, in memory and I/O space.
        .include "guest.inc"
        place
        mov     %es:0x00, %eax
        mov     %eax, RESULTS
        movl    $0x11223344, %es:0x04
        movb    $0xff, %es:0x05
        mov     %es:0x04, %eax
        mov     %eax, RESULTS + 4
        mov     %es:0x06, %ax
        mov     %ax, RESULTS + 8
        # The same registers behind the I/O BAR.
        mov     $0xc000, %dx
        in      %dx, %eax
        mov     %eax, RESULTS + 12
        mov     $0xc004, %dx
        mov     $0x55667788, %eax
        out     %eax, %dx
        mov     %es:0x04, %eax
        mov     %eax, RESULTS + 16
        end     1
