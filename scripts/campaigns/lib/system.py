"""What the machine lends to a campaign: mounts, loop devices with ext4, memory cgroups, other users. All of it is given
back at the campaign's end."""

import collections
import fcntl
import os
import pathlib
import struct
import subprocess
import time

from .campaign import Skip, need, need_root

# _IOR('X', 125, __u32) of fs/ext4/ext4.h; 2 = EXT4_GOING_FLAGS_NOLOGFLUSH: nothing that is not yet durable gets there.
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

MountLine = collections.namedtuple("MountLine", "device where kind source options")


def quietly(*command, **keywords):
    """Runs a program; a failure raises with all that it said."""
    done = subprocess.run([os.fspath(w) for w in command], capture_output=True, text=True, errors="replace", **keywords)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}".strip())
    return done.stdout


def mounts():
    """The mounts of this namespace, in the order in which they were made."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_bytes().splitlines():
        first, _, last = line.partition(b" - ")
        fields, (kind, source, options) = first.split(), last.split(None, 2)
        where = (
            os.fsdecode(fields[4].decode("utf-8", "surrogateescape").encode("latin-1", "surrogateescape"))
            if b"\\" not in fields[4]
            else os.fsdecode(_unescaped(fields[4]))
        )
        found.append(MountLine(fields[2].decode(), where, kind.decode(), os.fsdecode(source), options.decode()))
    return found


def _unescaped(field):
    return field.decode("unicode_escape").encode("latin-1")


def is_mounted(where):
    """Without touching the file system itself, which may be dead."""
    return os.path.realpath(os.path.dirname(where)) + "/" + os.path.basename(where) in {m.where for m in mounts()}


def detach(where):
    """Takes every mount on a directory away, at once if that can be, lazily if not."""
    plain, lazy = (
        (["umount"], ["umount", "-l"]) if os.geteuid() == 0 else (["fusermount3", "-u"], ["fusermount3", "-uz"])
    )
    for _ in range(4):
        if not is_mounted(where):
            return
        if subprocess.run([*plain, where], capture_output=True).returncode:
            subprocess.run([*lazy, where], capture_output=True)


def tmpfs(campaign, name, size="1g", where=None):
    """A native tmpfs of our own; gives back its directory."""
    need_root()
    where = pathlib.Path(where or campaign.scratch / name)
    where.mkdir(parents=True, exist_ok=True)
    campaign.at_exit(detach, where)
    quietly("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "scopefs-campaign", where)
    return where


class Ext4Image:
    """An ext4 of our own on a loop device."""

    def __init__(self, campaign, name, mebibytes, options=()):
        need_root()
        self.image, self.where = campaign.scratch / f"{name}.img", campaign.scratch / name
        self.where.mkdir(exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(mebibytes << 20)
        quietly(need("mkfs.ext4"), "-q", "-F", "-m", "0", *options, self.image)
        campaign.at_exit(self.detach)
        self.mount()

    def mount(self, options="loop"):
        try:
            quietly("mount", "-t", "ext4", "-o", options, self.image, self.where)
        except OSError as error:
            if "loop" in str(error) and "failed to setup" in str(error):
                raise Skip(f"no loop device can be had here ({error})") from error
            raise

    def detach(self):
        detach(self.where)

    def unmount(self):
        """A clean unmount; the loop device goes with it."""
        quietly("umount", self.where)

    def shut_down(self):
        """As if the power had gone: from here on nothing reaches the disk, the journal's tail neither."""
        self._shut_down(NO_LOG_FLUSH)

    def _shut_down(self, flags):
        handle = os.open(self.where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(handle)


class Cgroup:
    """A cgroup v1 of this campaign; who enters meets what it sets, and so does what he starts."""

    CONTROLLER: str
    KNOB: str
    """What it sets, a file that only a kernel with this controller has."""

    def __init__(self, campaign, name, value):
        need_root()
        self.root = pathlib.Path("/sys/fs/cgroup") / self.CONTROLLER
        if not (self.root / self.KNOB).exists():
            raise Skip(f"there is no cgroup v1 controller with {self.KNOB} here")
        self.folder = self.root / f"scopefs-{name}-{os.getpid()}"
        self.folder.mkdir()
        campaign.at_exit(self.remove)
        (self.folder / self.KNOB).write_text(str(value))

    def enter(self):
        """Moves this process in; what it starts follows."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def leave(self):
        (self.root / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except OSError:
                for pid in (self.folder / "cgroup.procs").read_text().split():
                    (self.root / "cgroup.procs").write_text(pid)
                self.let_go()
                time.sleep(0.1)

    def let_go(self):
        """Gives back what would keep the kernel from removing it."""


class MemoryCgroup(Cgroup):
    """A limit of memory, in bytes."""

    CONTROLLER, KNOB = "memory", "memory.limit_in_bytes"

    def peak(self):
        return int((self.folder / "memory.max_usage_in_bytes").read_text())

    def kills(self):
        words = (self.folder / "memory.oom_control").read_text().split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def let_go(self):
        # Pages of a process that has just ended are given back a moment later.
        (self.folder / "memory.force_empty").write_text("0")


class SlowDisk(Cgroup):
    """A device that gives so many bytes a second."""

    CONTROLLER, KNOB = "blkio", "blkio.throttle.read_bps_device"

    def __init__(self, campaign, where, bytes_per_second):
        self.device = next(m for m in mounts() if m.where == str(where)).device
        super().__init__(campaign, "slow", f"{self.device} {bytes_per_second}")

    def read_bytes(self):
        """Bytes that were read from the device so far, by anybody."""
        return int((pathlib.Path("/sys/dev/block") / self.device / "stat").read_text().split()[2]) * 512


def open_fuse_device(campaign):
    """/dev/fuse as a distribution has it, open to everybody, for as long as the campaign runs."""
    device = "/dev/fuse"
    mode = os.stat(device).st_mode & 0o777
    if mode & 0o006 == 0o006 or os.access(device, os.R_OK | os.W_OK) and os.geteuid():
        return
    if os.geteuid():
        raise Skip(f"{device} is not readable and writable by this user (as root: chmod 666 {device})")
    campaign.note(f"({device} has mode {mode:o} here: 666 until the end of this campaign)")
    campaign.at_exit(os.chmod, device, mode)
    os.chmod(device, 0o666)


def other_user():
    """(uid, gid, name) of a user who owns nothing and may do nothing."""
    import pwd

    for name in ("nobody", "games", "daemon"):
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid, name
        except KeyError:
            continue
    raise Skip("there is no user nobody here")


def wait_until(condition, seconds, step=0.02):
    """Polls something that another process does; gives back its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)
