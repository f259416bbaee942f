//! Operators against tract.
