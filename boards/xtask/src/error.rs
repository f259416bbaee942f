//! Errors as one sentence for the user: what is wrong and, where it is known, what to do.

use std::fmt;

/// A message, and what something in xtask reacts to.
#[derive(Debug)]
pub struct Error {
    message: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    TooBig,
    StackOverflow,
    Other,
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Other }
    }

    /// An error that says which memory of a board is too small for a model.
    pub fn too_big(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::TooBig }
    }

    /// An error that says that a firmware had no room for its stack, which only a run shows.
    pub fn stack_overflow(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::StackOverflow }
    }

    /// Whether a model does not fit a board: its firmware was not linked.
    pub fn is_too_big(&self) -> bool {
        self.kind == Kind::TooBig
    }

    /// Whether a firmware ran out of stack.
    pub fn is_stack_overflow(&self) -> bool {
        self.kind == Kind::StackOverflow
    }

    /// The same error with more to say.
    pub fn and(self, more: impl fmt::Display) -> Self {
        Self { message: format!("{}{more}", self.message), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// `what`, then the error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(format!("{}: {e}", what())))
    }
}
