//! What a program costs on a core: its operations, and the numbers that leave the registers before they are used.
//!
//! Figures are fitted to rustc 1.95.0 at opt-level 3 and what emulated boards count for tuned networks of the bespoke circuits'
//! shapes, whole and with a third to two thirds of their weights left out, and for the shipped `wdbc` and `digits`. They are near the
//! instructions that an operation takes, less what the compiler saves by other ways to the same number.

use super::ir::{Op, Program, Var};
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

/// Instructions, and bytes of those.
#[derive(Clone, Copy, Debug)]
struct Each(f64, f64);

/// What operations take on a core.
#[derive(Clone, Copy, Debug)]
struct Table {
    /// Numbers that stay in registers.
    registers: usize,
    /// Beside the operations.
    frame: Each,
    load_byte: Each,
    load: Each,
    add: Each,
    /// Of a shift, and of every bit of it.
    shift: [Each; 2],
    /// Constants of more are large.
    small: u32,
    add_small: Each,
    add_large: Each,
    constant: Each,
    max: Each,
    min: Each,
    compare: Each,
    larger: Each,
    multiply: Each,
    requantize: Each,
    /// A number that leaves the registers, and one that comes back.
    spill: Each,
    reload: Each,
    /// Bytes of stack: with no more numbers than registers, with more, and for each of those.
    stack: [f64; 3],
}

const NONE: Each = Each(0.0, 0.0);

const ARMV6M: Table = Table {
    registers: 5,
    frame: Each(6.4, 14.9),
    load_byte: Each(1.03, 2.1),
    load: Each(2.0, 4.0),
    add: Each(1.1, 2.0),
    shift: [Each(1.0, 2.0), NONE],
    small: 255,
    add_small: Each(1.0, 2.3),
    add_large: Each(1.9, 6.6),
    constant: Each(1.0, 2.1),
    max: Each(2.1, 4.8),
    min: Each(2.85, 9.0),
    compare: Each(5.2, 15.2),
    larger: Each(2.6, 6.6),
    multiply: Each(2.7, 8.0),
    requantize: Each(47.0, 33.3),
    spill: Each(0.93, 1.8),
    reload: Each(0.93, 2.0),
    stack: [20.0, 20.0, 3.8],
};

const ARMV7EM: Table = Table {
    registers: 11,
    frame: Each(7.4, 17.5),
    load_byte: Each(1.12, 2.3),
    load: Each(1.0, 4.0),
    add: Each(1.0, 3.1),
    // Where it is no part of an addition.
    shift: [Each(1.1, 2.4), NONE],
    small: 4095,
    add_small: Each(1.14, 3.8),
    add_large: Each(1.95, 8.6),
    constant: Each(1.05, 2.0),
    max: Each(1.05, 4.1),
    min: Each(3.0, 7.3),
    compare: Each(5.0, 12.5),
    larger: Each(3.5, 9.2),
    multiply: Each(2.0, 8.0),
    requantize: Each(3.6, 10.2),
    spill: Each(0.92, 1.8),
    reload: Each(0.98, 1.9),
    stack: [20.0, 44.0, 3.2],
};

const RV32IMC: Table = Table {
    registers: 16,
    frame: Each(2.8, 8.8),
    load_byte: Each(1.08, 2.7),
    load: Each(1.0, 3.7),
    add: Each(1.06, 3.2),
    shift: [Each(0.92, 2.6), NONE],
    small: 2047,
    add_small: Each(0.97, 3.8),
    add_large: Each(2.85, 7.2),
    constant: Each(0.96, 3.2),
    max: Each(2.45, 9.9),
    min: Each(2.0, 12.0),
    compare: Each(2.9, 13.6),
    larger: Each(2.0, 7.9),
    multiply: Each(2.7, 9.0),
    requantize: Each(8.8, 26.0),
    spill: Each(0.96, 2.2),
    reload: Each(0.96, 2.6),
    stack: [0.0, 36.0, 2.75],
};

const RV32EC: Table = Table {
    registers: 8,
    frame: Each(2.8, 9.7),
    load_byte: Each(1.12, 3.9),
    load: Each(1.0, 4.0),
    add: Each(1.17, 3.1),
    shift: [Each(0.95, 2.0), NONE],
    add_small: Each(0.93, 4.4),
    add_large: Each(2.85, 5.6),
    max: Each(2.3, 11.7),
    min: Each(1.96, 12.8),
    compare: Each(2.8, 13.8),
    larger: Each(1.9, 8.0),
    // Calls, whose time depends on the numbers.
    multiply: Each(90.0, 16.0),
    requantize: Each(549.0, 26.5),
    spill: Each(1.0, 2.6),
    reload: Each(1.0, 2.8),
    stack: [0.0, 12.0, 2.9],
    ..RV32IMC
};

/// Of 16 bits.
const AVR: Table = Table {
    registers: 8,
    frame: Each(17.4, 36.9),
    load_byte: Each(2.3, 4.7),
    load: Each(3.0, 6.0),
    add: Each(2.57, 5.0),
    shift: [NONE, Each(1.95, 4.0)],
    small: 0,
    add_small: Each(2.0, 4.0),
    add_large: Each(1.9, 3.8),
    constant: Each(1.9, 3.9),
    max: Each(3.6, 9.2),
    min: Each(3.6, 8.9),
    compare: Each(5.3, 14.9),
    larger: Each(5.5, 12.7),
    multiply: Each(10.0, 20.0),
    requantize: Each(400.0, 100.0),
    spill: Each(2.0, 4.0),
    reload: Each(2.0, 4.0),
    stack: [8.0, 18.0, 2.0],
};

