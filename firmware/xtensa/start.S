# reset -> main, and level-1 interrupts -> xtensa_interrupt, in the call0 convention. A kind of board has its vectors, of
# which the one for interrupts and exceptions saves a0 in EXCSAVE1 and jumps to xtensa_level_1, the others to xtensa_fault.
# A program that enables no interrupts and is only measured may leave their functions out.
    .weak xtensa_interrupt
    .weak xtensa_trap
    .section .entry, "ax"
    .literal_position
    .globl _start
    .align 4
_start:
    movi a2, 0
    wsr.intenable a2
    movi a2, 0x20 # user vectors, interrupts of every level, no windows
    wsr.ps a2
    rsync
    movi a2, xtensa_vectors
    wsr.vecbase a2
    rsync
    movi a1, _stack_top
    movi a2, _bss_start
    movi a3, _bss_end
    movi a4, 0
1:  bgeu a2, a3, 2f
    s32i a4, a2, 0
    addi a2, a2, 4
    j 1b
2:  movi a2, _stack_bottom
    movi a3, 0xA5A5A5A5
3:  bgeu a2, a1, 4f
    s32i a3, a2, 0
    addi a2, a2, 4
    j 3b
4:  movi a2, main
    callx0 a2

# The C code keeps a12..a15. PS.EXCM stays set: nothing nests.
    .globl xtensa_level_1
    .align 4
xtensa_level_1:
    addi a1, a1, -64
    s32i a2, a1, 0
    rsr.exccause a2
    addi a2, a2, -4 # 4: a level-1 interrupt
    bnez a2, xtensa_fault
    s32i a3, a1, 4
    s32i a4, a1, 8
    s32i a5, a1, 12
    s32i a6, a1, 16
    s32i a7, a1, 20
    s32i a8, a1, 24
    s32i a9, a1, 28
    s32i a10, a1, 32
    s32i a11, a1, 36
    rsr.sar a2
    s32i a2, a1, 40
    rsr.excsave1 a2
    s32i a2, a1, 44
    movi a2, xtensa_interrupt
    callx0 a2
    l32i a2, a1, 40
    wsr.sar a2
    l32i a0, a1, 44
    l32i a3, a1, 4
    l32i a4, a1, 8
    l32i a5, a1, 12
    l32i a6, a1, 16
    l32i a7, a1, 20
    l32i a8, a1, 24
    l32i a9, a1, 28
    l32i a10, a1, 32
    l32i a11, a1, 36
    l32i a2, a1, 0
    addi a1, a1, 64
    rfe

    .globl xtensa_fault
    .align 4
xtensa_fault:
    movi a1, _stack_top
    movi a2, xtensa_trap
    callx0 a2
