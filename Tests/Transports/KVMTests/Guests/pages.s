# Writes to two pages of memory, far apart.
        .include "guest.inc"
        movb    $1, 0xb000
        mov     $0x3000, %ax
        mov     %ax, %es
        movb    $1, %es:0
        end     8
