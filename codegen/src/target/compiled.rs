//! What the compiler makes of generated code: the calls of kernels, and the portable loops.
//!
//! Figures of rustc 1.95.0, fitted to what the emulated boards count: calls and the portable `Gemm` with the benchmark
//! models, `Lookup`, `Piecewise` (of four segments) and `Add` with the shipped `wine`, `ArgMax` of the sums of two to ten
//! classes behind layers of three to five units. The rest is a guess from those.

use super::{Core, Mode};
use crate::plan::cost::{Cost, Function, Instructions};
use crate::plan::kernels::Kernel;

/// Of a core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compiled {
    /// Instructions of `infer` without its calls.
    pub(super) around: usize,
    /// Bytes of that.
    pub(super) around_bytes: usize,
    /// Instructions of the call of a kernel.
    pub(super) call: usize,
    /// Bytes of that.
    pub(super) call_bytes: usize,
    /// Bytes of stack of `infer`.
    pub(super) stack: usize,
    /// Bytes that three and more calls add to that.
    pub(super) more_stack: usize,
    /// Instructions for an element of a column that is brought into a row or back.
    pub(super) moved: f64,
    /// Portable kernels at opt-level 3, the last for those that are not among them.
    fast: &'static [Loop],
    /// Portable kernels at opt-level "s", which [`Mode::Size`] is taken to be compiled at.
    small: &'static [Loop],
}

/// A portable kernel.
#[derive(Clone, Copy, Debug)]
struct Loop {
    /// Its name.
    op: &'static str,
    /// Instructions of a call.
    call: usize,
    /// Instructions for every row of the result.
    row: f64,
    /// Instructions for every element of the result.
    element: f64,
    /// Instructions for every multiply-accumulate operation.
    mac: f64,
    /// Bytes of code.
    bytes: usize,
    /// Bytes of stack: of `infer`, where the loop becomes part of it.
    stack: usize,
}

const fn portable(op: &'static str, call: usize, [element, mac]: [f64; 2], bytes: usize, stack: usize) -> Loop {
    Loop { op, call, row: 0.0, element, mac, bytes, stack }
}

/// A portable kernel that computes something of every row before its elements.
const fn by_rows(op: &'static str, row: f64, element: f64, bytes: usize, stack: usize) -> Loop {
    Loop { op, call: 20, row, element, mac: 0.0, bytes, stack }
}

const ARMV6M: Compiled = Compiled {
    around: 4,
    around_bytes: 4,
    call: 8,
    call_bytes: 20,
    stack: 16,
    more_stack: 0,
    moved: 6.0,
    fast: const {
        &[
            portable("Gemm", 10, [65.0, 5.4], 700, 212),
            portable("Lookup", 0, [4.0, 0.0], 100, 0),
            portable("Piecewise", 4, [74.0, 0.0], 212, 44),
            portable("Add", 7, [9.0, 0.0], 392, 24),
            by_rows("LayerNormalization", 767.0, 81.3, 700, 96),
            by_rows("Softmax", 150.0, 84.5, 300, 80),
            portable("Mul", 10, [30.0, 0.0], 150, 60),
            portable("ArgMax", 10, [20.0, 0.0], 60, 0),
            portable("", 20, [40.0, 6.0], 400, 80),
        ]
    },
    small: const {
        &[
            portable("Gemm", 10, [65.0, 8.0], 400, 120),
            portable("Lookup", 0, [6.0, 0.0], 4, 0),
            portable("Piecewise", 4, [72.0, 0.0], 130, 32),
            portable("Add", 9, [15.0, 0.0], 8, 16),
            portable("ArgMax", 20, [40.0, 0.0], 14, 0),
            portable("", 20, [60.0, 8.0], 200, 60),
        ]
    },
};

const ARMV7EM: Compiled = Compiled {
    around: 9,
    around_bytes: 8,
    call: 5,
    call_bytes: 18,
    stack: 16,
    more_stack: 8,
    moved: 6.0,
    fast: const {
        &[
            portable("Gemm", 10, [47.0, 3.4], 700, 156),
            portable("Lookup", 0, [3.0, 0.0], 112, 0),
            portable("Add", 9, [10.0, 0.0], 444, 8),
            by_rows("LayerNormalization", 173.0, 23.9, 500, 80),
            by_rows("Softmax", 20.0, 25.8, 300, 80),
            portable("ArgMax", 10, [20.0, 0.0], 50, 0),
            portable("", 20, [20.0, 4.0], 400, 80),
        ]
    },
    small: const {
        &[
            portable("Gemm", 10, [25.0, 5.0], 300, 60),
            portable("Lookup", 0, [6.0, 0.0], 10, 0),
            portable("Add", 12, [14.0, 0.0], 14, 0),
            portable("ArgMax", 10, [20.0, 0.0], 14, 0),
            portable("", 20, [30.0, 6.0], 200, 60),
        ]
    },
};

const RV32IMC: Compiled = Compiled {
    around: 14,
    around_bytes: 4,
    call: 9,
    call_bytes: 40,
    stack: 12,
    more_stack: 0,
    moved: 6.0,
    fast: const {
        &[
            portable("Gemm", 10, [40.0, 7.0], 400, 80),
            portable("Lookup", 0, [4.0, 0.0], 220, 0),
            portable("Add", 12, [8.0, 0.0], 502, 32),
            by_rows("LayerNormalization", 185.0, 34.0, 500, 80),
            by_rows("Softmax", 20.0, 25.5, 300, 80),
            portable("ArgMax", 5, [7.0, 0.0], 80, 0),
            portable("", 20, [20.0, 7.0], 500, 80),
        ]
    },
    small: const {
        &[
            portable("Gemm", 10, [40.0, 8.0], 300, 80),
            portable("Lookup", 0, [6.0, 0.0], 0, 0),
            portable("Add", 11, [11.0, 0.0], 0, 0),
            portable("ArgMax", 10, [20.0, 0.0], 20, 0),
            portable("", 20, [30.0, 8.0], 200, 60),
        ]
    },
};

