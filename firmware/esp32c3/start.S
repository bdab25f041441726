# reset -> main, and interrupts -> esp32c3_interrupt, for the ESP32-C3
    .option norelax
    .section .entry, "ax"
    .globl _start
_start:
    .option push
    .option arch, +zicsr
    csrci mstatus, 8
    la gp, __global_pointer$
    la sp, _stack_top
    la t0, vectors
    ori t0, t0, 1 # the core knows only vectored mode
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

# Entry 0 takes exceptions, entry n interrupt line n.
    .section .vectors, "ax"
    .option norvc
    .balign 256
vectors:
    j exception
    .rept 31
    j interrupt
    .endr
    .option rvc

exception:
    la sp, _stack_top
    call esp_port_trap

    .balign 4
interrupt:
    addi sp, sp, -64
    sw ra, 0(sp)
    sw t0, 4(sp)
    sw t1, 8(sp)
    sw t2, 12(sp)
    sw t3, 16(sp)
    sw t4, 20(sp)
    sw t5, 24(sp)
    sw t6, 28(sp)
    sw a0, 32(sp)
    sw a1, 36(sp)
    sw a2, 40(sp)
    sw a3, 44(sp)
    sw a4, 48(sp)
    sw a5, 52(sp)
    sw a6, 56(sp)
    sw a7, 60(sp)
    call esp32c3_interrupt
    .option push
    .option arch, +zicsr
    csrr t0, mepc
    la t1, stop
    bne t0, t1, 5f
    addi t0, t0, 4
    csrw mepc, t0
5:  .option pop
    lw ra, 0(sp)
    lw t0, 4(sp)
    lw t1, 8(sp)
    lw t2, 12(sp)
    lw t3, 16(sp)
    lw t4, 20(sp)
    lw t5, 24(sp)
    lw t6, 28(sp)
    lw a0, 32(sp)
    lw a1, 36(sp)
    lw a2, 40(sp)
    lw a3, 44(sp)
    lw a4, 48(sp)
    lw a5, 52(sp)
    lw a6, 56(sp)
    lw a7, 60(sp)
    addi sp, sp, 64
    mret

# Let interrupts through and stop the core until one has been served. One that comes before the core has stopped is served
# in front of `stop`, and returns behind it.
    .globl esp32c3_stop
    .balign 4
esp32c3_stop:
    .option push
    .option norvc
    .option arch, +zicsr
    csrsi mstatus, 8
stop:
    wfi
    .option pop
    ret
