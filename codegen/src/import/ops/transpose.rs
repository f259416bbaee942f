//! `Transpose`.

use super::super::lower::{Lowering, Result};
use super::super::value::{Value, fault};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    let perm = match l.ints("perm")? {
        Some(perm) => perm.iter().map(|&axis| l.axis(axis, v.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..v.rank()).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..v.rank()) {
        return Err(fault(format!("its perm {perm:?} is not a permutation of {} axes", v.rank())));
    }
    Ok(vec![l.transpose(&v, &perm)?])
}
