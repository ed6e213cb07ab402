# Writes to ports and addresses where nothing but eventfds may be.
        .include "guest.inc"
        mov     $0x500, %dx
        mov     $1, %al
        out     %al, %dx
        mov     $2, %al
        out     %al, %dx
        mov     $0x600, %dx
        mov     $0x1234, %ax
        out     %ax, %dx
        mov     $0x4321, %ax
        out     %ax, %dx
        mov     $0xd000, %ax
        mov     %ax, %es
        movl    $7, %es:0x10
        movl    $8, %es:0x10
        movb    $8, %es:0x20
        movw    $8, %es:0x20
        end     12
