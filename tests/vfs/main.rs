//! The file system without a mount: one behaviour a test.

mod auto;
mod find;
mod jobs;
mod labels;
mod leaving;
mod moves;
mod names;
mod promotion;
mod restart;
mod sealing;
mod sealing_crash;
mod sealing_kill;
mod sealing_parts;
mod sealing_written;
#[path = "../support/mod.rs"]
mod support;

/// A world, or the end of the test where there cannot be one (which was said aloud).
macro_rules! world {
    ($($field:ident : $value:expr),* $(,)?) => {
        match crate::support::World::new(crate::support::Setup { $($field: $value,)* ..Default::default() }) {
            Some(world) => world,
            None => return,
        }
    };
}
pub(crate) use world;
