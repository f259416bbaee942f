//! What the compiler makes of generated code: the calls of kernels, and the portable loops.
//!
//! Figures are of rustc 1.95.0 at opt-level 3, measured on the emulated boards.

use super::{Core, Mode};
use crate::plan::Step;
use crate::plan::cost::{Cost, Function, Instructions};
use crate::plan::kernels::Kernel;

/// Of a core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compiled {
    /// Instructions of `infer` without its calls.
    pub(super) around: usize,
    /// Bytes of that.
    pub(super) around_bytes: usize,
    /// Instructions of the call of a kernel in assembly.
    pub(super) call: usize,
    /// Bytes of that.
    pub(super) call_bytes: usize,
    /// Bytes of stack of `infer`.
    pub(super) stack: usize,
    /// Of portable kernels.
    loops: &'static [Loop],
    /// Of those that are not among them: nobody has measured them.
    unknown: Loop,
}

/// A portable kernel.
#[derive(Clone, Copy, Debug)]
struct Loop {
    /// Its name.
    op: &'static str,
    /// Instructions of a call.
    call: usize,
    /// Instructions for every element of the result.
    element: f64,
    /// Instructions for every multiply-accumulate operation.
    mac: f64,
    /// Bytes of code.
    bytes: usize,
    /// Bytes of stack.
    stack: usize,
}

const fn portable(op: &'static str, call: usize, element: f64, mac: f64, bytes: usize, stack: usize) -> Loop {
    Loop { op, call, element, mac, bytes, stack }
}

const ARMV6M: Compiled = Compiled {
    around: 4,
    around_bytes: 4,
    call: 7,
    call_bytes: 20,
    stack: 16,
    loops: &[portable("Gemm", 30, 40.0, 9.0, 300, 60), portable("Lookup", 10, 8.0, 0.0, 40, 20)],
    unknown: portable("", 40, 60.0, 0.0, 400, 60),
};
const ARMV7EM: Compiled = Compiled {
    around: 7,
    around_bytes: 8,
    call: 5,
    call_bytes: 18,
    stack: 24,
    loops: &[portable("Gemm", 30, 20.0, 5.0, 300, 60), portable("Lookup", 10, 5.0, 0.0, 40, 20)],
    unknown: portable("", 40, 30.0, 0.0, 400, 60),
};
const RV32IMC: Compiled = Compiled {
    around: 14,
    around_bytes: 4,
    call: 9,
    call_bytes: 40,
    stack: 12,
    loops: &[portable("Gemm", 30, 20.0, 7.0, 300, 60), portable("Lookup", 10, 6.0, 0.0, 40, 20)],
    unknown: portable("", 40, 30.0, 0.0, 400, 60),
};
const AVR: Compiled = Compiled {
    around: 20,
    around_bytes: 42,
    call: 12,
    call_bytes: 16,
    stack: 7,
    loops: &[portable("Gemm", 60, 300.0, 30.0, 800, 60)],
    unknown: portable("", 60, 200.0, 0.0, 1000, 40),
};

impl Compiled {
    /// Of a core; none where no core is known.
    pub(super) fn of(core: Core) -> Option<Self> {
        match core {
            Core::Portable => None,
            Core::Armv6m => Some(ARMV6M),
            // Not measured yet for Helium and RV32EC: those of their neighbours.
            Core::Armv7em | Core::Helium => Some(ARMV7EM),
            Core::Rv32imc | Core::Rv32ec => Some(RV32IMC),
            Core::Avr => Some(AVR),
        }
    }

    /// How often a step calls its kernel's function.
    pub(super) fn calls(&self, step: &Step) -> usize {
        step.kernel.calls()
    }

    /// The cost of a portable kernel, whose time may depend on the data.
    pub(super) fn portable(&self, kernel: &dyn Kernel, mode: Mode) -> Cost {
        let known = self.loops.iter().find(|l| l.op == kernel.op()).unwrap_or(&self.unknown);
        let views = kernel.views();
        let elements: usize = views.last().map_or(0, |view| view.iter().product());
        let mean = known.call as f64 + elements as f64 * known.element + kernel.macs() as f64 * known.mac;
        let bytes = if mode == Mode::Size { known.bytes * 3 / 4 } else { known.bytes };
        Cost {
            instructions: Instructions { mean, max: 1.5 * mean },
            code: vec![Function { name: format!("kernels::{} {views:?}", kernel.op()), bytes }],
            head: 0,
            stack: known.stack,
            fixed: false,
        }
    }
}
