//! Golden vectors: a device compares what it computes with what the host simulation has computed.

use crate::Model;

/// The first element that differs from the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Difference {
    /// Which of the golden vectors.
    pub vector: usize,
    /// Which element of the output, all its tensors counted as one row.
    pub element: usize,
    /// What the host computes.
    pub expected: i32,
    /// What the device has computed.
    pub found: i32,
}

/// An output as one row of integers.
pub trait Elements: Copy {
    /// Their number.
    const COUNT: usize;
    /// The first that is not as expected; its index is counted from `offset`.
    fn first_difference(&self, expected: &Self, offset: usize) -> Option<Difference>;
    /// Changes every element.
    fn spoil(&mut self);
}

macro_rules! integers {
    ($($ty:ty)*) => {
        $(
            impl Elements for $ty {
                const COUNT: usize = 1;

                fn first_difference(&self, expected: &Self, offset: usize) -> Option<Difference> {
                    let (expected, found) = (i32::from(*expected), i32::from(*self));
                    (expected != found).then_some(Difference { vector: 0, element: offset, expected, found })
                }

                fn spoil(&mut self) {
                    *self = !*self;
                }
            }
        )*
    };
}

integers!(i8 i16 u16);

impl<T: Elements, const N: usize> Elements for [T; N] {
    const COUNT: usize = N * T::COUNT;

    fn first_difference(&self, expected: &Self, offset: usize) -> Option<Difference> {
        let mut offset = offset;
        for (found, expected) in self.iter().zip(expected) {
            if let Some(difference) = found.first_difference(expected, offset) {
                return Some(difference);
            }
            offset = offset.wrapping_add(T::COUNT);
        }
        None
    }

    fn spoil(&mut self) {
        self.iter_mut().for_each(T::spoil);
    }
}

/// Runs the network on golden inputs and compares every output, bit for bit.
///
/// # Errors
/// The first difference.
pub fn self_test<M>(inputs: &[M::Input], outputs: &[M::Output], scratch: &mut M::Scratch) -> Result<(), Difference>
where
    M: Model<Output: Elements>,
{
    for (vector, (input, expected)) in inputs.iter().zip(outputs).enumerate() {
        // Nothing passes by not being written.
        let mut output = *expected;
        output.spoil();
        M::infer(input, scratch, &mut output);
        if let Some(difference) = output.first_difference(expected, 0) {
            return Err(Difference { vector, ..difference });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arena, Info, Scratch};

    /// Doubles, but for the input 3 and where it is told to write nothing.
    struct Doubles;

    impl Model for Doubles {
        type Input = [i8; 2];
        type Output = [[i16; 2]; 2];
        type Scratch = Arena<0>;
        const INFO: Info = Info { name: "doubles", sha256: "", macs: 0, constant_bytes: 0, scratch_bytes: 0 };

        fn infer(input: &Self::Input, _: &mut Self::Scratch, output: &mut Self::Output) {
            match input {
                [0, _] => {}
                &[3, b] => *output = [[6, 7], [2 * i16::from(b), 0]],
                &[a, b] => *output = [[2 * i16::from(a), 0], [2 * i16::from(b), 0]],
            }
        }
    }

    fn run(inputs: &[[i8; 2]], outputs: &[[[i16; 2]; 2]]) -> Result<(), Difference> {
        let mut scratch = Arena::NEW;
        self_test::<Doubles>(inputs, outputs, &mut scratch)
    }

    #[test]
    fn equal_outputs_pass() {
        assert_eq!(run(&[[1, 2], [5, -4]], &[[[2, 0], [4, 0]], [[10, 0], [-8, 0]]]), Ok(()));
    }

    #[test]
    fn the_first_difference_is_named() {
        let found = run(&[[1, 2], [5, -4]], &[[[2, 0], [4, 0]], [[10, 0], [-9, 1]]]);
        assert_eq!(found, Err(Difference { vector: 1, element: 2, expected: -9, found: -8 }));
        let found = run(&[[3, 2]], &[[[6, 0], [4, 0]]]);
        assert_eq!(found, Err(Difference { vector: 0, element: 1, expected: 0, found: 7 }));
    }

    #[test]
    fn an_output_that_is_not_written_does_not_pass() {
        let found = run(&[[0, 0]], &[[[0, 0], [0, 0]]]);
        assert_eq!(found, Err(Difference { vector: 0, element: 0, expected: 0, found: -1 }));
    }
}
