//! What mount(8) and umount(8) say when they call us under the name of their helper.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::cli::args::{Command, MountArgs, UnmountArgs};
use crate::cli::failure::Failure;

/// The command, if `called` is the name of a helper; `mount -t fuse.scopefs` and `umount` (which goes by the type in
/// mountinfo) use the longer names.
pub fn command(called: &OsStr, args: &[OsString]) -> Option<Result<Command, Failure>> {
    match Path::new(called).file_name()?.to_str()? {
        "mount.scopefs" | "mount.fuse.scopefs" => Some(mount(args)),
        "umount.scopefs" | "umount.fuse.scopefs" => Some(unmount(args)),
        _ => None,
    }
}

/// Letters given together or one by one, values of `-o`, `-t` and `-N`, and the other words.
struct Words {
    letters: String,
    options: Vec<String>,
    others: Vec<PathBuf>,
}

fn words(args: &[OsString], usage: &str) -> Result<Words, Failure> {
    let mut words = Words { letters: String::new(), options: Vec::new(), others: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            words.others.push(arg.into());
            continue;
        };
        for (at, letter) in letters.char_indices() {
            if !matches!(letter, 'o' | 't' | 'N') {
                words.letters.push(letter);
                continue;
            }
            // The value is the rest of this word, or else the next one.
            let rest = &letters[at + letter.len_utf8()..];
            let mut next = || args.next().map(|word| word.to_string_lossy().into_owned());
            let value = if rest.is_empty() { next() } else { Some(rest.to_owned()) };
            let value = value.ok_or_else(|| Failure::usage(format!("-{letter} needs a value; {usage}")))?;
            if letter == 'o' {
                words.options.push(value);
            }
            break;
        }
    }
    Ok(words)
}

fn mount(args: &[OsString]) -> Result<Command, Failure> {
    const USAGE: &str = "use: mount.scopefs WORKSPACE MOUNTPOINT [-sfnvrw] [-o OPT[,OPT…]]";
    let mut words = words(args, USAGE)?;
    if let Some(letter) = words.letters.chars().find(|letter| !"sfnvrw".contains(*letter)) {
        return Err(Failure::usage(format!("there is no option -{letter}; {USAGE}")));
    }
    if words.letters.contains('r') {
        words.options.push("ro".to_owned());
    }
    let Ok([workspace, mountpoint]) = <[PathBuf; 2]>::try_from(words.others) else {
        return Err(Failure::usage(USAGE));
    };
    Ok(Command::Mount(MountArgs {
        workspace,
        mountpoint: Some(mountpoint),
        config: None,
        options: words.options,
        memory_limit: None,
        foreground: false,
        daemon: false,
        fake: words.letters.contains('f'),
    }))
}

fn unmount(args: &[OsString]) -> Result<Command, Failure> {
    const USAGE: &str = "use: umount.scopefs MOUNTPOINT [-flnrv]";
    let words = words(args, USAGE)?;
    let Ok([mountpoint]) = <[PathBuf; 1]>::try_from(words.others) else {
        return Err(Failure::usage(USAGE));
    };
    Ok(Command::Unmount(UnmountArgs { mountpoint, plain: None, lazy: words.letters.contains('l') }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Result<Command, Failure>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        command(&words[0], &words[1..])
    }

    #[test]
    fn mount_8_is_understood() {
        let line = "/sbin/mount.scopefs /w /m -sn -v -o rw,config=/c.toml,memory_limit=1GiB -t fuse.scopefs";
        let Some(Ok(Command::Mount(args))) = read(line) else { panic!("{line}") };
        assert_eq!((args.workspace.as_path(), args.mountpoint.as_deref()), (Path::new("/w"), Some(Path::new("/m"))));
        assert_eq!(args.options, ["rw,config=/c.toml,memory_limit=1GiB"]);
        let Some(Ok(Command::Mount(args))) = read("mount.scopefs /w /m -rf -oatime") else { panic!("-r") };
        assert_eq!((args.options, args.fake), (vec!["atime".to_owned(), "ro".to_owned()], true));
    }

    #[test]
    fn umount_8_is_understood() {
        let Some(Ok(Command::Unmount(args))) = read("/sbin/umount.fuse.scopefs /m -l -t fuse.scopefs") else {
            panic!("umount")
        };
        assert_eq!((args.mountpoint.as_path(), args.lazy), (Path::new("/m"), true));
    }

    #[test]
    fn wrong_usage_is_told_how_it_goes() {
        for line in ["mount.scopefs /w", "mount.scopefs /w /m -q", "mount.scopefs /w /m -o", "umount.scopefs"] {
            let Some(Err(failure)) = read(line) else { panic!("{line}") };
            assert_eq!(failure.code, 2);
            assert!(failure.message.contains("use: "), "{}", failure.message);
        }
        assert!(read("scopefs mount").is_none());
    }
}
