//! Runs a plan on the host, with the runtime's own kernels.

use super::kernels::Buffer;
use super::layout::Layout;
use super::{Features, Input, Plan, Value, ValueId};
use tinymlp::convert;

/// Executes a plan; keeps its buffers between runs.
#[derive(Clone, Debug)]
pub struct Simulator<'p> {
    plan: &'p Plan,
    buffers: Vec<Buffer>,
}

impl<'p> Simulator<'p> {
    /// A simulator of `plan`.
    pub fn new(plan: &'p Plan) -> Self {
        let buffer = |v: &Value| match &v.constant {
            Some(integers) => Buffer::from_integers(v.quant.ty, integers),
            None if v.layout != Layout::Plain => Buffer::Words(vec![0; v.bytes() / 4]),
            None => Buffer::new(v.quant.ty, v.len()),
        };
        Self { plan, buffers: plan.values.iter().map(buffer).collect() }
    }

    /// Runs one inference on quantized inputs, in the plan's order.
    pub fn run(&mut self, inputs: &[Buffer]) {
        self.run_until(inputs, self.plan.steps.len());
    }

    /// [`Simulator::run`] without the steps from `end` on.
    pub fn run_until(&mut self, inputs: &[Buffer], end: usize) {
        for (input, buffer) in self.plan.inputs.iter().zip(inputs) {
            self.buffers[input.value] = buffer.clone();
        }
        for step in &self.plan.steps[..end] {
            // Taken out, so that the kernel can read the others while it writes this one.
            let mut y = std::mem::replace(&mut self.buffers[step.output], Buffer::I8(Vec::new()));
            let x: Vec<&Buffer> = step.inputs.iter().map(|&i| &self.buffers[i]).collect();
            step.kernel.run(&x, &mut y);
            self.buffers[step.output] = y;
        }
    }

    /// [`Simulator::run`] on real inputs, quantized as the generated module does it.
    pub fn run_real(&mut self, inputs: &[&[f32]]) {
        let quantized: Vec<Buffer> =
            self.plan.inputs.iter().zip(inputs).map(|(input, x)| quantize(self.plan, input, x)).collect();
        self.run(&quantized);
    }

    /// A value after a run, as it lies in memory.
    pub fn value(&self, id: ValueId) -> &Buffer {
        &self.buffers[id]
    }

    /// The integers of a value after a run.
    pub fn integers(&self, id: ValueId) -> Vec<i32> {
        let value = &self.plan.values[id];
        let Buffer::Words(words) = &self.buffers[id] else { return self.buffers[id].integers() };
        let row = (value.layout.words(value.features()) * value.layout.rows()).max(1);
        let unpack = |row| {
            let found = value.layout.unpack(row, value.features());
            let Some(order) = &value.order else { return found };
            let mut sorted = vec![0; found.len()];
            found.into_iter().zip(&**order).for_each(|(q, &k)| sorted[k] = q);
            sorted
        };
        words.chunks_exact(row).flat_map(unpack).collect()
    }

    /// The real numbers a value stands for after a run.
    pub fn real(&self, id: ValueId) -> Vec<f64> {
        let quant = self.plan.values[id].quant;
        self.integers(id).into_iter().map(|q| quant.real(q)).collect()
    }
}

/// Real inputs as the quantized input `input` of a plan, by the runtime's own conversion.
pub fn quantize(plan: &Plan, input: &Input, x: &[f32]) -> Buffer {
    let quant = plan.values[input.value].quant;
    let mut buffer = Buffer::new(quant.ty, x.len());
    match (&mut buffer, &input.features) {
        (Buffer::I8(q), None) => convert::from_f32(x, per_unit(quant.scale), quant.zero_point, q),
        (Buffer::I16(q), None) => convert::from_f32(x, per_unit(quant.scale), quant.zero_point, q),
        (Buffer::I8(q), Some(f)) => each(x, f, quant.zero_point, q),
        (Buffer::I16(q), Some(f)) => each(x, f, quant.zero_point, q),
        // Buckets of words, which are no real numbers.
        (Buffer::U16(q), _) => q.iter_mut().zip(x).for_each(|(q, &x)| *q = x as u16),
        (Buffer::I32(_) | Buffer::Words(_), _) => unreachable!("an input is a plain activation"),
    }
    match &mut buffer {
        Buffer::I8(q) => convert::at_most(quant.max as i8, q),
        Buffer::I16(q) => convert::at_most(quant.max as i16, q),
        _ => {}
    }
    buffer
}

fn each<T: tinymlp::Element>(x: &[f32], features: &Features, zero_point: i32, q: &mut [T]) {
    let (offset, per_unit) = feature_constants(features);
    convert::from_f32_each(x, &offset, &per_unit, zero_point, q);
}

/// One over a scale, in the `f32` that the generated module holds.
pub fn per_unit(scale: f64) -> f32 {
    (1.0 / scale) as f32
}

/// Offsets and reciprocal scales in the `f32` that the generated module holds.
pub fn feature_constants(features: &Features) -> (Vec<f32>, Vec<f32>) {
    (features.offset.iter().map(|&o| o as f32).collect(), features.scale.iter().map(|&s| per_unit(s)).collect())
}
