//! Search among approximations for those of which no other is both cheaper and as accurate.

pub mod nsga2;
