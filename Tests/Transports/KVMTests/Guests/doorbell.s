# Rings the doorbell 1000 times.
        .include "guest.inc"
        place
        mov     $1000, %cx
        mov     $7, %eax
ring:   mov     %eax, %es:0x80
        loop    ring
        end     4
