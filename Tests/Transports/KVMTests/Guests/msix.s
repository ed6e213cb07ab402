# Takes 10 MSI-X messages by the local APIC.
        .include "guest.inc"
        place
        movw    $0, RESULTS
        receive 0x40
        aim     0x40
        find    0x11
        or      $0x80000000, %eax
        out     %eax, %dx
        mov     $10, %cx
again:  mov     RESULTS, %bx
        movl    $3, %es:0x10
wait:   cmp     RESULTS, %bx
        je      wait
        loop    again
        end     6

handler:
        push    %ebx
        incw    RESULTS
        acknowledge
        pop     %ebx
        iret

        descriptors
