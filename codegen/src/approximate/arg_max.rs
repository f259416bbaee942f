//! The approximate argmax of "Bespoke Approximation of Multiplication-Accumulation and Activation Targeting Printed
//! Multilayer Perceptrons" (ICCAD 2023): a tree of comparators, each of which compares some bits of its operands.

use serde::{Deserialize, Serialize};
use tinymlp::kernels::dynamic::arg_max_bits;

/// Compares some bits of the values in two slots. The winner, which is the left operand among equals, stands in the left
/// slot from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparator {
    /// Slot of the operand that wins ties: a class, or where an earlier comparator left its winner.
    pub left: u16,
    /// Slot of the other operand.
    pub right: u16,
    /// The bits that are compared; in JSON as hexadecimal text.
    #[serde(with = "hexadecimal")]
    pub bits: u32,
}

/// What finds the class: see [`tinymlp::kernels::ArgMaxBits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Added to every sum; what is below zero then counts as zero.
    pub offset: i32,
    /// One less than classes, each after those whose winners it compares. The last one's winner is the class.
    pub comparators: Vec<Comparator>,
}

impl Tree {
    /// A tree for sums from `low` to `high` that compares all their bits, neighbours first: what `ArgMax` does, which among
    /// equals takes the first, or the `last`.
    pub fn exact(classes: usize, last: bool, (low, high): (i64, i64)) -> Self {
        let offset = offset(low);
        let bits = live_bits(offset, high);
        let mut comparators = Vec::new();
        let mut slots: Vec<u16> = (0..classes).map(|k| k as u16).collect();
        while slots.len() > 1 {
            let pairs = slots.chunks(2).map(|pair| match *pair {
                [a, b] => {
                    let (left, right) = if last { (b, a) } else { (a, b) };
                    comparators.push(Comparator { left, right, bits });
                    left
                }
                _ => pair[0],
            });
            slots = pairs.collect();
        }
        Self { offset, comparators }
    }

    /// Why it is no tree for so many classes, if it is none.
    pub fn problem(&self, classes: usize) -> Option<String> {
        if self.comparators.len() + 1 != classes {
            let count = self.comparators.len();
            return Some(format!(
                "{count} comparators do not find one of {classes} classes, but {}",
                classes.max(1) - 1
            ));
        }
        let mut out = vec![false; classes];
        for (k, &Comparator { left, right, .. }) in self.comparators.iter().enumerate() {
            for slot in [left, right] {
                match out.get(usize::from(slot)) {
                    None => return Some(format!("comparator {k} compares slot {slot} of {classes}")),
                    Some(true) => return Some(format!("comparator {k} compares slot {slot}, which lost before")),
                    Some(false) => {}
                }
            }
            if left == right {
                return Some(format!("comparator {k} compares slot {left} with itself"));
            }
            out[usize::from(right)] = true;
        }
        None
    }

    /// The classes that it finds for rows of sums.
    pub fn choose(&self, rows: &[i32]) -> Vec<u16> {
        let classes = self.comparators.len() + 1;
        let (left, right, bits) = self.columns();
        let mut found = vec![0; rows.len() / classes];
        arg_max_bits(rows, 1, self.offset, (&left, &right, &bits), &mut vec![0; classes], &mut found);
        found
    }

    /// Left and right slots and bits by comparator, as the runtime takes them.
    pub fn columns(&self) -> (Vec<u16>, Vec<u16>, Vec<u32>) {
        let column = |f: fn(&Comparator) -> u16| self.comparators.iter().map(f).collect();
        (column(|c| c.left), column(|c| c.right), self.comparators.iter().map(|c| c.bits).collect())
    }

    /// How many rows of sums it gives their label.
    pub fn right(&self, rows: &[i32], labels: &[usize]) -> usize {
        self.choose(rows).iter().zip(labels).filter(|&(&class, &label)| usize::from(class) == label).count()
    }

    /// By how much the sum of the class that it finds can be below the largest, for sums from `low` to `high`.
    ///
    /// A comparator that lets the smaller value win has compared equal bits, or larger ones of the winner: what it loses
    /// is in the bits that it does not compare. On the way from a class to the root such losses add up. But if every
    /// comparator on the way compares all bits from position `t` up, no winner is smaller than the class's value in these
    /// bits, so that less than `2^t` is lost in all. Values that count as zero lose what they are below it.
    pub fn error(&self, (low, high): (i64, i64)) -> i64 {
        let offset = i64::from(self.offset);
        let top = (high + offset).max(0);
        let live = live_bits(self.offset, high);
        // By slot, of the comparators that its present value still goes through: the lowest position from which all compare
        // every bit, and the bits left out, summed.
        let mut above: Vec<(u32, i64)> = vec![(0, 0); self.comparators.len() + 1];
        for &Comparator { left, right, bits } in self.comparators.iter().rev() {
            let left_out = live & !bits;
            let (from, sum) = above[usize::from(left)];
            let all = (from.max(32 - left_out.leading_zeros()), sum + i64::from(left_out));
            (above[usize::from(left)], above[usize::from(right)]) = (all, all);
        }
        let lost = above.iter().map(|&(from, sum)| sum.min((1 << from) - 1)).max().unwrap_or(0);
        lost.min(top) + (-(low + offset)).max(0)
    }

