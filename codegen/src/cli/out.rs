//! Printing that does not mind a closed pipe: `tinymlp inspect model.onnx | head` ends quietly.

/// `println!`, without a panic where nobody reads.
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) use outln;
