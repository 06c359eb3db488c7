use super::*;
use crate::cli::mount::options::MountOptions;

struct Ground {
    dir: tempfile::TempDir,
    at: Surroundings,
}

impl Ground {
    /// A workspace `w`, a mount point `m`, and a machine on which everything goes.
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        for name in ["w", "m"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = Surroundings {
            may_mount: true,
            dev_fuse: dir.path().join("fuse"),
            fuse_conf: dir.path().join("fuse.conf"),
            fusermount: Some("/usr/bin/fusermount3".into()),
            mounts: || Ok(Vec::new()),
        };
        fs::write(&at.dev_fuse, "").unwrap();
        Ground { dir, at }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn check(&self, workspace: &str, mountpoint: &str, words: &str) -> Result<Checked, Failure> {
        let request = MountRequest {
            workspace: self.path(workspace),
            mountpoint: self.path(mountpoint),
            config: None,
            memory_limit: None,
            options: MountOptions::parse([words]).unwrap(),
        };
        check(&request, &self.at, &mut |note| panic!("{note}"))
    }

    fn refused(&self, workspace: &str, mountpoint: &str, words: &str, code: u8, part: &str) {
        let failure = self.check(workspace, mountpoint, words).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

fn refused_beside(mounts: &[Mount], workspace: &str, mountpoint: &str, part: &str) {
    let failure = neighbours(Path::new(workspace), Path::new(mountpoint), mounts).unwrap_err();
    assert!(failure.message.contains(part), "{}", failure.message);
}

#[test]
fn a_directory_can_be_mounted_elsewhere_and_over_itself() {
    let ground = Ground::new();
    let real = fs::canonicalize(ground.dir.path()).unwrap();
    let checked = ground.check("w", "m", "").unwrap();
    assert_eq!(checked, Checked { workspace: real.join("w"), mountpoint: real.join("m") });
    assert!(ground.check("w", "w", "").is_ok());
}

#[test]
fn what_is_missing_or_no_directory_is_named_with_a_remedy() {
    let ground = Ground::new();
    fs::write(ground.path("file"), "").unwrap();
    ground.refused("nowhere", "m", "", 1, "the workspace");
    ground.refused("nowhere", "m", "", 1, "mkdir -p");
    ground.refused("w", "nowhere", "", 1, "make it with 'mkdir -p");
    ground.refused("file", "m", "", 1, "is not a directory");
    ground.refused("w", "file", "", 1, "is not a directory");
}

#[test]
fn one_in_the_other_is_wrong_usage_through_links_too() {
    let ground = Ground::new();
    fs::create_dir(ground.path("w/sub")).unwrap();
    std::os::unix::fs::symlink(ground.path("w/sub"), ground.path("link")).unwrap();
    ground.refused("w", "w/sub", "", 2, "is inside the workspace");
    ground.refused("w", "link", "", 2, "is inside the workspace");
    ground.refused("w/sub", "w", "", 2, "is inside the mount point");
}

#[test]
fn mounts_in_the_way_are_named() {
    let mounts = mountinfo::for_tests(&[
        ("/m", "fuse.scopefs", "/w"),
        ("/disk", "ext4", "/dev/x"),
        ("/in", "fuse.scopefs", "/in"),
    ]);
    refused_beside(&mounts, "/other", "/m", "scopefs serves /w there");
    refused_beside(&mounts, "/other", "/disk", "/dev/x (ext4) is mounted there");
    refused_beside(&mounts, "/m/sub", "/x", "a workspace in a workspace is refused");
    refused_beside(&mounts, "/in", "/in", "is a mount of scopefs already");
    refused_beside(&mounts, "/in", "/x", "'scopefs unmount /in' ends it");
    refused_beside(&mounts, "/w/sub", "/x", "lie one in the other");
    refused_beside(&mounts, "/", "/x", "lie one in the other");
    assert!(neighbours(Path::new("/disk"), Path::new("/disk"), &mounts).is_ok(), "over the root of a disk");
    assert!(neighbours(Path::new("/ww"), Path::new("/x"), &mounts).is_ok());
}

#[test]
fn without_fuse_it_says_how_to_get_it() {
    let mut ground = Ground::new();
    ground.at.may_mount = false;
    assert!(ground.check("w", "m", "").is_ok());
    ground.at.fusermount = None;
    ground.refused("w", "m", "", 1, "apt-get install fuse3");
    fs::remove_file(&ground.at.dev_fuse).unwrap();
    ground.refused("w", "m", "", 1, "modprobe fuse");
}

#[test]
fn what_only_root_may_is_refused_to_others() {
    let mut ground = Ground::new();
    ground.at.may_mount = false;
    ground.refused("w", "m", "suid", 1, "only root");
    ground.refused("w", "m", "dev", 1, "-o dev");
    fs::write(&ground.at.fuse_conf, "#user_allow_other\n").unwrap();
    ground.refused("w", "m", "allow_other", 1, "user_allow_other");
    fs::write(&ground.at.fuse_conf, "mount_max = 5\nuser_allow_other\n").unwrap();
    assert!(ground.check("w", "m", "allow_other").is_ok());
    ground.at.may_mount = true;
    assert!(ground.check("w", "m", "suid,dev").is_ok());
}

#[test]
fn a_workspace_that_cannot_be_written_is_for_o_ro() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere but on a read-only file system; /proc/self is not to be written even so.
        let failure = writable(Path::new("/sys/kernel/does-not-exist")).unwrap_err();
        assert!(failure.message.contains("-o ro"), "{}", failure.message);
        return;
    }
    let ground = Ground::new();
    fs::set_permissions(ground.path("w"), fs::Permissions::from_mode(0o555)).unwrap();
    ground.refused("w", "m", "", 1, "-o ro");
    assert!(ground.check("w", "m", "ro").is_ok());
}
