//! Errors for the person who meets them: where, what, why, and what to do; all that were found, not only the first.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, node, tensor, option or column concerned, as the user knows it.
    pub place: String,
    /// What is wrong, with the figures that show it.
    pub reason: String,
    /// What the user can do. Empty where `reason` says it all.
    pub help: String,
}

impl Problem {
    /// A problem at `place`, with no advice yet.
    pub fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into(), help: String::new() }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)?;
        if !self.help.is_empty() {
            write!(f, "\n    help: {}", self.help)?;
        }
        Ok(())
    }
}

/// Everything that keeps a model from being compiled. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// The problems, in the order of the model.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same problems, each said to be in `file`.
    #[must_use]
    pub fn in_file(mut self, file: &std::path::Path) -> Self {
        for problem in &mut self.problems {
            problem.place = format!("{}: {}", file.display(), problem.place);
        }
        self
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl From<String> for Error {
    /// What parsing an option's value gives, so that a build script can say `"f32".parse()?`.
    fn from(reason: String) -> Self {
        Problem::new("option", reason).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// As for people: it is what a build script's `fn main() -> Result<()>` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// The result of every phase.
pub type Result<T> = std::result::Result<T, Error>;

/// Collects problems while a phase goes on as far as it can.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one problem.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Notes the problems of a failed part; gives the result of a successful one.
    pub fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.extend(error.problems);
                None
            }
        }
    }

    /// `value`, if there were no problems.
    ///
    /// # Errors
    /// All problems noted.
    pub fn finish<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error { problems: self.0 }) }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
