//! The importer and the float evaluator against independent implementations.

mod exporters;
mod operators;
mod suite;
