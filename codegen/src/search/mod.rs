//! Search for approximations that cost less and hardly err more.

pub mod nsga2;
