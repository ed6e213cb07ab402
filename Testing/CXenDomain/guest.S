// The program in a test's guest: 32-bit mode, no paging, flat segments. %ebp is where it lies. It carries out what it
// is told by port.
#if defined(__x86_64__)
    .section .rodata
    .globl cxd_guest_begin, cxd_guest_end
    .balign 64
    .code32
cxd_guest_begin:
    call 1f
1:  pop %ebp
    sub $(1b - cxd_guest_begin), %ebp
    lidt (idt_register - cxd_guest_begin)(%ebp)
    // The local APIC: on, with vector 0xff for what is spurious.
    movl $0x1ff, 0xfee000f0
    // The legacy interrupt controllers: all masked.
    mov $0xff, %al
    outb %al, $0x21
    outb %al, $0xa1
    // SSE and MMX, for accesses of eight bytes.
    mov %cr0, %eax
    and $~4, %eax
    mov %eax, %cr0

next:
    mov $0x600, %edx
    in %dx, %eax
    mov %eax, %ebx
    in %dx, %eax
    mov %eax, %esi
    in %dx, %eax
    mov %eax, %edi
    in %dx, %eax
    mov %eax, %ecx
    // %ebx: which, %esi: a, %edi: b, %ecx: c
    mov (table - cxd_guest_begin)(%ebp, %ebx, 4), %ebx
    add %ebp, %ebx
    xor %eax, %eax
    call *%ebx
    jmp next

    .balign 4
table:
    .long do_read - cxd_guest_begin, do_write - cxd_guest_begin, do_in - cxd_guest_begin, do_out - cxd_guest_begin
    .long do_move - cxd_guest_begin, do_ins - cxd_guest_begin, do_outs - cxd_guest_begin, do_wait - cxd_guest_begin
    .long do_hypercall - cxd_guest_begin, do_storm - cxd_guest_begin, do_time - cxd_guest_begin

    // Tells %eax.
tell:
    mov $0x604, %edx
    out %eax, %dx
    ret

do_read:
    xor %ebx, %ebx
    cmp $1, %ecx
    je 1f
    cmp $2, %ecx
    je 2f
    cmp $4, %ecx
    je 4f
    movq (%esi), %mm0
    movd %mm0, %eax
    psrlq $32, %mm0
    movd %mm0, %ebx
    jmp 9f
1:  movb (%esi), %al
    jmp 9f
2:  movw (%esi), %ax
    jmp 9f
4:  movl (%esi), %eax
9:  call tell
    mov %ebx, %eax
    jmp tell

do_write:
    mov %edi, %eax
    cmp $1, %ecx
    je 1f
    cmp $2, %ecx
    je 2f
    cmp $4, %ecx
    je 4f
    movd %eax, %mm0
    punpckldq %mm0, %mm0
    movq %mm0, (%esi)
    ret
1:  movb %al, (%esi)
    ret
2:  movw %ax, (%esi)
    ret
4:  movl %eax, (%esi)
    ret

do_in:
    mov %esi, %edx
    cmp $1, %ecx
    je 1f
    cmp $2, %ecx
    je 2f
    in %dx, %eax
    jmp tell
1:  in %dx, %al
    jmp tell
2:  in %dx, %ax
    jmp tell

do_out:
    mov %esi, %edx
    mov %edi, %eax
    cmp $1, %ecx
    je 1f
    cmp $2, %ecx
    je 2f
    out %eax, %dx
    ret
1:  out %al, %dx
    ret
2:  out %ax, %dx
    ret

    // Of c: the direction into the flag, the width into %ebx, the count into %ecx.
split:
    cld
    test %ecx, %ecx
    jns 1f
    std
1:  mov %ecx, %ebx
    shr $16, %ebx
    and $15, %ebx
    and $0xffff, %ecx
    cmp $2, %ebx
    ret

do_move:
    call split
    jb 1f
    je 2f
    rep movsl
    cld
    ret
1:  rep movsb
    cld
    ret
2:  rep movsw
    cld
    ret

do_ins:
    mov %esi, %edx
    call split
    jb 1f
    je 2f
    rep insl
    cld
    ret
1:  rep insb
    cld
    ret
2:  rep insw
    cld
    ret

do_outs:
    mov %esi, %edx
    mov %edi, %esi
    call split
    jb 1f
    je 2f
    rep outsl
    cld
    ret
1:  rep outsb
    cld
    ret
2:  rep outsw
    cld
    ret

do_wait:
    lea (counts - cxd_guest_begin)(%ebp, %esi, 4), %ebx
1:  cli
    mov (%ebx), %eax
    cmp %edi, %eax
    jae 2f
    // An interrupt is taken behind the instruction after sti, so none is missed.
    sti
    hlt
    jmp 1b
2:  jmp tell

do_storm:
    mov %ecx, %eax
    shr $8, %eax
    lea (counts - cxd_guest_begin)(%ebp, %eax, 4), %ebx
    and $255, %ecx
1:  cli
    mov (%ebx), %eax
    mov %ecx, (%esi)
2:  cmp %eax, (%ebx)
    jne 3f
    sti
    hlt
    cli
    jmp 2b
3:  dec %edi
    jnz 1b
    mov (%ebx), %eax
    jmp tell

do_time:
    push %ecx
    rdtsc
    push %eax
1:  mov %esi, %ebx
    mov %edi, %ecx
2:  mov %ecx, (%ebx)
    add $4, %ebx
    dec %ecx
    jnz 2b
    decl 4(%esp)
    jnz 1b
    rdtsc
    pop %ebx
    sub %ebx, %eax
    pop %ebx
    jmp tell

do_hypercall:
    mov %esi, %eax
    mov %edi, %ebx
    push %ebp
    vmmcall
    pop %ebp
    jmp tell

    // Handlers of 16 bytes each, for vectors 0x40 to 0x4f.
    .balign 16
handlers:
    .set index, 0
    .rept 16
    .balign 16
    push $index
    jmp handle
    .set index, index + 1
    .endr
    .balign 16
handle:
    push %eax
    push %ebx
    push %ecx
    call 1f
1:  pop %ebx
    mov 12(%esp), %eax
    incl (counts - 1b)(%ebx, %eax, 4)
    // The device's register of causes, if there is one: its lowest cause is done with.
    mov (causes - 1b)(%ebx), %ecx
    test %ecx, %ecx
    jz 2f
    mov (%ecx), %eax
    mov %eax, %ebx
    neg %eax
    and %ebx, %eax
    mov %eax, (%ecx)
    // The end of the interrupt.
2:  movl $0, 0xfee000b0
    pop %ecx
    pop %ebx
    pop %eax
    add $4, %esp
    iret

    .balign 8
idt_register:
    .word 8 * 0x50 - 1
    .long 256
    .balign 64
counts:
    .fill 16, 4, 0
causes:
    .long 0
    .globl cxd_guest_handlers, cxd_guest_causes_word
    .set cxd_guest_handlers, handlers
    .set cxd_guest_causes_word, causes
cxd_guest_end:
    .code64
    .section .note.GNU-stack, "", @progbits
#endif
