//! Printing that does not mind a closed pipe: `cargo xtask boards | head` ends quietly.

/// `print!`, without a panic where nobody reads.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($text)*);
        let _ = std::io::stdout().flush();
    }};
}

/// `println!`, likewise.
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) use {out, outln};
