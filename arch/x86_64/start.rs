//! `_start`: where the kernel enters a program.
//!
//! The macro defines it in the *binary*, so that this library holds no C symbol and can be linked
//! beside libc too. It is naked, because a function with a prologue would move rsp before its body
//! could read it, and all of it is assembly, because until the relocations are done no compiled code
//! may run: a jump table, a call of `memset` or a load from the global offset table would go astray.
//!
//! The same code serves both kinds of file. A static-PIE (`ET_DYN`) has a `PT_DYNAMIC` header, whose
//! table names the words to move by the load address; a fixed static program (`ET_EXEC`) has none, and
//! nothing is done. `__ehdr_start`, which every ELF linker defines, is the load address of the former
//! (its link-time address is 0) and the way to the program headers of both. `_DYNAMIC` would be
//! shorter, but leaves an undefined weak symbol in fixed programs. So the ELF header must be part of a
//! loaded segment, as it is unless the linker is told `-n` or `-N`.
//!
//! ```text
//!   rbx  load address          r8, r9    DT_RELA,  DT_RELASZ (bytes)
//!   rsi  what is being read    r10, r11  DT_RELR,  DT_RELRSZ (bytes)
//!   rdx  next word, by RELR
//! ```
//!
//! The one kind of relocation in such a file is `R_X86_64_RELATIVE`, in 24-byte records (RELA) or as
//! addresses and bitmaps (RELR). Anything else needs a dynamic linker: the program stops at `ud2`.

/// Defines `_start`, which calls `$main`, an `unsafe extern "C" fn(*const usize) -> !`, with the
/// address of the kernel's block: argc, argv, 0, envp, 0, auxv.
#[doc(hidden)]
#[macro_export]
macro_rules! __netpoll_start {
    ($main:path) => {
        // `sym` takes a function of any type.
        const _: unsafe extern "C" fn(*const usize) -> ! = $main;

        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn _start() -> ! {
            ::core::arch::naked_asm!(
                "xor ebp, ebp", // no caller's frame
                "mov rdi, rsp", // the kernel's block: the argument of main
                // Find PT_DYNAMIC (2).
                ".hidden __ehdr_start",
                "lea rbx, [rip + __ehdr_start]",
                "movzx ecx, word ptr [rbx + 56]", // e_phnum, at least 1
                "mov rsi, [rbx + 32]",            // e_phoff
                "add rsi, rbx",
                "2:",
                "cmp dword ptr [rsi], 2",
                "je 3f",
                "add rsi, 56", // sizeof(Elf64_Phdr)
                "loop 2b",
                "jmp 9f",
                // Read its table up to DT_NULL.
                "3:",
                "mov rsi, [rsi + 16]", // p_vaddr
                "add rsi, rbx",
                "xor r9d, r9d",
                "xor r11d, r11d",
                "4:",
                "mov eax, [rsi]", // the tags of interest are small
                "mov rcx, [rsi + 8]",
                "add rsi, 16",
                "cmp eax, 7", // DT_RELA
                "cmove r8, rcx",
                "cmp eax, 8", // DT_RELASZ
                "cmove r9, rcx",
                "cmp eax, 36", // DT_RELR
                "cmove r10, rcx",
                "cmp eax, 35", // DT_RELRSZ
                "cmove r11, rcx",
                "cmp eax, 17", // DT_REL: not used on x86_64
                "je 8f",
                "cmp eax, 23", // DT_JMPREL: calls into other files
                "je 8f",
                "test eax, eax",
                "jnz 4b",
                // RELA: *(base + r_offset) = base + r_addend.
                "lea rsi, [r8 + rbx]",
                "5:",
                "sub r9, 24",
                "jb 20f",
                "cmp qword ptr [rsi + 8], 8", // r_info: type RELATIVE, symbol 0
                "jne 8f",
                "mov rcx, [rsi]",
                "mov rax, [rsi + 16]",
                "add rax, rbx",
                "mov [rcx + rbx], rax",
                "add rsi, 24",
                "jmp 5b",
                // RELR: an even word is the address of one place; an odd word, shifted right, has a
                // bit for each of the 63 words that follow. The addend is in the place.
                "20:",
                "lea rsi, [r10 + rbx]",
                "21:",
                "sub r11, 8",
                "jb 9f",
                "mov rax, [rsi]",
                "add rsi, 8",
                "test al, 1",
                "jnz 22f",
                "lea rdx, [rax + rbx]",
                "add [rdx], rbx",
                "add rdx, 8",
                "jmp 21b",
                "22:",
                "lea rcx, [rdx - 8]",
                "add rdx, 63 * 8",
                "23:",
                "add rcx, 8",
                "shr rax, 1",
                "jz 21b",
                "test al, 1",
                "jz 23b",
                "add [rcx], rbx",
                "jmp 23b",
                "8:",
                "ud2",
                "9:",
                "and rsp, -16",
                "call {main}",
                "ud2",
                main = sym $main,
            )
        }
    };
}