const AVR: Compiled = Compiled {
    around: 20,
    around_bytes: 42,
    call: 12,
    call_bytes: 16,
    stack: 7,
    more_stack: 0,
    moved: 6.0,
    fast: const {
        &[
            portable("Gemm", 20, [1180.0, 45.0], 1300, 112),
            portable("Add", 45, [133.0, 0.0], 2007, 18),
            portable("ArgMax", 15, [10.0, 0.0], 100, 0),
            portable("", 20, [300.0, 45.0], 1000, 60),
        ]
    },
    small: const {
        &[
            portable("Gemm", 20, [1180.0, 50.0], 700, 112),
            portable("Add", 47, [141.0, 0.0], 279, 18),
            portable("ArgMax", 20, [40.0, 0.0], 60, 0),
            portable("", 20, [300.0, 50.0], 500, 60),
        ]
    },
};

const HELIUM: Compiled = Compiled {
    around: 2,
    around_bytes: 4,
    call: 8,
    call_bytes: 20,
    stack: 16,
    more_stack: 8,
    moved: 6.0,
    fast: const {
        &[
            portable("Lookup", 0, [1.5, 0.0], 60, 0),
            portable("Add", 7, [3.0, 0.0], 190, 16),
            by_rows("LayerNormalization", 144.0, 12.5, 500, 80),
            by_rows("Softmax", 20.0, 24.6, 300, 80),
            portable("", 20, [10.0, 4.0], 400, 80),
        ]
    },
    small: const {
        &[
            portable("Lookup", 0, [6.0, 0.0], 10, 0),
            portable("Add", 5, [7.0, 0.0], 42, 0),
            portable("", 20, [30.0, 6.0], 200, 60),
        ]
    },
};

const RV32EC: Compiled = Compiled {
    around: 14,
    around_bytes: 4,
    call: 9,
    call_bytes: 40,
    stack: 12,
    more_stack: 0,
    moved: 6.0,
    fast: const {
        &[
            portable("Gemm", 10, [900.0, 190.0], 500, 132),
            portable("Lookup", 0, [4.0, 0.0], 220, 0),
            portable("Piecewise", 4, [51.0, 0.0], 60, 8),
            portable("Add", 12, [47.0, 0.0], 2376, 36),
            portable("ArgMax", 10, [15.0, 0.0], 80, 0),
            portable("", 20, [600.0, 190.0], 500, 100),
        ]
    },
    small: const {
        &[
            portable("Gemm", 10, [900.0, 190.0], 300, 132),
            portable("Lookup", 0, [6.0, 0.0], 0, 0),
            portable("Piecewise", 4, [52.0, 0.0], 152, 8),
            portable("Add", 11, [46.0, 0.0], 0, 20),
            portable("ArgMax", 20, [50.0, 0.0], 25, 0),
            portable("", 20, [600.0, 190.0], 300, 100),
        ]
    },
};

impl Compiled {
    /// Of a core; none where no core is known.
    pub(super) fn of(core: Core) -> Option<Self> {
        match core {
            Core::Portable => None,
            Core::Armv6m => Some(ARMV6M),
            Core::Armv7em => Some(ARMV7EM),
            Core::Helium => Some(HELIUM),
            Core::Rv32imc => Some(RV32IMC),
            Core::Rv32ec => Some(RV32EC),
            Core::Avr => Some(AVR),
        }
    }

    /// The figures of a portable kernel.
    fn figures(&self, kernel: &dyn Kernel, mode: Mode) -> Loop {
        let loops = if mode == Mode::Size { self.small } else { self.fast };
        let known = loops.iter().find(|l| l.op == kernel.op());
        known.or(loops.last()).copied().unwrap_or(portable("", 0, [0.0; 2], 0, 0))
    }

    /// Bytes by which a portable kernel makes the frame of `infer` larger, if it becomes part of that.
    pub(super) fn frame(&self, kernel: &dyn Kernel, mode: Mode) -> usize {
        if kernel.macs() > 0 { 0 } else { self.figures(kernel, mode).stack }
    }

    /// The cost of a portable kernel. Its time may depend on the data, and its most is a guess.
    pub(super) fn portable(&self, kernel: &dyn Kernel, mode: Mode) -> Cost {
        let figures = self.figures(kernel, mode);
        let views = kernel.views();
        let elements: usize = views.last().map_or(0, |view| view.iter().product());
        let rows = elements / views.last().and_then(|view| view.last()).copied().unwrap_or(1).max(1);
        let mean = figures.call as f64
            + rows as f64 * figures.row
            + elements as f64 * figures.element
            + kernel.macs() as f64 * figures.mac;
        // Layers share the function of a fully connected one; the others' loops stand in `infer`.
        let name = match kernel.macs() {
            0 => None,
            _ => Some(Function { name: format!("kernels::{}", kernel.op()), bytes: figures.bytes }),
        };
        Cost {
            instructions: Instructions { mean, max: 1.5 * mean },
            inlined: if name.is_some() { 0 } else { figures.bytes },
            code: name.into_iter().collect(),
            stack: figures.stack - self.frame(kernel, mode),
            ..Cost::default()
        }
    }
}
