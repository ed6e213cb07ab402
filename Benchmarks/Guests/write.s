# 20000 times one access to BAR 0, between two marks for the clock.
        .include "guest.inc"
        place
        mov     $'b', %al
        out     %al, $0xe9
        mov     $20000, %cx
again:  mov     %eax, %es:0x04
        loop    again
        mov     $'e', %al
        out     %al, $0xe9
        end     0
