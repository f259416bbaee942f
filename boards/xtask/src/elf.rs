//! What a firmware file contains: bytes of flash and RAM, and symbols that must not be there.

use crate::error::{Context, Error, Result};
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, elf};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// A firmware as the linker made it.
#[derive(Clone, Debug)]
pub struct Image {
    /// What is written to the chip: vectors, code, constants, and the initial values of statics.
    pub flash_bytes: u64,
    /// Statics. Not the stack.
    pub ram_bytes: u64,
    /// Symbols that a clean firmware does not have.
    pub forbidden: Vec<Forbidden>,
}

/// A symbol that must not be in a firmware.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forbidden {
    /// Demangled name.
    pub symbol: String,
    /// Why it is not allowed.
    pub reason: &'static str,
}

/// Reads an ELF file.
pub fn inspect(path: &Path) -> Result<Image> {
    let bytes = fs::read(path).context(|| format!("cannot read {}", path.display()))?;
    let file = object::File::parse(&*bytes).context(|| format!("{} is not an ELF file", path.display()))?;
    let (mut flash_bytes, mut ram_bytes) = (0, 0);
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        // riscv-rt describes the stack by a section; it is not a cost of the model.
        if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || section.name().is_ok_and(|name| name == ".stack") {
            continue;
        }
        if section.kind() != SectionKind::UninitializedData {
            flash_bytes += section.size();
        }
        if sh_flags & u64::from(elf::SHF_WRITE) != 0 {
            ram_bytes += section.size();
        }
    }
    let symbols = file.symbols().filter(|symbol| symbol.is_definition()).filter_map(|symbol| symbol.name().ok());
    let mut forbidden: Vec<_> = symbols.filter_map(judge).collect();
    forbidden.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    forbidden.dedup();
    Ok(Image { flash_bytes, ram_bytes, forbidden })
}

/// The bytes that are written to the flash of a chip of 32 bits or fewer, from its first address.
pub fn flash_image(path: &Path, origin: usize) -> Result<Vec<u8>> {
    let bytes = fs::read(path).context(|| format!("cannot read {}", path.display()))?;
    let broken = || format!("{} is not an ELF file of 32 bits", path.display());
    let file = ElfFile32::<Endianness>::parse(&*bytes).context(broken)?;
    let endian = file.endian();
    let mut image = Vec::new();
    for segment in file.elf_program_headers() {
        let data = segment.data(endian, &*bytes).map_err(|()| Error::new(broken()))?;
        if segment.p_type(endian) == elf::PT_LOAD && !data.is_empty() {
            let outside = || Error::new(format!("{} has something before its flash", path.display()));
            let start = (segment.p_paddr(endian) as usize).checked_sub(origin).ok_or_else(outside)?;
            image.resize(image.len().max(start + data.len()), 0xff);
            image[start..start + data.len()].copy_from_slice(data);
        }
    }
    Ok(image)
}

/// The value of a symbol.
pub fn symbol(path: &Path, name: &str) -> Result<u64> {
    let bytes = fs::read(path).context(|| format!("cannot read {}", path.display()))?;
    let file = object::File::parse(&*bytes).context(|| format!("{} is not an ELF file", path.display()))?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    symbol.map(|symbol| symbol.address()).ok_or_else(|| Error::new(format!("{} has no {name}", path.display())))
}

fn judge(mangled: &str) -> Option<Forbidden> {
    let symbol = format!("{:#}", rustc_demangle::demangle(mangled));
    let reason = if is_panic(&symbol) {
        "a panic"
    } else if symbol.starts_with("core::fmt::") || symbol.contains(" as core::fmt::") {
        "formatting"
    } else if symbol.starts_with("alloc::") || symbol.contains("__rust_alloc") || symbol.contains("__rust_dealloc") {
        "allocation"
    } else if is_float_helper(&symbol) {
        "floating point in software"
    } else {
        return None;
    };
    Some(Forbidden { symbol, reason })
}

/// What `core` calls where it panics. The panic handler itself is in every firmware that defines one.
fn is_panic(symbol: &str) -> bool {
    symbol.starts_with("core::")
        && (symbol.contains("panicking::")
            || symbol.contains("::panic")
            || symbol.ends_with("_fail")
            || symbol.ends_with("_failed")
            || symbol.contains("_fail::")
            || symbol.contains("_failed::")
            || symbol.contains("len_mismatch"))
}

/// Names by the Arm run-time ABI (`__aeabi_fadd`, `__aeabi_i2d`) and by GCC (`__addsf3`, `__floatsisf`): of a
/// compiler's own library, so they are the same for every front end.
fn is_float_helper(symbol: &str) -> bool {
    if let Some(name) = symbol.strip_prefix("__aeabi_") {
        let converts = matches!(
            name,
            "i2f"
                | "i2d"
                | "ui2f"
                | "ui2d"
                | "l2f"
                | "l2d"
                | "ul2f"
                | "ul2d"
                | "h2f"
                | "h2f_alt"
                | "cfcmpeq"
                | "cfcmple"
                | "cfrcmple"
                | "cdcmpeq"
                | "cdcmple"
                | "cdrcmple"
        );
        let computes = name.starts_with(['f', 'd'])
            && ["add", "sub", "rsub", "mul", "div", "neg", "cmp", "2"].iter().any(|op| name[1..].starts_with(op));
        return converts || computes;
    }
    let Some(name) = symbol.strip_prefix("__") else {
        return symbol.starts_with("compiler_builtins::float::") || symbol.starts_with("compiler_builtins::math::");
    };
    let operations = [
        "add", "sub", "mul", "div", "neg", "pow", "eq", "ne", "lt", "le", "gt", "ge", "cmp", "unord", "float", "fix",
        "extend", "trunc", "gnu_",
    ];
    let operates = operations.iter().any(|operation| name.starts_with(operation));
    let types = ["hf", "sf", "df", "tf", "xf", "f2h", "h2f"];
    operates && types.iter().any(|kind| name.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_forbidden() {
        for (name, reason) in [
            ("_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE", "a panic"),
            ("_ZN4core6result13unwrap_failed17h0123456789abcdefE", "a panic"),
            ("_ZN4core5slice5index16slice_index_fail17h0123456789abcdefE", "a panic"),
            ("_RNvNtCsdFl7s4xXYZ0_4core9panicking9panic_fmt", "a panic"),
            ("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "formatting"),
            ("__rust_alloc", "allocation"),
            ("__aeabi_fmul", "floating point in software"),
            ("__aeabi_ui2d", "floating point in software"),
            ("__aeabi_d2iz", "floating point in software"),
            ("__aeabi_dcmplt", "floating point in software"),
            ("__mulsf3", "floating point in software"),
            ("__floatsisf", "floating point in software"),
            ("__fixunsdfsi", "floating point in software"),
            ("__unordsf2", "floating point in software"),
        ] {
            assert_eq!(judge(name).map(|f| f.reason), Some(reason), "{name}");
        }
    }

    #[test]
    fn names_that_are_allowed() {
        for name in [
            "__aeabi_lmul",
            "__aeabi_uidivmod",
            "__aeabi_idiv",
            "__aeabi_memcpy4",
            "__aeabi_llsl",
            "__divsi3",
            "__udivmodsi4",
            "__muldi3",
            "__ashldi3",
            "rust_begin_unwind",
            "main",
            "DefaultHandler_",
            "__sbss",
            "_ZN7tinymlp7kernels4gemm4gemm17h0123456789abcdefE",
            "_ZN5model9generated12FailDetector5infer17h0123456789abcdefE",
        ] {
            assert_eq!(judge(name), None, "{name}");
        }
    }
}
