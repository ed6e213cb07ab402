# Takes 10 messages of MSI vector 1 by the local APIC: the data has 0x40 for vector 0.
        .include "guest.inc"
        place
        movw    $handler, 0x41 * 4
        movw    $0, 0x41 * 4 + 2
        movw    $0, RESULTS
        # The local APIC is far above 1 MiB: a visit to protected mode leaves %gs with a limit of 4 GiB.
        cli
        lgdt    table
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        mov     $8, %bx
        mov     %bx, %gs
        and     $0xfe, %al
        mov     %eax, %cr0
        # Spurious-interrupt vector register: on.
        mov     $0xfee000f0, %ebx
        movl    $0x1ff, %gs:(%ebx)
        sti
        # The capability whose ID is 5: address, data, then on, with two vectors.
        select  0x34
        in      %dx, %al
next:   movzbl  %al, %ebx
        lea     0x80000800(%ebx), %eax
        mov     $0xcf8, %dx
        out     %eax, %dx
        mov     $0xcfc, %dx
        in      %dx, %eax
        cmp     $0x05, %al
        je      found
        mov     %ah, %al
        jmp     next
found:  movzbl  %bl, %ebx
        mov     %eax, %esi
        mov     $4, %cl
        mov     $0xfee00000, %eax
        call    set
        mov     $8, %cl
        xor     %eax, %eax
        call    set
        mov     $12, %cl
        mov     $0x40, %eax
        call    set
        # Multiple Message Enable: 2; MSI Enable.
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

        # Writes %eax to the register %cl bytes behind the capability, whose address is in %ebx.
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
        # End of interrupt.
        mov     $0xfee000b0, %ebx
        movl    $0, %gs:(%ebx)
        pop     %ebx
        iret

        .balign 8
descriptors:
        .quad   0
        .quad   0x00cf92000000ffff
table:  .word   15
        .long   descriptors
