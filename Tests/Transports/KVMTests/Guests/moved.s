# Moves BAR 0 while it is on, and switches it off: where it was, nothing answers.
        .include "guest.inc"
        place
        configure 0x10, 0x000d2000
        mov     %es:0x00, %eax
        mov     %eax, RESULTS
        mov     %es:0x2000, %eax
        mov     %eax, RESULTS + 4
        configure 0x04, 0
        mov     %es:0x2000, %eax
        mov     %eax, RESULTS + 8
        end     10
