//! The importer and the float evaluator against independent implementations.

mod exporters;
mod mutations;
mod operators;
mod refusals;
mod structure;
mod suite;
