# Has the device fill 256 bytes at 0x9000, and copy them to 0xa000.
        .include "guest.inc"
        place
        movl    $0x9000, %es:0x28
        movl    $0, %es:0x2c
        movl    $256, %es:0x30
        movb    $0xa5, %es:0x34
        movl    $4, %es:0x38
        movl    $0x9000, %es:0x20
        movl    $0, %es:0x24
        movl    $0xa000, %es:0x28
        movl    $3, %es:0x38
        mov     %es:0x3c, %eax
        mov     %eax, RESULTS
        mov     0xa0fe, %ax
        mov     %ax, RESULTS + 4
        end     7
