//! What a program costs on a core, estimated from its operations.
//!
//! Figures fit for rustc 1.95.0 at opt-level 3 and what emulated boards count for the shipped `wdbc` with truncated ReLU
//! and for `wine`. The former's instructions are predicted 11 % too high on Cortex-M0, 3 % on RV32EC, 16 % on Cortex-M4.

use super::ir::{Op, Program};
use crate::target::Core;

/// The cost of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instructions of one call.
    pub instructions: usize,
    /// Bytes of code.
    pub bytes: usize,
    /// Bytes of stack.
    pub stack: usize,
}

/// What operations take on a core: instructions, and bytes of those.
struct Table {
    /// Numbers that stay in registers.
    registers: usize,
    /// Bytes of an instruction.
    width: f64,
    load: usize,
    load_byte: usize,
    mask: usize,
    add: usize,
    /// Of a shift by so many bits.
    shift: fn(u32) -> usize,
    /// Of a constant.
    constant: fn(i32) -> usize,
    limit: usize,
    compare: usize,
    /// Instructions, and bytes of the call.
    requantize: (usize, f64),
    /// Entry and return.
    frame: usize,
}

const fn table(core: Core) -> Table {
    let thumb = Table {
        registers: 6,
        width: 2.0,
        load: 2,
        load_byte: 1,
        mask: 2,
        add: 1,
        shift: |_| 1,
        constant: |c| if -256 < c && c < 256 { 1 } else { 2 },
        limit: 3,
        compare: 4,
        requantize: (28, 10.0),
        frame: 4,
    };
    match core {
        // A shift is part of the addition that follows.
        Core::Armv7em | Core::Helium => Table {
            registers: 10,
            width: 2.2,
            load: 1,
            mask: 1,
            shift: |_| 0,
            limit: 2,
            requantize: (4, 14.0),
            ..thumb
        },
        Core::Rv32imc => Table { registers: 20, width: 2.6, load: 1, mask: 1, requantize: (8, 20.0), ..thumb },
        Core::Rv32ec => Table { registers: 9, width: 2.6, load: 1, mask: 1, requantize: (730, 35.0), ..thumb },
        // Sums of 16 bits: two instructions for most.
        Core::Avr => Table {
            registers: 11,
            load: 3,
            load_byte: 2,
            add: 2,
            shift: |n| 2 * n as usize,
            constant: |_| 2,
            limit: 5,
            compare: 6,
            requantize: (500, 60.0),
            frame: 20,
            ..thumb
        },
        Core::Portable | Core::Armv6m => thumb,
    }
}

impl Program {
    /// What it costs on a core. A number that registers do not hold until it is used is loaded again, and was stored before
    /// that if it is no input: the least recently used leaves them first.
    pub fn cost(&self, core: Core) -> Cost {
        let t = table(core);
        let mut instructions = t.frame;
        let mut held: Vec<usize> = Vec::with_capacity(t.registers + 1);
        let mut spilled = vec![false; self.ops.len()];
        let mut last = vec![0; self.ops.len()];
        for (k, op) in self.ops.iter().enumerate() {
            op.reads().for_each(|v| last[v] = k);
        }
        let own = |op: &Op| match *op {
            Op::Load(_) => t.load,
            Op::LoadByte(_) => t.load_byte,
            Op::Constant(c) => (t.constant)(c),
            Op::And(..) => t.mask,
            Op::ShiftLeft(_, n) | Op::ShiftRight(_, n) => (t.shift)(n),
            Op::Add(..) | Op::Sub(..) => t.add,
            Op::AddConstant(_, c) => (t.constant)(c),
            Op::Requantize(..) => t.requantize.0,
            Op::Max(..) | Op::Min(..) => t.limit,
            Op::Store(..) | Op::Index(_) | Op::Not(_) => 1,
            Op::Larger(..) => 3,
            Op::Compare(..) => t.compare,
        };
        let mut stored = 0;
        for (k, op) in self.ops.iter().enumerate() {
            instructions += own(op);
            for v in op.reads() {
                if !held.contains(&v) {
                    let is_input = matches!(self.ops[v], Op::Load(_) | Op::LoadByte(_));
                    instructions += if is_input { own(&self.ops[v]) } else { 1 };
                    if !is_input && !spilled[v] {
                        spilled[v] = true;
                        stored += 1;
                    }
                }
                held.retain(|&h| h != v);
                if last[v] > k {
                    held.push(v);
                }
            }
            if last[k] > k {
                held.push(k);
            }
            if held.len() > t.registers {
                held.remove(0);
            }
        }
        instructions += stored;
        let requantized = self.ops.iter().filter(|op| matches!(op, Op::Requantize(..))).count();
        let inline = instructions - requantized * t.requantize.0;
        // Numbers of 32 bits take twice as many registers of 8 as the table's of 16.
        let wide = if core == Core::Avr && !self.is_narrow() { 2 } else { 1 };
        Cost {
            instructions: inline * wide + requantized * t.requantize.0,
            bytes: ((inline * wide) as f64 * t.width + requantized as f64 * t.requantize.1) as usize,
            stack: 4 * stored + 20,
        }
    }
}
