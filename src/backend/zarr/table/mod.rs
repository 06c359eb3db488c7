//! What the group `scopefs/` of a store holds: which files were sealed into it, and how each is put together again.
//!
//! A [`Record`] tells all of one file, its [`Recipe`] how its bytes follow from chunks and literal bytes; a [`Page`]
//! holds the records of one owner (a well) and is replaced as a whole.

mod chunks;
mod due;
mod edit;
mod index;
mod page;
mod rebuild;
mod recipe;
mod record;
mod segments;
mod store;
mod wire;

pub use chunks::{ArrayUse, ChunkList, ChunkRef};
pub use due::Due;
pub use edit::{Committed, Edit};
pub use index::Entry;
pub use page::{Damage, Page};
pub use rebuild::{ChunkReader, Rebuilt, StoredChunk, read_literal_chunks};
pub use recipe::{LiteralChunk, Literals, Mode, Recipe};
pub use record::{Attributes, MAX_RECIPE, RecipeBytes, Record, RecordId, Spill};
pub use segments::{Origin, Piece, Segments};
pub use store::{Flaw, Found, PageReader, PageWrite, Table, TableError};
pub use wire::FormatError;

/// Bytes of a chunk of `scopefs/tables` and of `scopefs/literals`.
pub const CHUNK: usize = 1 << 20;

/// Path of the array of literal bytes in a store.
pub const LITERALS: &str = "scopefs/literals";

/// Path of the array of pages in a store.
pub const TABLES: &str = "scopefs/tables";

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
