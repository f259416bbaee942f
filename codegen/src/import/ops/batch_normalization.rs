//! `BatchNormalization` in inference: a factor and a term per channel.

use super::super::lower::{Lowering, Result, extent};
use super::super::value::{Value, fault};
use crate::graph::expr::Unary;
use crate::graph::{Expr, show_shape};

pub(super) fn lower(l: &mut Lowering) -> Result<Vec<Value>> {
    let v = l.input(0)?;
    if l.int("training_mode", 0)? != 0 {
        return Err(fault("it is in training mode").help("export the model in evaluation mode (`model.eval()`)"));
    }
    if l.int("spatial", 1)? == 0 {
        return Err(fault("statistics per element (spatial=0) are not supported"));
    }
    let epsilon = l.float("epsilon", 1e-5)?;
    // Channels are axis 1, or there is one channel.
    let channels = extent(v.shape(), 1);
    let shape = [&[channels][..], &vec![1; v.rank().saturating_sub(2)]].concat();
    let mut parameters = Vec::with_capacity(4);
    for k in 1..=4 {
        let parameter = l.input(k)?;
        if parameter.shape() != [channels] {
            let (p, x) = (show_shape(parameter.shape()), show_shape(v.shape()));
            return Err(fault(format!("input {k} of shape {p} does not fit the {channels} channels of {x}")));
        }
        parameters.push(l.reshape(&parameter, shape.clone())?);
    }
    let [scale, bias, mean, variance] = parameters.as_slice() else { return Err(fault("parameters are missing")) };
    let [x, y, z] = [0, 1, 2].map(Expr::Input);
    let deviation = Expr::unary(Unary::Sqrt, y.clone() + Expr::Const(epsilon));
    let factor = l.map(&(x.clone() / deviation), &[scale, variance], v.ty())?;
    let term = l.map(&(x.clone() - y.clone() * z), &[bias, mean, &factor], v.ty())?;
    let product = l.map(&(x.clone() * y.clone()), &[&v, &factor], v.ty())?;
    Ok(vec![l.map(&(x + y), &[&product, &term], v.ty())?])
}
