# Rings the doorbell until the shared counter of rings has changed, and tries to write to the counter.
        .include "guest.inc"
        place
        mov     $SHARED, %ax
        mov     %ax, %fs
        mov     %fs:0x08, %eax
        mov     %eax, RESULTS
        mov     $1, %eax
        mov     %eax, %es:0x80
wait:   cmpl    $0, %fs:0x08
        je      wait
        mov     %fs:0x08, %eax
        mov     %eax, RESULTS + 4
        movl    $0x1234, %fs:0x08
        mov     %fs:0x08, %eax
        mov     %eax, RESULTS + 8
        end     11
