# Takes 100 level-triggered interrupts on IRQ 10 by the PICs: slot 1's INTx.
        .include "guest.inc"
        place
        cli
        # Vector 0x72: IRQ 10.
        movw    $handler, 0x72 * 4
        movw    $0, 0x72 * 4 + 2
        # ICW1 to ICW4 of both PICs: vectors from 0x68 and 0x70 on.
        mov     $0x11, %al
        out     %al, $0x20
        out     %al, $0xa0
        mov     $0x68, %al
        out     %al, $0x21
        mov     $0x70, %al
        out     %al, $0xa1
        mov     $4, %al
        out     %al, $0x21
        mov     $2, %al
        out     %al, $0xa1
        mov     $1, %al
        out     %al, $0x21
        out     %al, $0xa1
        # IRQ 10 is level-triggered (ELCR), and only it and the cascade are let through.
        mov     $4, %al
        mov     $0x4d1, %dx
        out     %al, %dx
        mov     $0xfb, %al
        out     %al, $0x21
        out     %al, $0xa1
        movw    $0, RESULTS
        mov     $100, %cx
again:  mov     RESULTS, %bx
        sti
        movl    $1, %es:0x14
wait:   cmp     RESULTS, %bx
        je      wait
        loop    again
        end     5

handler:
        push    %eax
        # Clears the cause, which takes the pin down; writes are posted, and the read waits for it.
        movl    $0xffffffff, %es:0x18
        mov     %es:0x18, %eax
        incw    RESULTS
        mov     $0x20, %al
        out     %al, $0xa0
        out     %al, $0x20
        pop     %eax
        iret
