//! What every board's firmware shares: it reads quantized inputs from the host one row at a time, runs a generated
//! network on each, and hands back the outputs with the time and stack that each took.
//!
//! A firmware is one line, [`firmware!`]`(Model)`, and its board's memory layout. The host's side is `cargo xtask
//! emulate`; [`protocol`] describes what they exchange. What differs between processors is in `arch`, and the ways
//! of reaching the host are in `link`.
//!
//! The harness itself contains no panic, no formatting and no allocation, so that whatever of them an ELF
//! contains came with the network.

#![no_std]
// Inline assembly for AVR, a target that builds `core` from source anyway, has no stable form.
#![cfg_attr(target_arch = "avr", feature(asm_experimental_arch))]

mod arch;
mod link;
mod measure;
pub mod protocol;

use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use link::Link;
use measure::Meter;
use protocol::{Failure, Header};
use tinymlp::{Arena, Info, Model, Scratch};

/// The entry point of a firmware that serves this model.
#[macro_export]
macro_rules! firmware {
    ($model:ty) => {
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ! {
            static mut MEMORY: $crate::Memory<$model> = $crate::Memory::new();
            // SAFETY: the start-up code calls `main`, once, so this is the only reference.
            $crate::run(unsafe { &mut *(&raw mut MEMORY) })
        }
    };
}

/// Everything that a model works on: static, and zero at start, so that it takes RAM but no flash.
///
/// # Contract
/// `Input` and `Output` of the model are plain data: integers, arrays of them or `repr(C)` structs of those, for
/// which any bytes are a value. That holds for every generated module.
#[derive(Debug)]
pub struct Memory<M: Model> {
    input: MaybeUninit<M::Input>,
    output: MaybeUninit<M::Output>,
    scratch: M::Scratch,
}

impl<M: Model> Memory<M> {
    /// Zeros.
    pub const fn new() -> Self {
        Self { input: MaybeUninit::zeroed(), output: MaybeUninit::zeroed(), scratch: M::Scratch::NEW }
    }
}

impl<M: Model> Default for Memory<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A model with the inputs and outputs of `M` that does nothing: the firmware around it is what `M`'s own firmware
/// costs without `M`.
#[derive(Debug)]
pub struct Empty<M>(PhantomData<M>);

impl<M: Model> Model for Empty<M> {
    type Input = M::Input;
    type Output = M::Output;
    type Scratch = Arena<0>;
    const INFO: Info = Info { name: "empty", sha256: "", macs: 0, constant_bytes: 0, scratch_bytes: 0 };
    #[inline(always)]
    fn infer(_: &Self::Input, _: &mut Self::Scratch, _: &mut Self::Output) {}
}

/// Serves every row of the inputs, then ends the run.
pub fn run<M: Model>(memory: &'static mut Memory<M>) -> ! {
    link::finish(serve(memory))
}

fn serve<M: Model>(memory: &mut Memory<M>) -> Result<(), Failure> {
    let mut link = Link::open()?;
    arch::start_timer();
    let [empty, calibration] = measure::calibrate();
    let header = Header {
        input_bytes: size_of::<M::Input>() as u32,
        output_bytes: size_of::<M::Output>() as u32,
        scratch_bytes: size_of::<M::Scratch>() as u32,
        empty,
        calibration,
    };
    write_words(&mut link, &header.to_words())?;
    let mut meter = Meter::new();
    while link.read_row(bytes_mut(&mut memory.input))? {
        let arguments = (
            memory.input.as_ptr().cast::<c_void>(),
            (&raw mut memory.scratch).cast::<c_void>(),
            memory.output.as_mut_ptr().cast::<c_void>(),
        );
        // SAFETY: `infer::<M>` wants pointers to exactly these types, and nothing else refers to them meanwhile.
        let row = unsafe { meter.measure(infer::<M>, arguments)? };
        link.write_output(bytes_mut(&mut memory.output))?;
        write_words(&mut link, &row.to_words())?;
    }
    Ok(())
}

/// The call that is measured.
///
/// # Safety
/// The pointers are to the model's input, scratch and output, initialized and not otherwise in use.
#[inline(never)]
unsafe extern "C" fn infer<M: Model>(input: *const c_void, scratch: *mut c_void, output: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { M::infer(&*input.cast(), &mut *scratch.cast(), &mut *output.cast()) }
}

/// The bytes of plain data.
fn bytes_mut<T>(data: &mut MaybeUninit<T>) -> &mut [u8] {
    // SAFETY: the contract of `Memory`: initialized (zeroed, then read from a file or written by the model) and
    // valid for any bytes.
    unsafe { core::slice::from_raw_parts_mut(data.as_mut_ptr().cast(), size_of::<T>()) }
}

fn write_words<const N: usize>(link: &mut Link, words: &[u32; N]) -> Result<(), Failure> {
    for word in words {
        link.write_metrics(&word.to_le_bytes())?;
    }
    Ok(())
}

/// A panic ends the run with an error instead of hanging the emulator. A clean firmware has no path to it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    link::finish(Err(Failure::Panic))
}
