# Reads a register, tells so, and reads again and again until all ones come: the device has gone.
        .include "guest.inc"
        place
        mov     %es:0x00, %eax
        mov     %eax, RESULTS
        mov     $'!', %al
        out     %al, $0xe9
again:  mov     %es:0x00, %eax
        cmp     $0xffffffff, %eax
        jne     again
        end     9
