//! Recognises one handwritten digit.

use tinymlp::{Model, Scratch};

mod digits {
    include!(concat!(env!("OUT_DIR"), "/digits.rs"));
}

/// A seven of scikit-learn's digits: 8 x 8 pixels, 0 to 16.
const IMAGE: [f32; 64] = [
    0., 0., 2., 13., 16., 9., 0., 0., //
    0., 0., 12., 12., 7., 16., 3., 0., //
    0., 1., 14., 3., 0., 16., 4., 0., //
    0., 0., 0., 4., 10., 16., 6., 0., //
    0., 0., 0., 13., 16., 16., 9., 0., //
    0., 0., 0., 5., 13., 1., 0., 0., //
    0., 0., 0., 11., 9., 0., 0., 0., //
    0., 0., 1., 16., 4., 0., 0., 0., //
];

fn main() {
    let mut scratch = <digits::Digits as Model>::Scratch::NEW;
    let mut output = [0; 10];
    digits::infer(&digits::quantize(&IMAGE), &mut scratch, &mut output);
    let logits = digits::dequantize(&output);
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (digit, logit) = best.expect("ten of them");
    for row in IMAGE.chunks(8) {
        let line: String = row.iter().map(|&v| [' ', '.', 'o', '@'][(v / 5.) as usize]).collect();
        println!("{line}");
    }
    println!("a {digit} (logit {logit:.2})");
}
