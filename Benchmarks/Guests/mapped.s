# 20000 times one load from BAR 2's mapped part, between two marks for the clock.
        .include "guest.inc"
        place
        mov     $BUFFER, %ax
        mov     %ax, %es
        mov     $'b', %al
        out     %al, $0xe9
        mov     $20000, %cx
again:  mov     %es:0x1000, %eax
        loop    again
        mov     $'e', %al
        out     %al, $0xe9
        end     0
