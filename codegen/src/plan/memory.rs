//! Memory by lifetime: the byte of the scratch arena at which every value begins.

use super::layout::Layout;
use super::{Place, Plan, Quant, Step, Value, ValueId};
use std::collections::HashMap;

/// One block to place: alive from step `from` to step `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Size, a multiple of `align`.
    pub bytes: usize,
    /// 1, 2 or 4.
    pub align: usize,
    /// Step that writes it.
    pub from: usize,
    /// Last step that reads it.
    pub to: usize,
}

/// Offsets for `blocks` such that no two that are alive at the same time overlap, and the total they need.
///
/// First fit over several orders, of which the best is taken: by size, by lifetime, by both, and as they come. It
/// stops at the lower bound (the most that is alive at any one step), which chains and simple skips reach.
pub fn place(blocks: &[Block]) -> (Vec<usize>, usize) {
    let steps = blocks.iter().map(|b| b.to + 1).max().unwrap_or(0);
    let alive = |step: usize| blocks.iter().filter(|b| b.from <= step && step <= b.to).map(|b| b.bytes).sum::<usize>();
    let bound = (0..steps).map(alive).max().unwrap_or(0);
    let mut best: Option<(Vec<usize>, usize)> = None;
    type Key = fn(&Block) -> (usize, usize);
    let keys: [Key; 4] = [
        |b| (usize::MAX - b.bytes, b.from),
        |b| (usize::MAX - (b.to - b.from), usize::MAX - b.bytes),
        |b| (usize::MAX - b.bytes * (b.to - b.from + 1), b.from),
        |b| (b.from, usize::MAX - b.bytes),
    ];
    for key in keys {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|&k| key(&blocks[k]));
        let found = first_fit(blocks, &order);
        if best.as_ref().is_none_or(|b| found.1 < b.1) {
            best = Some(found);
        }
        if best.as_ref().is_some_and(|b| b.1 <= bound) {
            break;
        }
    }
    best.unwrap_or_default()
}

fn first_fit(blocks: &[Block], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; blocks.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for &k in order {
        let block = &blocks[k];
        let mut busy: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&p| blocks[p].from <= block.to && block.from <= blocks[p].to)
            .map(|&p| (offsets[p], offsets[p] + blocks[p].bytes))
            .collect();
        busy.sort_unstable();
        let mut at = 0;
        for (start, end) in busy {
            if at + block.bytes <= start {
                break;
            }
            at = at.max(end).next_multiple_of(block.align);
        }
        offsets[k] = at;
        total = total.max(at + block.bytes);
        placed.push(k);
    }
    (offsets, total)
}

impl Plan {
    /// Gives every value that is neither input nor output its place in the arena, lets steps that can work in
    /// place do so, and sets the arena's size (rounded up to its alignment of 4).
    pub fn place_values(&mut self) {
        for k in 0..self.steps.len() {
            self.steps[k].scratch = self.steps[k].kernel.scratch().map(|(ty, len)| {
                let name = format!("{} tile", self.steps[k].name);
                let value = Value {
                    name,
                    shape: vec![len],
                    quant: Quant::new(ty, 1.0, 0),
                    place: Place::Arena(0),
                    layout: Layout::Plain,
                    order: None,
                    constant: None,
                    ..self.values[self.steps[k].output].clone()
                };
                // In the place of the one that it had.
                match self.steps[k].scratch {
                    Some(id) => {
                        self.values[id] = value;
                        id
                    }
                    None => {
                        self.values.push(value);
                        self.values.len() - 1
                    }
                }
            });
        }
        let mut last_read: HashMap<ValueId, usize> = HashMap::new();
        let mut first_write: HashMap<ValueId, usize> = HashMap::new();
        for (k, step) in self.steps.iter().enumerate() {
            for &input in &step.inputs {
                last_read.insert(input, k);
            }
            first_write.entry(step.output).or_insert(k);
            if let Some(scratch) = step.scratch {
                first_write.insert(scratch, k);
                last_read.insert(scratch, k);
            }
            // A concatenation is written by several steps.
            last_read.entry(step.output).and_modify(|l| *l = k.max(*l)).or_insert(k);
        }
        // Values that share a block, under the first of them.
        let mut owner: HashMap<ValueId, ValueId> = HashMap::new();
        let root = |owner: &HashMap<ValueId, ValueId>, v: ValueId| owner.get(&v).copied().unwrap_or(v);
        for k in 0..self.steps.len() {
            let Step { kernel, inputs, output, .. } = &self.steps[k];
            let (input, output) = (inputs[0], *output);
            let scratch = |v: ValueId| matches!(self.values[v].place, Place::Arena(_));
            let in_place = kernel.in_place()
                && scratch(input)
                && scratch(output)
                && self.values[input].bytes() == self.values[output].bytes()
                && self.values[input].quant.ty == self.values[output].quant.ty
                && self.values[input].layout == self.values[output].layout
                && last_read[&input] == k;
            if in_place {
                owner.insert(output, root(&owner, input));
            }
            self.steps[k].in_place = in_place;
        }
        let mut blocks: Vec<Block> = Vec::new();
        let mut block_of: HashMap<ValueId, usize> = HashMap::new();
        let mut in_arena: Vec<ValueId> = first_write.keys().copied().collect();
        in_arena.retain(|&v| matches!(self.values[v].place, Place::Arena(_)));
        in_arena.sort_by_key(|v| (first_write[v], *v));
        for &value in &in_arena {
            let (from, to) = (first_write[&value], last_read[&value]);
            match block_of.get(&root(&owner, value)).copied() {
                Some(b) => {
                    blocks[b].to = blocks[b].to.max(to);
                    block_of.insert(value, b);
                }
                None => {
                    let align = self.values[value].align();
                    blocks.push(Block { bytes: self.values[value].bytes(), align, from, to });
                    block_of.insert(value, blocks.len() - 1);
                }
            }
        }
        let (offsets, total) = place(&blocks);
        for (value, block) in block_of {
            self.values[value].place = Place::Arena(offsets[block]);
        }
        self.arena_bytes = total.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(bytes: usize, from: usize, to: usize) -> Block {
        Block { bytes, align: 1, from, to }
    }

    #[test]
    fn a_chain_needs_its_largest_neighbours() {
        let (_, total) = place(&[block(64, 0, 1), block(32, 1, 2), block(10, 2, 3), block(80, 3, 4)]);
        assert_eq!(total, 96);
    }

    #[test]
    fn a_skip_stays_alive() {
        // x (16) lives across two layers of 8 and 24 bytes.
        let (offsets, total) = place(&[block(16, 0, 3), block(8, 1, 2), block(24, 2, 3)]);
        assert_eq!(total, 48);
        assert!(offsets[1] != offsets[0] || offsets[2] != offsets[0]);
    }

    proptest! {
        #[test]
        fn nothing_overlaps(raw in prop::collection::vec((1usize..100, 0usize..10, 0usize..5, prop::bool::ANY), 1..20)) {
            let blocks: Vec<Block> = raw
                .iter()
                .map(|&(n, from, life, wide)| {
                    let align = if wide { 2 } else { 1 };
                    Block { bytes: n * align, align, from, to: from + life }
                })
                .collect();
            let (offsets, total) = place(&blocks);
            for (i, a) in blocks.iter().enumerate() {
                prop_assert!(offsets[i].is_multiple_of(a.align) && offsets[i] + a.bytes <= total);
                for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                    let together = a.from <= b.to && b.from <= a.to;
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    prop_assert!(!together || apart);
                }
            }
        }
    }
}