/// Of 32 bits.
const AVR_WIDE: Table = Table {
    registers: 5,
    frame: Each(20.3, 41.0),
    load_byte: Each(1.9, 3.9),
    load: Each(3.0, 6.0),
    add: Each(3.25, 6.7),
    shift: [NONE, Each(3.65, 7.7)],
    add_small: Each(4.0, 8.0),
    add_large: Each(4.0, 8.0),
    constant: Each(4.0, 8.2),
    max: Each(8.2, 20.8),
    min: Each(8.2, 21.0),
    compare: Each(13.0, 35.8),
    larger: Each(11.2, 26.2),
    multiply: Each(40.0, 20.0),
    requantize: Each(500.0, 100.0),
    spill: Each(3.4, 6.8),
    reload: Each(3.4, 6.8),
    stack: [15.0, 20.0, 2.0],
    ..AVR
};

impl Program {
    /// What it costs on a core.
    pub fn cost(&self, core: Core) -> Cost {
        let t = match core {
            Core::Portable | Core::Armv6m => ARMV6M,
            Core::Armv7em | Core::Helium => ARMV7EM,
            Core::Rv32imc => RV32IMC,
            Core::Rv32ec => RV32EC,
            Core::Avr if self.is_narrow() => AVR,
            Core::Avr => AVR_WIDE,
        };
        let adds_shifted = matches!(core, Core::Armv7em | Core::Helium);
        let mut only_added = vec![true; self.ops.len()];
        for op in &self.ops {
            let added = matches!(op, Op::Add(..) | Op::Sub(..));
            op.reads().for_each(|v| only_added[v] &= added);
        }
        let (spills, reloads) = self.spills(t.registers);
        let mut counts = vec![(1.0, t.frame), (spills as f64, t.spill), (reloads as f64, t.reload)];
        for (k, op) in self.ops.iter().enumerate() {
            match *op {
                Op::ShiftLeft(..) if adds_shifted && only_added[k] => {}
                Op::ShiftLeft(_, n) | Op::ShiftRight(_, n) => {
                    counts.extend([(1.0, t.shift[0]), (n.into(), t.shift[1])]);
                }
                Op::Load(_) => counts.push((1.0, t.load)),
                Op::LoadByte(_) => counts.push((1.0, t.load_byte)),
                Op::Constant(_) => counts.push((1.0, t.constant)),
                Op::AddConstant(_, c) if c.unsigned_abs() > t.small => counts.push((1.0, t.add_large)),
                Op::And(..) | Op::AddConstant(..) | Op::Not(_) | Op::Index(_) | Op::Store(..) => {
                    counts.push((1.0, t.add_small));
                }
                Op::Add(..) | Op::Sub(..) => counts.push((1.0, t.add)),
                Op::Multiply(..) => counts.push((1.0, t.multiply)),
                Op::Requantize(..) => counts.push((1.0, t.requantize)),
                Op::Max(..) => counts.push((1.0, t.max)),
                Op::Min(..) => counts.push((1.0, t.min)),
                Op::Larger(..) => counts.push((1.0, t.larger)),
                Op::Compare(..) => counts.push((1.0, t.compare)),
            }
        }
        let sum =
            |of: fn(&Each) -> f64| counts.iter().map(|(count, each)| count * of(each)).sum::<f64>().round() as usize;
        let [fits, more, each] = t.stack;
        Cost {
            instructions: sum(|each| each.0),
            bytes: sum(|each| each.1),
            stack: if spills == 0 { fits } else { more + each * spills as f64 }.round() as usize,
        }
    }

    /// Numbers that are stored and those that are loaded again, if what is used last leaves the registers first (Belady 1966).
    fn spills(&self, registers: usize) -> (usize, usize) {
        let mut uses: Vec<Vec<usize>> = vec![Vec::new(); self.ops.len()];
        for (k, op) in self.ops.iter().enumerate() {
            op.reads().for_each(|v| uses[v].push(k));
        }
        // From the last on, so that the next is at the end.
        uses.iter_mut().for_each(|uses| uses.reverse());
        let mut held: Vec<Var> = Vec::with_capacity(registers + 2);
        let mut stored = vec![false; self.ops.len()];
        let (mut spills, mut reloads) = (0, 0);
        for (k, op) in self.ops.iter().enumerate() {
            let mut leave = |held: &mut Vec<Var>, uses: &[Vec<usize>]| {
                while held.len() > registers {
                    let next = |&(_, &v): &(usize, &Var)| uses[v].last().copied();
                    let Some((at, &v)) = held.iter().enumerate().max_by_key(next) else { return };
                    held.swap_remove(at);
                    spills += usize::from(!std::mem::replace(&mut stored[v], true));
                }
            };
            for v in op.reads().filter(|&v| !matches!(self.ops[v], Op::Constant(_))) {
                if !held.contains(&v) {
                    reloads += 1;
                    held.push(v);
                    leave(&mut held, &uses);
                }
            }
            op.reads().for_each(|v| {
                uses[v].pop();
            });
            held.retain(|&v| !uses[v].is_empty());
            if !uses[k].is_empty() && !matches!(op, Op::Constant(_)) {
                held.push(k);
                leave(&mut held, &uses);
            }
        }
        (spills, reloads)
    }
}
