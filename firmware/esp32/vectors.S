# the vectors of the LX6 core, by their offsets. Windows are never used, so theirs stay empty.
    .section .vectors, "ax"
    .begin no-transform
    .globl xtensa_vectors
    .align 1024
xtensa_vectors:
    .org 0x180 # level 2
    j xtensa_fault
    .org 0x1C0
    j xtensa_fault
    .org 0x200
    j xtensa_fault
    .org 0x240
    j xtensa_fault
    .org 0x280 # debug
    j xtensa_fault
    .org 0x2C0 # NMI
    j xtensa_fault
    .org 0x300 # kernel
    j xtensa_fault
    .org 0x340 # user
    wsr.excsave1 a0
    j xtensa_level_1
    .org 0x3C0 # double
    j xtensa_fault
    .end no-transform
