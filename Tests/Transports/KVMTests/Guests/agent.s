# Does what it is told in a mailbox, one access at a time, and says "d" for done at port 0xe9. A message of vector 0x40 is
# said as "i".
        .include "guest.inc"
        .set COMMAND, 0x6000
        .set SEGMENT, 0x6004
        .set OFFSET, 0x6008
        .set VALUE, 0x600c
        place
        receive 0x40
        mov     $'d', %al
        out     %al, $0xe9

next:   mov     COMMAND, %bl
        cmp     $0, %bl
        je      next
        movb    $0, COMMAND
        mov     SEGMENT, %ax
        mov     %ax, %es
        mov     OFFSET, %di
        mov     VALUE, %ecx
        cmp     $'b', %bl
        je      readb
        cmp     $'w', %bl
        je      readw
        cmp     $'l', %bl
        je      readl
        cmp     $'B', %bl
        je      writeb
        cmp     $'W', %bl
        je      writew
        cmp     $'L', %bl
        je      writel
        cmp     $'c', %bl
        je      configr
        cmp     $'C', %bl
        je      configw
        end     0

readb:  movzbl  %es:(%di), %eax
        jmp     answer
readw:  movzwl  %es:(%di), %eax
        jmp     answer
readl:  mov     %es:(%di), %eax
answer: mov     %eax, VALUE
done:   mov     $'d', %al
        out     %al, $0xe9
        jmp     next
writeb: mov     %cl, %es:(%di)
        jmp     done
writew: mov     %cx, %es:(%di)
        jmp     done
writel: mov     %ecx, %es:(%di)
        jmp     done
        # Configuration space of slot 1, a register of 32 bits.
configr: call   choose
        in      %dx, %eax
        jmp     answer
configw: call   choose
        mov     %ecx, %eax
        out     %eax, %dx
        jmp     done
choose: movzwl  %di, %eax
        or      $0x80000800, %eax
        mov     $0xcf8, %dx
        out     %eax, %dx
        mov     $0xcfc, %dx
        ret

handler:
        push    %eax
        push    %ebx
        mov     $'i', %al
        out     %al, $0xe9
        acknowledge
        pop     %ebx
        pop     %eax
        iret

        descriptors
