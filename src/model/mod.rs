//! The words every room speaks: tiers, paths, attributes, byte sources, clocks.

mod attr;
mod clock;
mod line;
mod path;
mod source;
mod tier;

pub use attr::{Attr, FileKind, Identity, Timestamp};
pub use clock::{Clock, ManualClock, SystemClock};
pub use line::{path_to_word, word_to_path};
pub use path::{Name, RelPath};
pub use source::ByteSource;
pub use tier::{Durability, OnUnmount, State, Tier};
