# Looks for devices in all slots, and sizes BAR 0.
        .include "guest.inc"
        mov     $STACK, %sp
        xor     %di, %di
        mov     $0x80000000, %ebx
scan:   mov     %ebx, %eax
        mov     $0xcf8, %dx
        out     %eax, %dx
        mov     $0xcfc, %dx
        in      %dx, %eax
        mov     %eax, RESULTS(%di)
        add     $4, %di
        add     $0x800, %ebx
        cmp     $32 * 4, %di
        jne     scan
        configure 0x10, 0xffffffff
        select  0x10
        in      %dx, %eax
        mov     %eax, RESULTS + 128
        # One byte in the middle of a register: the header type.
        select  0x0e
        in      %dx, %al
        mov     %al, RESULTS + 132
        # The interrupt line that the firmware left.
        select  0x3c
        in      %dx, %al
        mov     %al, RESULTS + 133
        end     2
