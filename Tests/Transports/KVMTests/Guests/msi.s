# Takes 10 messages of MSI vector 1 by the local APIC: the data has 0x40 for vector 0.
        .include "guest.inc"
        place
        movw    $0, RESULTS
        receive 0x41
        find    0x05
        mov     %eax, %esi
        # Address, data, then on, with two vectors: Multiple Message Enable 1.
        mov     $4, %cl
        mov     $0xfee00000, %eax
        call    set
        mov     $8, %cl
        xor     %eax, %eax
        call    set
        mov     $12, %cl
        mov     $0x40, %eax
        call    set
        mov     %esi, %eax
        and     $0xff8fffff, %eax
        or      $0x00110000, %eax
        mov     $0, %cl
        call    set
        mov     $10, %cx
again:  mov     RESULTS, %bx
        movl    $1, %es:0x10
wait:   cmp     RESULTS, %bx
        je      wait
        loop    again
        end     6

        # Writes %eax to the register %cl bytes behind the capability, whose offset is in %ebx.
set:    push    %eax
        movzbl  %cl, %eax
        lea     0x80000800(%eax, %ebx), %eax
        mov     $0xcf8, %dx
        out     %eax, %dx
        mov     $0xcfc, %dx
        pop     %eax
        out     %eax, %dx
        ret

handler:
        push    %ebx
        incw    RESULTS
        acknowledge
        pop     %ebx
        iret

        descriptors
