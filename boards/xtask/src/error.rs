//! Errors as one sentence for the user: what is wrong and, where it is known, what to do.

use std::fmt;

/// A message. The one kind that something in xtask reacts to is a model that a board has no room for.
#[derive(Debug)]
pub struct Error {
    message: String,
    too_big: bool,
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), too_big: false }
    }

    /// An error that says which memory of a board is too small for a model.
    pub fn too_big(message: impl Into<String>) -> Self {
        Self { message: message.into(), too_big: true }
    }

    /// Whether a model does not fit a board.
    pub fn is_too_big(&self) -> bool {
        self.too_big
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
