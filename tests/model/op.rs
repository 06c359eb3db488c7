//! What can happen to a file system, drawn at random.

use proptest::prelude::*;
use scopefs::model::Tier;
use scopefs::vfs::RenameMode;

/// Paths that operations use: few, so that they meet each other. `e` holds what its rule keeps on disk, `d/s` is
/// scratch.
pub const PATHS: &[&str] = &["f", "g", "d/f", "d/g", "e/f", "d/s/f", "d/s/g", "e/s/f", "e/g", "d", "e", "d/s", "e/s"];
/// From here on, `PATHS` are mostly directories.
pub const DIRS: usize = 9;
/// Handles that can be open at once.
pub const SLOTS: usize = 5;
/// No write goes further than this, in bytes.
pub const FARTHEST: u64 = 160 << 10;

/// The rules under which the model runs.
pub const RULES: &str = r#"
[auto]
memory_below = "20KiB"
zarr_above = "600KiB"

[[rule]]
match = "e/**"
backend = "disk"

[[rule]]
match = "**/s/**"
backend = "memory"
durability = "scratch"

[[rule]]
match = "**"
backend = "auto"
"#;

/// The same, with everything else sealed when it rests.
pub const SEALING_RULES: &str = r#"
[zarr]
settle = "1s"

[[rule]]
match = "e/**"
backend = "disk"

[[rule]]
match = "**/s/**"
backend = "memory"
durability = "scratch"

[[rule]]
match = "**"
backend = "zarr"
"#;

pub type Path = usize;
pub type Slot = usize;

/// How much and where.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub at: u64,
    pub len: u64,
    pub seed: u8,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Op {
    Create {
        path: Path,
        slot: Slot,
        perm: u16,
        excl: bool,
        trunc: bool,
        write: bool,
        sync: bool,
    },
    Open {
        path: Path,
        slot: Slot,
        trunc: bool,
        write: bool,
        sync: bool,
    },
    Close(Slot),
    Write(Slot, Range),
    Append(Slot, Range),
    Read(Slot, Range),
    Resize(Slot, u64),
    Truncate(Path, u64),
    Fallocate {
        slot: Slot,
        mode: u8,
        range: Range,
    },
    Copy {
        from: Slot,
        to: Slot,
        at: u64,
        to_at: u64,
        len: u64,
    },
    /// A mapping of an open file, which outlives the handle. Only where the kernel serves it.
    Map(Slot),
    Unmap(usize),
    Store(usize, Range),
    Fsync(Slot),
    Rename(Path, Path, RenameMode),
    Link(Path, Path),
    Unlink(Path),
    Mkdir(Path, u16),
    Rmdir(Path),
    Symlink(Path),
    Mkfifo(Path),
    Chmod(Path, u16),
    Chown(Path, u32, u32),
    Utimes {
        path: Path,
        atime: Option<i64>,
        mtime: Option<i64>,
    },
    SetXattr {
        path: Path,
        name: u8,
        len: usize,
        flags: u8,
    },
    RemoveXattr(Path, u8),
    Migrate(Path, Tier),
    Promote(Path),
    Relieve(u64),
    WriteBehind,
    FlushAll,
    SyncBelow(Path),
    Pressed(bool),
    Advance(u64),
    Forget,
    Restart {
        clean: bool,
    },
}

impl Op {
    /// Whether programs must not see anything of it.
    pub fn is_move(&self) -> bool {
        use Op::*;
        matches!(
            self,
            Fsync(_)
                | Migrate(..)
                | Promote(_)
                | Relieve(_)
                | WriteBehind
                | FlushAll
                | SyncBelow(_)
                | Pressed(_)
                | Forget
        )
    }
}

fn file() -> impl Strategy<Value = Path> {
    prop_oneof![9 => 0..DIRS, 1 => 0..PATHS.len()]
}

fn dir() -> impl Strategy<Value = Path> {
    prop_oneof![9 => DIRS..PATHS.len(), 1 => 0..PATHS.len()]
}

fn any_path() -> impl Strategy<Value = Path> {
    0..PATHS.len()
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..200u64, 2 => 4000..9000u64, 1 => 0..FARTHEST]
}

fn range() -> impl Strategy<Value = Range> {
    let len = prop_oneof![4 => 1..300u64, 2 => 1..10_000u64, 1 => 10_000..80_000u64];
    (prop_oneof![1 => Just(0), 2 => size()], len, any::<u8>()).prop_map(|(at, len, seed)| {
        let at = at.min(FARTHEST - len);
        Range { at, len, seed }
    })
}

fn perm() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![0o644u16, 0o600, 0o755, 0o4755, 0o000, 0o666])
}

fn dir_perm() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![0o755u16, 0o700, 0o2775, 0o1777])
}

