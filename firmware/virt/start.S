# reset -> main, for QEMU's riscv32 virt board
    .section .entry, "ax"
    .globl _start
    .weak virt_guard_ran_out # a program without the port has no guard
_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, _stack_top
    .option push
    .option arch, +zicsr
    csrci mstatus, 8
    la t0, trap
    csrw mtvec, t0
    .option pop
    la t0, _bss_start
    la t1, _bss_end
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b
2:  la t0, _stack_bottom
    la t1, _stack_top
    li t2, 0xA5A5A5A5
3:  bgeu t0, t1, 4f
    sw t2, 0(t0)
    addi t0, t0, 4
    j 3b
4:  call main
    .align 2
# The timer's interrupt is the guard's. Any other trap is a bug: stop the machine with status 99 rather than run on.
trap:
    la sp, _stack_top
    .option push
    .option arch, +zicsr
    csrr t0, mcause
    .option pop
    li t1, 0x80000007
    bne t0, t1, 6f
    call virt_guard_ran_out
6:
    li t0, 0x00100000
    li t1, 99 << 16 | 0x3333
    sw t1, 0(t0)
5:  j 5b
