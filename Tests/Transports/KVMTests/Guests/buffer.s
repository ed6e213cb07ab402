# Writes and reads back 4 KiB of BAR 2's mapped part, word by word.
        .include "guest.inc"
        place
        mov     $BUFFER, %ax
        mov     %ax, %es
        mov     $4096, %di
write:  mov     %di, %es:(%di)
        add     $2, %di
        cmp     $8192, %di
        jne     write
        xor     %bx, %bx
        mov     $4096, %di
read:   add     %es:(%di), %bx
        add     $2, %di
        cmp     $8192, %di
        jne     read
        mov     %bx, RESULTS
        end     3