    /// Leaves bits out, as long as at least `least` rows of sums get their label: every comparator's, from the lowest bit
    /// up, the comparators taking turns at every bit. Bits whose loss costs too much stay; those above them are tried
    /// all the same.
    ///
    /// The rows are best ones that chose nothing else, nor are to tell the accuracy afterwards. The authors' search is not
    /// published; this takes its place.
    #[must_use]
    pub fn shrink(&self, rows: &[i32], labels: &[usize], least: usize) -> Self {
        let mut tree = self.clone();
        for bit in (0..32).map(|position| 1u32 << position) {
            for k in 0..tree.comparators.len() {
                if tree.comparators[k].bits & bit == 0 {
                    continue;
                }
                tree.comparators[k].bits &= !bit;
                if tree.right(rows, labels) < least {
                    tree.comparators[k].bits |= bit;
                }
            }
        }
        tree
    }
}

/// The least power of two that makes sums down to `low` non-negative; 0, if they are. With it, the bits are those of the
/// two's complement but for an inverted sign, which costs a circuit nothing.
pub fn offset(low: i64) -> i32 {
    if low >= 0 { 0 } else { low.unsigned_abs().next_power_of_two().min(1 << 30) as i32 }
}

/// The bits that sums of at most `high` have behind the offset.
pub fn live_bits(offset: i32, high: i64) -> u32 {
    let top = (high + i64::from(offset)).clamp(0, i64::from(i32::MAX)) as u32;
    u32::MAX.checked_shr(top.leading_zeros()).unwrap_or(0)
}

/// The highest `count` of the bits that `live` has.
pub fn highest(live: u32, count: u32) -> u32 {
    let all = 32 - live.leading_zeros();
    live & !((1u64 << all.saturating_sub(count)) - 1) as u32
}

