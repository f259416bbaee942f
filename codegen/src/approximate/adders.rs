//! What a network costs as a circuit with its weights wired in: full adders.
//!
//! The estimate is that of the bespoke printed networks (Afentaki et al. 2023, "Bespoke Approximation of
//! Multiplication-Accumulation and Activation Targeting Printed Multilayer Perceptrons", arXiv 2312.17612), so that
//! figures compare. Every neuron adds its positive and its negative summands in a tree each. In each column of a tree,
//! from the lowest, three bits become one there and one in the next column, by one full adder, until no column has more
//! than two. What is left, and the subtraction of the trees, is an adder as wide as the larger sum, and one more.
//! A weight of several bits has a summand for each of its digits, moved by its place: that is an exact multiplier with a
//! constant. The authors' program drops what it accumulates of the sums' sizes, swaps their signs and leaves biases
//! unaligned; here the sums are the real ones and biases are in the products' scale.

use super::digits::signed_digits;
use super::network::{Activation, Layer, Network};

/// How constant weights become shifts and additions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digits {
    /// The ones of the magnitude. As the estimate of the printed networks, whose weights have but one.
    #[default]
    Binary,
    /// The canonical signed digits (Reitwiesner 1960), of which the fewest are not zero. Digits of the other sign join the
    /// other tree.
    Signed,
}

/// Full adders of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adders {
    /// By layer: its neurons' trees and final adders.
    pub layers: Vec<usize>,
    /// The comparators that choose the class, one a class but one, each as wide as the widest sum, or as the bits that an
    /// approximate choice compares. The printed networks' figures are without them.
    pub comparators: usize,
}

impl Adders {
    /// Counts a network's.
    pub fn new(network: &Network, digits: Digits) -> Self {
        let layer = |layer: &Layer| (0..layer.outputs).map(|o| neuron(layer, o, digits)).sum();
        Self { layers: network.layers.iter().map(layer).collect(), comparators: comparators(network) }
    }

    /// Without comparators, as the printed networks are counted.
    pub fn accumulation(&self) -> usize {
        self.layers.iter().sum()
    }
}

/// Full adders of one neuron. None, if its result is the same whatever the input.
pub fn neuron(layer: &Layer, output: usize, digits: Digits) -> usize {
    let rectified = matches!(layer.result, Activation::Truncated { .. });
    let (low, high) = layer.bounds(output);
    if low == high || rectified && high <= 0 {
        return 0;
    }
    Trees::new(layer, output, digits).adders()
}

/// What a neuron adds, from which single summands can be taken away.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    /// Of the positive and of the negative summands.
    trees: [Tree; 2],
    digits: Digits,
}

impl Trees {
    /// Of an output.
    pub(crate) fn new(layer: &Layer, output: usize, digits: Digits) -> Self {
        let mut all = Self { trees: [Tree::new(), Tree::new()], digits };
        let constant = layer.constant(output);
        all.trees[usize::from(constant < 0)].add(u64::from(constant.unsigned_abs()), 0);
        for (_, w, mask) in layer.summands(output) {
            all.each(w, |tree, place| tree.add(u64::from(mask & layer.live()), place));
        }
        all
    }

    /// The same without these bits of the operand of a weight, which have to be there.
    #[cfg(any(feature = "search", test))]
    pub(crate) fn without(&self, w: i8, bits: u8) -> Self {
        let mut all = self.clone();
        all.each(w, |tree, place| tree.remove(bits.into(), place));
        all
    }

    /// Calls `f` with the tree and the place of each digit of a weight.
    fn each(&mut self, w: i8, mut f: impl FnMut(&mut Tree, u32)) {
        let (same, other) = match self.digits {
            Digits::Binary => (w.unsigned_abs().into(), 0),
            Digits::Signed => signed_digits(w.unsigned_abs().into()),
        };
        for (ones, negative) in [(same, w < 0), (other, w > 0)] {
            let places = (0..u32::BITS).filter(|place| ones >> place & 1 == 1);
            places.for_each(|place| f(&mut self.trees[usize::from(negative)], place));
        }
    }

    /// Full adders of both trees and of what takes one from the other.
    pub(crate) fn adders(&self) -> usize {
        let width = self.trees.iter().map(Tree::width).max().unwrap_or(0) as usize + 1;
        self.trees.iter().map(Tree::reduce).sum::<usize>() + width
    }
}

/// One a bit of every comparison.
fn comparators(network: &Network) -> usize {
    if let Some(tree) = &network.tree {
        return tree.comparators.iter().map(|comparator| comparator.bits.count_ones() as usize).sum();
    }
    let Some(layer) = network.layers.last() else { return 0 };
    let bounds = (0..layer.outputs).map(|o| layer.bounds(o));
    let (low, high) = bounds.fold((0, 0), |(low, high), (l, h)| (low.min(l), high.max(h)));
    let bits = |magnitude: i64| (i64::BITS - magnitude.leading_zeros()) as usize;
    // Signed, if a sum can be negative.
    let width = if low < 0 { bits(high).max(bits(-low - 1)) + 1 } else { bits(high) };
    width * layer.outputs.saturating_sub(1)
}

/// Bits to be added.
#[derive(Clone, Debug)]
struct Tree {
    /// How many in each column.
    columns: [usize; 64],
    /// What they add up to at most.
    most: u64,
}

impl Tree {
    fn new() -> Self {
        Self { columns: [0; 64], most: 0 }
    }

