# call0 code -> a function of the ROM, which follows the windowed convention. Its windows spill by the ROM's own handlers,
# so the vectors are the ROM's for the time of the call; interrupts are held back.
    .section .text.esp32_rom_call, "ax"
    .literal_position
    .globl esp32_rom_call
    .align 4
esp32_rom_call: # a2: function, a3..a6: its arguments; result in a2
    addi a1, a1, -96
    s32i a0, a1, 0
    s32i a12, a1, 4
    s32i a13, a1, 8
    s32i a14, a1, 12
    s32i a15, a1, 16
    rsr.ps a7
    s32i a7, a1, 20
    addi a7, a1, 80
    addi a8, a1, -12
    s32i a7, a8, 0 # where a spill looks for the caller's stack
    mov a7, a2
    mov a10, a3
    mov a11, a4
    mov a12, a5
    mov a13, a6
    movi a2, 0x25
    wsr.ps a2
    rsync
    .byte 0x30, 0x48, 0x03 # rsr.windowbase a3
    ssl a3
    movi a4, 1
    sll a4, a4
    .byte 0x40, 0x49, 0x13 # wsr.windowstart a4
    rsync
    movi a2, 0x40000000
    wsr.vecbase a2
    rsync
    movi a2, 0x40025 # windows on
    wsr.ps a2
    rsync
    .byte 0xE0, 0x07, 0x00 # callx8 a7
    movi a2, 0x25
    wsr.ps a2
    rsync
    movi a2, xtensa_vectors
    wsr.vecbase a2
    rsync
    l32i a2, a1, 20
    wsr.ps a2
    rsync
    mov a2, a10
    l32i a0, a1, 0
    l32i a12, a1, 4
    l32i a13, a1, 8
    l32i a14, a1, 12
    l32i a15, a1, 16
    addi a1, a1, 96
    ret
