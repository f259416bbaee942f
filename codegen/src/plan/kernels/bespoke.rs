//! A chain of fully connected layers as straight-line code.

use super::{Buffer, Constant, Fields, Kernel};
use crate::bespoke::Program;
use crate::plan::cost::{Cost, Instructions, Seen};
use crate::target::Core;

/// See [`crate::bespoke`].
#[derive(Clone, Debug)]
pub struct Bespoke {
    /// What it does.
    pub program: Program,
    /// Multiply-accumulate operations of the layers.
    pub macs: u64,
    /// The core it is for.
    pub core: Core,
}

impl Kernel for Bespoke {
    fn op(&self) -> &'static str {
        "Bespoke"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        let Buffer::I8(x) = x[0] else { unreachable!("the operand is int8") };
        let found = self.program.run(x);
        match y {
            Buffer::I8(y) => y.iter_mut().zip(found).for_each(|(y, q)| *y = q as i8),
            Buffer::U16(y) => y.iter_mut().zip(found).for_each(|(y, q)| *y = q as u16),
            _ => unreachable!("the result is int8 or an index"),
        }
    }

    fn constant(&self) -> Constant {
        Constant { ty: self.op().into(), fields: Fields::Function }
    }

    fn function(&self, name: &str) -> String {
        // Cores of 32 bits would have to extend narrower numbers.
        self.program.text(name, self.core == Core::Avr && self.program.is_narrow())
    }

    fn views(&self) -> Vec<Vec<usize>> {
        vec![vec![self.program.inputs], vec![self.program.outputs]]
    }

    fn module(&self) -> &'static str {
        "bespoke"
    }

    fn cost(&self, _seen: &Seen) -> Option<Cost> {
        if self.core == Core::Portable {
            return None;
        }
        let cost = self.program.cost(self.core);
        // The compiler decides whether limits are branches; by how much the dearest way through them is above the mean is a
        // guess.
        let mean = cost.instructions as f64;
        Some(Cost {
            instructions: Instructions { mean, max: 1.25 * mean },
            inlined: cost.bytes,
            stack: cost.stack,
            estimated: true,
            ..Cost::default()
        })
    }

    fn calls(&self) -> usize {
        // It becomes part of its caller.
        0
    }

    fn macs(&self) -> u64 {
        self.macs
    }
}
