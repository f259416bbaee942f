//! Functions of one number, from tables in program memory.

use crate::plan::Type;
use crate::plan::cost::{Cost, Function, Instructions, Seen};
use crate::plan::kernels::{self, Buffer, Constant, Fields, Kernel};

/// See [`tinymlp::arch::avr::Lookup`].
#[derive(Clone, Debug)]
pub struct Lookup(kernels::Lookup);

impl Lookup {
    /// The same table, if it is of int8.
    pub fn new(from: &kernels::Lookup) -> Option<Self> {
        (from.ty == Type::I8).then(|| Self(from.clone()))
    }
}

impl Kernel for Lookup {
    fn op(&self) -> &'static str {
        "Lookup"
    }

    fn module(&self) -> &'static str {
        "arch::avr"
    }

    fn run(&self, x: &[&Buffer], y: &mut Buffer) {
        self.0.run(x, y);
    }

    fn cost(&self, _: &Seen) -> Option<Cost> {
        Some(Cost {
            instructions: Instructions::fixed(6 + 9 * self.0.len),
            code: vec![Function { name: "avr::lookup".into(), bytes: 36 }],
            stack: 4,
            fixed: true,
            ..Cost::default()
        })
    }

    fn constant(&self) -> Constant {
        let table = kernels::Field::row("i8", 1, self.0.table.clone());
        Constant { ty: "Lookup".into(), fields: Fields::ProgramMemory(table) }
    }

    fn views(&self) -> Vec<Vec<usize>> {
        self.0.views()
    }

    fn in_place(&self) -> bool {
        true
    }
}
