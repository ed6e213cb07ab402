# 2000 times: asks the device for an MSI-X message, and waits for it by the local APIC; between two marks for the clock.
        .include "guest.inc"
        place
        movw    $handler, 0x40 * 4
        movw    $0, 0x40 * 4 + 2
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
        mov     $0xfee000f0, %ebx
        movl    $0x1ff, %gs:(%ebx)
        sti
        mov     $TABLE, %ax
        mov     %ax, %fs
        movl    $0xfee00000, %fs:48
        movl    $0, %fs:52
        movl    $0x40, %fs:56
        movl    $0, %fs:60
        # The capability whose ID is 0x11: switch it on.
        select  0x34
        in      %dx, %al
next:   movzbl  %al, %ebx
        lea     0x80000800(%ebx), %eax
        mov     $0xcf8, %dx
        out     %eax, %dx
        mov     $0xcfc, %dx
        in      %dx, %eax
        cmp     $0x11, %al
        je      found
        mov     %ah, %al
        jmp     next
found:  or      $0x80000000, %eax
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