fn mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![
        4 => Just(RenameMode::Replace),
        1 => Just(RenameMode::NoReplace),
        2 => Just(RenameMode::Exchange),
    ]
}

fn opening() -> impl Strategy<Value = Op> {
    let flags = (0..SLOTS, prop::bool::weighted(0.3), prop::bool::weighted(0.6), prop::bool::weighted(0.1));
    prop_oneof![
        3 => (file(), flags.clone(), perm(), prop::bool::weighted(0.2)).prop_map(
            |(path, (slot, trunc, write, sync), perm, excl)| Op::Create { path, slot, perm, excl, trunc, write, sync }
        ),
        2 => (file(), flags).prop_map(|(path, (slot, trunc, write, sync))| Op::Open { path, slot, trunc, write, sync }),
        2 => (0..SLOTS).prop_map(Op::Close),
    ]
}

fn through_handles() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    prop_oneof![
        5 => (slot(), range()).prop_map(|(slot, range)| Op::Write(slot, range)),
        3 => (slot(), range()).prop_map(|(slot, range)| Op::Append(slot, range)),
        2 => (slot(), range()).prop_map(|(slot, range)| Op::Read(slot, range)),
        1 => (slot(), size()).prop_map(|(slot, size)| Op::Resize(slot, size)),
        2 => (slot(), 0..3u8, range()).prop_map(|(slot, mode, range)| Op::Fallocate { slot, mode, range }),
        1 => (slot(), slot(), size(), size(), 1..9000u64).prop_map(|(from, to, at, to_at, len)| Op::Copy {
            from,
            to,
            at,
            to_at: to_at.min(FARTHEST - 9000),
            len,
        }),
        2 => slot().prop_map(Op::Fsync),
        1 => slot().prop_map(Op::Map),
        1 => (0..4usize).prop_map(Op::Unmap),
        1 => (0..4usize, range()).prop_map(|(map, range)| Op::Store(map, range)),
    ]
}

fn names() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (file(), file(), mode()).prop_map(|(a, b, mode)| Op::Rename(a, b, mode)),
        3 => (dir(), dir(), mode()).prop_map(|(a, b, mode)| Op::Rename(a, b, mode)),
        3 => (file(), file()).prop_map(|(a, b)| Op::Link(a, b)),
        4 => file().prop_map(Op::Unlink),
        3 => (dir(), dir_perm()).prop_map(|(path, perm)| Op::Mkdir(path, perm)),
        1 => dir().prop_map(Op::Rmdir),
        1 => any_path().prop_map(Op::Symlink),
        1 => any_path().prop_map(Op::Mkfifo),
    ]
}

fn attributes() -> impl Strategy<Value = Op> {
    let second = || prop::option::of(0..1_000_000i64);
    prop_oneof![
        2 => (file(), perm()).prop_map(|(path, perm)| Op::Chmod(path, perm)),
        1 => (dir(), dir_perm()).prop_map(|(path, perm)| Op::Chmod(path, perm)),
        2 => (any_path(), prop::sample::select(vec![0u32, 1, 1000]), 0..3u32)
            .prop_map(|(path, uid, gid)| Op::Chown(path, uid, gid)),
        3 => (any_path(), second(), second()).prop_map(|(path, atime, mtime)| Op::Utimes { path, atime, mtime }),
        2 => (file(), size()).prop_map(|(path, size)| Op::Truncate(path, size)),
        2 => (file(), 0..3u8, prop_oneof![3 => 0..64usize, 1 => 500..1100usize], 0..3u8)
            .prop_map(|(path, name, len, flags)| Op::SetXattr { path, name, len, flags }),
        1 => (any_path(), 0..3u8).prop_map(|(path, name)| Op::RemoveXattr(path, name)),
    ]
}

fn moves() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (file(), prop_oneof![Just(Tier::Memory), Just(Tier::Disk), Just(Tier::Zarr)]).prop_map(|(path, tier)| Op::Migrate(path, tier)),
        3 => file().prop_map(Op::Promote),
        2 => prop_oneof![Just(4096u64), Just(u64::MAX)].prop_map(Op::Relieve),
        2 => Just(Op::WriteBehind),
        1 => Just(Op::FlushAll),
        1 => any_path().prop_map(Op::SyncBelow),
        1 => any::<bool>().prop_map(Op::Pressed),
        1 => (1..120u64).prop_map(Op::Advance),
        2 => Just(Op::Forget),
    ]
}

/// One step, of any kind.
pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => opening(),
        10 => through_handles(),
        8 => names(),
        4 => attributes(),
        6 => moves(),
        1 => prop::bool::weighted(0.4).prop_map(|clean| Op::Restart { clean }),
    ]
}
