# 20000 times one load from the shared registers, between two marks for the clock.
        .include "guest.inc"
        place
        mov     $SHARED, %ax
        mov     %ax, %es
        mov     $'b', %al
        out     %al, $0xe9
        mov     $20000, %cx
again:  mov     %es:0x08, %eax
        loop    again
        mov     $'e', %al
        out     %al, $0xe9
        end     0