/// Bits as hexadecimal text: `"0x00f0"`.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(bits: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{bits:#06x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let bits = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        bits.ok_or_else(|| D::Error::custom(format!("\"{text}\" are no 32 bits in hexadecimal, such as \"0x00f0\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use tinymlp::kernels::dynamic::arg_max;

    const CLASSES: usize = 5;

    /// Any tree of five classes.
    fn trees() -> impl Strategy<Value = Tree> {
        let comparators = prop::collection::vec((any::<Index>(), any::<Index>(), 0u32..1 << 10), CLASSES - 1);
        (prop::sample::select(vec![0, 100, 256, 300]), comparators).prop_map(|(offset, picks)| {
            let mut slots: Vec<u16> = (0..CLASSES as u16).collect();
            let comparators = picks.iter().map(|(a, b, bits)| {
                let right = slots.remove(b.index(slots.len()));
                Comparator { left: *a.get(&slots), right, bits: *bits }
            });
            Tree { offset, comparators: comparators.collect() }
        })
    }

    fn rows(low: i32, high: i32) -> impl Strategy<Value = Vec<i32>> {
        prop::collection::vec(low..=high, CLASSES * 40)
    }

    /// Sum of the largest class less that of the one found, at its largest over the rows.
    fn lost(tree: &Tree, rows: &[i32]) -> i64 {
        let each = rows.chunks(CLASSES).zip(tree.choose(rows));
        let lost = each.map(|(row, class)| row.iter().fold(i32::MIN, |m, &s| m.max(s)) - row[usize::from(class)]);
        lost.max().unwrap_or(0).into()
    }

    proptest! {
        #[test]
        fn nothing_below_the_error_bound_is_chosen(tree in trees(), rows in rows(-250, 500)) {
            prop_assert_eq!(tree.problem(CLASSES), None);
            prop_assert!(lost(&tree, &rows) <= tree.error((-250, 500)), "{} of {}", lost(&tree, &rows), tree.error((-250, 500)));
        }

        #[test]
        fn the_exact_tree_is_arg_max(last: bool, low in -300i32..9, width in 0i32..40, classes in 1usize..9, seed: u32) {
            let high = low + width;
            let random = |k: u32| (k ^ seed).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7;
            let rows: Vec<i32> = (0..30 * classes as u32).map(|k| low + (random(k) % (width as u32 + 1)) as i32).collect();
            let tree = Tree::exact(classes, last, (low.into(), high.into()));
            let mut expected = vec![0u16; 30];
            arg_max(&rows, classes, 1, last, &mut expected);
            prop_assert_eq!(tree.choose(&rows), expected);
            prop_assert_eq!(tree.error((low.into(), high.into())), 0);
        }

        #[test]
        fn json_reads_as_it_was_written(left: u16, right: u16, bits: u32) {
            let comparator = Comparator { left, right, bits };
            let text = serde_json::to_string(&comparator).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(serde_json::from_str::<Comparator>(&text).ok(), Some(comparator));
        }
    }

    #[test]
    fn the_error_bound_is_reached() {
        let pair = |bits| Tree { offset: 0, comparators: vec![Comparator { left: 0, right: 1, bits }] };
        // All from a position up: 7 loses to 4. With a hole: 9 loses to 0, as no bit of either is compared.
        for (bits, sums, error) in [(0b1100, [4, 7], 3), (0b0110, [0, 9], 9), (0, [0, 15], 15)] {
            assert_eq!((pair(bits).choose(&sums), pair(bits).error((0, 15))), (vec![0], error), "{bits:b}");
        }
        // Losses that add up: 0b1001 loses to 0b0100, which loses to 0b0001.
        let comparators =
            vec![Comparator { left: 1, right: 0, bits: 0b0100 }, Comparator { left: 2, right: 1, bits: 0b0011 }];
        let tree = Tree { offset: 0, comparators };
        assert_eq!((tree.choose(&[9, 4, 1]), tree.error((0, 15))), (vec![2], 15));
        // The same bits in every comparator lose once, not once a level.
        let tree = Tree { comparators: Tree::exact(4, false, (0, 15)).comparators, offset: 0 };
        let comparators = tree.comparators.iter().map(|c| Comparator { bits: highest(c.bits, 2), ..*c });
        assert_eq!(Tree { comparators: comparators.collect(), ..tree }.error((0, 15)), 3);
        // A ReLU makes equals of what is below zero.
        assert_eq!((pair(0b1111).choose(&[-8, 0]), pair(0b1111).error((-8, 15))), (vec![0], 8));
    }

    #[test]
    fn bits_are_left_out_within_the_budget() {
        let mut state = 1u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let rows: Vec<i32> = (0..200 * CLASSES).map(|_| random(1000) as i32 - 400).collect();
        let exact = Tree::exact(CLASSES, false, (-400, 600));
        // One row of ten is labelled otherwise than the exact tree has it.
        let labels: Vec<usize> =
            exact.choose(&rows).iter().enumerate().map(|(k, &c)| usize::from(c) ^ usize::from(k % 10 == 0)).collect();
        let start = exact.right(&rows, &labels);
        assert_eq!(start, 180);
        let bits = |tree: &Tree| tree.comparators.iter().map(|c| c.bits.count_ones()).sum::<u32>();
        let mut before = bits(&exact);
        for budget in [0, 10, 50] {
            let tree = exact.shrink(&rows, &labels, start - budget);
            assert_eq!(tree, exact.shrink(&rows, &labels, start - budget));
            assert!(tree.right(&rows, &labels) >= start - budget);
            assert!(bits(&tree) < before, "{} bits after {before}", bits(&tree));
            before = bits(&tree);
            // None is compared that was not.
            assert!(tree.comparators.iter().all(|c| c.bits & !exact.comparators[0].bits == 0));
        }
        // Without a budget that anything meets, everything stays.
        assert_eq!(exact.shrink(&rows, &labels, 201), exact);
    }

    #[test]
    fn trees_that_are_none() {
        let tree = |slots: &[(u16, u16)]| {
            let comparators = slots.iter().map(|&(left, right)| Comparator { left, right, bits: 1 }).collect();
            Tree { offset: 0, comparators }.problem(3).unwrap_or_default()
        };
        assert_eq!(tree(&[(2, 0), (1, 2)]), "");
        assert!(tree(&[(0, 1)]).contains("1 comparators"));
        assert!(tree(&[(0, 1), (0, 3)]).contains("slot 3"));
        assert!(tree(&[(0, 1), (2, 1)]).contains("lost before"));
        assert!(tree(&[(0, 1), (2, 2)]).contains("itself"));
    }

    #[test]
    fn bits_of_sums() {
        assert_eq!([0, -1, -5, -8, 9].map(offset), [0, 1, 8, 8, 0]);
        assert_eq!([(0, 0), (0, 1), (8, 7), (8, 8)].map(|(offset, high)| live_bits(offset, high)), [0, 1, 15, 31]);
        assert_eq!([(31, 2), (31, 9), (0, 3), (u32::MAX, 1)].map(|(l, n)| highest(l, n)), [24, 31, 0, 1 << 31]);
        let read = |text: &str| serde_json::from_str::<Comparator>(text).map_err(|e| e.to_string());
        assert!(read(r#"{"left": 0, "right": 1, "bits": "f0"}"#).is_err_and(|e| e.contains("hexadecimal")));
        assert!(read(r#"{"left": 0, "right": 1, "bits": "0x1ffffffff"}"#).is_err());
    }
}
