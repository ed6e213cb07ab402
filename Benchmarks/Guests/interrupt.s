# 2000 times: asks the device for an MSI-X message, and waits for it by the local APIC; between two marks for the clock.
        .include "guest.inc"
        place
        movw    $0, RESULTS
        receive 0x40
        aim     0x40
        find    0x11
        or      $0x80000000, %eax
        out     %eax, %dx
        mov     $'b', %al
        out     %al, $0xe9
        mov     $2000, %cx
again:  mov     RESULTS, %bx
        movl    $3, %es:0x10
wait:   cmp     RESULTS, %bx
        je      wait
        loop    again
        mov     $'e', %al
        out     %al, $0xe9
        end     0

handler:
        push    %ebx
        incw    RESULTS
        acknowledge
        pop     %ebx
        iret

        descriptors
