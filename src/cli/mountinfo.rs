//! What is mounted where, from `/proc/self/mountinfo` (proc(5)); reading it touches no mount.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The file system type under which our mounts are listed.
pub const FSTYPE: &str = "fuse.scopefs";

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id, as in `/proc/PID/fdinfo`.
    pub id: u64,
    /// The id of the mount it is on.
    pub parent: u64,
    /// `major:minor` of the file system.
    pub device: (u32, u32),
    /// What of the file system is seen; `/` unless it is a bind mount.
    pub root: PathBuf,
    /// Where it is seen.
    pub point: PathBuf,
    /// The type, with subtype.
    pub fstype: String,
    /// What is mounted; for ours the workspace.
    pub source: PathBuf,
}

impl Mount {
    /// Whether it is one of ours.
    pub fn is_scopefs(&self) -> bool {
        self.fstype == FSTYPE
    }

    /// Whether some FUSE daemon serves it.
    pub fn is_fuse(&self) -> bool {
        self.fstype == "fuse" || self.fstype.starts_with("fuse.")
    }
}

/// All mounts that this process sees, in the order in which they were made.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// Lines that are not as they should be are left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let fstype = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = path(rest.next()?);
    Some(Mount { id, parent, device, root, point, fstype, source })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Blank, tab, newline and backslash are written as `\ooo`.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The mount in which `path` (absolute, no links in it) is seen: the longest prefix, of equal ones the topmost.
pub fn covering<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    mounts.iter().filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.as_os_str().len())
}

/// The topmost mount on exactly `point`.
pub fn at<'m>(mounts: &'m [Mount], point: &Path) -> Option<&'m Mount> {
    // By bytes: `Path` would take `/a/` for `/a`, but the kernel writes neither differently.
    mounts.iter().rev().find(|mount| mount.point.as_os_str().as_bytes() == point.as_os_str().as_bytes())
}

#[cfg(test)]
pub(super) fn for_tests(lines: &[(&str, &str, &str)]) -> Vec<Mount> {
    let root = "1 0 8:1 / / rw - ext4 /dev/sda1 rw".to_owned();
    let more = lines.iter().enumerate().map(|(index, (point, fstype, source))| {
        format!("{} 1 0:{} / {point} rw - {fstype} {source} rw", index + 2, index + 50)
    });
    parse(std::iter::once(root).chain(more).collect::<Vec<_>>().join("\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_and_without_optional_fields_is_read() {
        let text =
            b"36 35 98:0 /a /mnt\\0402/\\134x rw,noatime master:1 shared:2 - fuse.scopefs /data/my\\040plates rw\n\
                     37 35 0:5 / /proc rw - proc proc rw\nnonsense\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, Path::new("/mnt 2/\\x"));
        assert_eq!(mounts[0].source, Path::new("/data/my plates"));
        assert_eq!((mounts[0].id, mounts[0].device, mounts[0].is_scopefs()), (36, (98, 0), true));
        assert_eq!((mounts[1].fstype.as_str(), mounts[1].root.as_path()), ("proc", Path::new("/")));
    }

    #[test]
    fn the_longest_prefix_of_whole_components_wins_and_the_topmost_of_a_stack() {
        let mounts = for_tests(&[("/m", "ext4", "a"), ("/m/x", "tmpfs", "b"), ("/m", "fuse.scopefs", "/w")]);
        let covering = |path: &str| covering(&mounts, Path::new(path)).map(|m| m.fstype.as_str());
        assert_eq!(covering("/m/file"), Some("fuse.scopefs"));
        assert_eq!(covering("/m/x/file"), Some("tmpfs"));
        assert_eq!(covering("/mx"), Some("ext4"));
        assert_eq!(at(&mounts, Path::new("/m")).map(|m| m.source.as_path()), Some(Path::new("/w")));
        assert_eq!(at(&mounts, Path::new("/m/file")), None);
    }

    #[test]
    fn this_machines_own_mounts_can_be_read() {
        let mounts = read().unwrap();
        assert!(mounts.iter().any(|mount| mount.point == Path::new("/proc")), "{mounts:?}");
    }
}
