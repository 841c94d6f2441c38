//! What surrounds a freestanding program: how it starts, what the kernel told it, how it ends.

mod env;
mod start;

pub use env::{Args, Auxv, Env, Vars};
pub use start::{__panic, __start};