    /// The bits of a summand that may be set, moved by some places.
    fn add(&mut self, live: u64, places: u32) {
        let bits = live << places;
        self.most += bits;
        let ones = (0..self.columns.len()).filter(|column| bits >> column & 1 == 1);
        ones.for_each(|column| self.columns[column] += 1);
    }

    /// The opposite of [`Tree::add`].
    #[cfg(any(feature = "search", test))]
    fn remove(&mut self, live: u64, places: u32) {
        let bits = live << places;
        self.most -= bits;
        let ones = (0..self.columns.len()).filter(|column| bits >> column & 1 == 1);
        ones.for_each(|column| self.columns[column] -= 1);
    }

    fn width(&self) -> u32 {
        u64::BITS - self.most.leading_zeros()
    }

    /// Full adders until no column has more than two bits.
    fn reduce(&self) -> usize {
        let (mut adders, mut carries) = (0, 0);
        for bits in self.columns {
            let mut bits = bits + std::mem::take(&mut carries);
            while bits >= 3 {
                let own = bits / 3;
                bits -= 2 * own;
                carries += own;
            }
            adders += carries;
        }
        adders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(weight: &[i8], bias: i32, masks: &[u8], result: Activation) -> Layer {
        Layer {
            name: "fc".into(),
            inputs: weight.len(),
            outputs: 1,
            weight: weight.to_vec(),
            bias: vec![bias],
            masks: masks.to_vec(),
            zero: 0,
            largest: 15,
            result,
        }
    }

    fn sums(weight: &[i8], bias: i32, masks: &[u8]) -> usize {
        neuron(&layer(weight, bias, masks, Activation::Sums), 0, Digits::Binary)
    }

    #[test]
    fn three_bits_of_a_column_take_one_full_adder() {
        // Two operands of 4 bits: no column has three, the sum 30 has 5 bits, and one more.
        assert_eq!(sums(&[1, 1], 0, &[15, 15]), 6);
        // Three: a full adder a column leaves 1, 2, 2, 2 and 1 bits. The sum 45 has 6 bits.
        assert_eq!(sums(&[1, 1, 1], 0, &[15, 15, 15]), 4 + 7);
        // Masks take the bits away: columns of 3, 2, 1 and 0; the first adder's carry makes 3 in the second, whose makes
        // 2 in the third. The sum 1 + 3 + 7 has 4 bits.
        assert_eq!(sums(&[1, 1, 1], 0, &[1, 3, 7]), 2 + 5);
        // A summand that is left out is not there.
        assert_eq!(sums(&[1, 1, 64], 0, &[15, 15, 0]), 6);
    }

    #[test]
    fn bits_are_taken_away_as_if_they_had_never_been_there() {
        let (weight, masks) = ([1, -7, 64, 3, 5], [15, 15, 7, 3, 12]);
        for digits in [Digits::Binary, Digits::Signed] {
            let all = Trees::new(&layer(&weight, -9, &masks, Activation::Sums), 0, digits);
            for (input, bits) in [(1, 15), (1, 4), (2, 1), (4, 8)] {
                let mut fewer = masks;
                fewer[input] &= !bits;
                let expected = neuron(&layer(&weight, -9, &fewer, Activation::Sums), 0, digits);
                assert_eq!(all.without(weight[input], bits).adders(), expected, "{input} {bits}");
            }
        }
    }

    #[test]
    fn signs_have_trees_of_their_own_and_biases_count() {
        // Three positive summands and the bias 1 in the lowest column: 4 bits there are one adder, leaving 2; then as
        // above, but the sum 46.
        assert_eq!(sums(&[1, 1, 1], 1, &[15, 15, 15]), 4 + 7);
        // Two of each sign: nothing to reduce, one subtraction as wide as the larger sum, 2 * 30.
        assert_eq!(sums(&[2, -1, 2, -1], 0, &[15; 4]), 7);
        // Places: weights 1, 2 and 4 meet three times only in columns 2 and 3 of 1111, 11110, 111100; the carry of
        // column 3 makes 3 of column 4 (two bits and it). The sum 105 has 7 bits.
        assert_eq!(sums(&[1, 2, 4], 0, &[15; 3]), 3 + 8);
    }

    #[test]
    fn a_weight_of_several_bits_is_a_sum_of_its_digits() {
        // 7 x = x + 2 x + 4 x in binary: as above.
        assert_eq!(sums(&[7], 0, &[15]), 3 + 8);
        // 7 = 8 - 1: two summands in two trees.
        let layer = layer(&[7], 0, &[15], Activation::Sums);
        assert_eq!(neuron(&layer, 0, Digits::Signed), 8);
    }

    #[test]
    fn constants_need_no_adder() {
        assert_eq!(sums(&[3], 5, &[0]), 0);
        let result = Activation::Truncated { shift: 2, max: 255 };
        assert_eq!(neuron(&layer(&[-1, -2], -3, &[15, 15], result), 0, Digits::Binary), 0);
    }

    #[test]
    fn comparators_are_as_wide_as_the_widest_sum() {
        let mut last = layer(&[1, 1, -2, 1, 4, 4], 0, &[15; 6], Activation::Sums);
        (last.inputs, last.outputs, last.bias) = (2, 3, vec![0; 3]);
        // The least sum is -30, the largest 120: 7 bits and a sign.
        let network = Network { layers: vec![last], last: false, tree: None };
        assert_eq!(Adders::new(&network, Digits::Binary).comparators, 2 * 8);
    }
}
