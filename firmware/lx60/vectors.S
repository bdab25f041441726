# the vectors of the lx106 core, by their offsets
    .section .vectors, "ax"
    .begin no-transform
    .globl xtensa_vectors
    .align 1024
xtensa_vectors:
    .org 0x10 # debug
    j xtensa_fault
    .org 0x20 # NMI
    j xtensa_fault
    .org 0x30 # kernel
    j xtensa_fault
    .org 0x50 # user
    wsr.excsave1 a0
    j xtensa_level_1
    .org 0x70 # double
    j xtensa_fault
    .end no-transform
