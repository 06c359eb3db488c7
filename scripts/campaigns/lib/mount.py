"""A scratch workspace and the scopefs on it; and its stand-in, a native directory, for `--plain`."""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile

from . import system
from .campaign import REPOSITORY, Skip

TIER = "user.scopefs.tier"


def binary():
    """The scopefs under test: SCOPEFS names it, else the release build, which is made when it is not there."""
    named = os.environ.get("SCOPEFS")
    if not named:
        common = REPOSITORY / "scripts/lib/common.sh"
        script = f'source "{common}"; scopefs_binary >&2; printf %s "$SCOPEFS"'
        named = subprocess.run(["bash", "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout
        os.environ["SCOPEFS"] = named
    if not os.access(named, os.X_OK):
        raise Skip(f"{named} is not there: build it with `cargo build --release`")
    return named


def need_fuse():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Skip("no file system can be mounted here: /dev/fuse is not there or not readable and writable")


class MountFailed(Exception):
    """`scopefs mount` ended with another code than 0."""


class Mount:
    """One workspace under `campaign.scratch`, mounted on a directory beside it."""

    plain = False

    def __init__(self, campaign, name, config=None, options="", workspace=None, arguments=(), user=None, over=False):
        self.campaign, self.options, self.arguments = campaign, options, list(arguments)
        # (uid, gid) of whoever mounts.
        self.user = user
        self.workspace = pathlib.Path(workspace or campaign.scratch / f"{name}-workspace")
        self.over = over
        # `over`: mounted over the workspace itself.
        self.mountpoint = self.workspace if over else campaign.scratch / f"{name}-mount"
        # None: mounted with no configuration at all.
        self.config = campaign.scratch / f"{name}.toml" if config is not None else None
        for folder in (self.workspace, self.mountpoint):
            if not folder.exists():
                folder.mkdir()
                if user:
                    os.chown(folder, *user)
        if self.config:
            self.config.write_text(config)
        self.memory = None
        if not self.plain:
            binary()
            need_fuse()
        campaign.at_exit(self.clear)

    # ---- the program

    def scopefs(self, *words, timeout=600, **keywords):
        """Runs the program; the result has `returncode`, `stdout`, `stderr`."""
        command = [binary(), *map(os.fspath, words)]
        if self.user:
            keywords.update(user=self.user[0], group=self.user[1], extra_groups=[], cwd="/")
        # Into files: a daemon that kept a pipe of ours open would hold us up here.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=timeout, **keywords
            ).returncode
            return subprocess.CompletedProcess(command, code, _said(out), _said(err))

    def try_mount(self, *more, mountpoint=None, workspace=None, **keywords):
        words = ["mount", workspace or self.workspace]
        if mountpoint or not self.over:
            words.append(mountpoint or self.mountpoint)
        if self.config:
            words += ["-c", self.config]
        if self.options:
            words += ["-o", self.options]
        return self.scopefs(*words, *self.arguments, *more, **keywords)

    def mount(self):
        before = {m.where for m in system.mounts()}
        done = self.try_mount()
        if done.returncode:
            raise MountFailed(f"scopefs mount ended with {done.returncode}: {done.stderr}{done.stdout}")
        if not system.is_mounted(self.mountpoint):
            raise MountFailed("scopefs mount returned 0, but nothing is mounted")
        self.memory = self._memory(before)
        return self

    def unmount(self):
        done = self.scopefs("unmount", self.mountpoint)
        if done.returncode:
            raise OSError(f"scopefs unmount ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def status(self):
        done = self.scopefs("status", self.mountpoint, "--json")
        if done.returncode:
            raise OSError(f"scopefs status ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def daemon(self):
        """The process that serves this mount: the one whose descriptor of /dev/fuse is this mount's connection."""
        # From the mount table: asking a mount whose daemon is gone would fail.
        connection = {
            int(m.device.split(":")[1]) for m in system.mounts() if m.where == os.path.realpath(self.mountpoint)
        }
        holders = [pid for pid in _processes() if "/dev/fuse" in _links(pid).values()]
        exact = [pid for pid in holders if connection & _connections(pid)]
        if exact:
            return exact[0]
        # A kernel that does not tell the connection in fdinfo: whoever has a file of this workspace open.
        candidates = [pid for pid in holders if runs(pid, binary())]
        inside = os.path.realpath(self.workspace)
        mine = [
            pid for pid in candidates if any((link + "/").startswith(inside + "/") for link in _links(pid).values())
        ]
        if len(mine) != 1:
            raise OSError(f"cannot tell which of the processes {candidates} serves {self.mountpoint}")
        return mine[0]

    def kill(self, number=signal.SIGKILL):
        """Ends the daemon and waits until it is gone."""
        pid = self.daemon()
        gone = os.pidfd_open(pid)
        os.kill(pid, number)
        wait_for(gone, 120)

    def log(self):
        """What the daemon has said so far, and its predecessors after which nobody cleaned up."""
        try:
            return (pathlib.Path(self.memory).parent / "daemon.log").read_text(errors="replace") if self.memory else ""
        except FileNotFoundError:
            return ""

    def has_memory(self):
        return bool(self.memory and system.is_mounted(self.memory))

    def _memory(self, before):
        """The tmpfs in which this mount's files are, when it can be seen from here (root's can)."""
        new = [m.where for m in system.mounts() if m.kind == "tmpfs" and m.where not in before]
        known = [m.where for m in system.mounts() if m.kind == "tmpfs" and m.where.startswith("/run/scopefs/")]
        try:
            links = " ".join(_links(self.daemon()).values())
        except OSError:
            links = ""
        held = [where for where in known if where in links]
        for choice in (held, [w for w in new if w in known], [self.memory] if self.memory in known else []):
            if len(choice) == 1:
                return choice[0]
        return None

    def clear(self):
        """Whatever happened: no mount, no daemon, no tmpfs of ours stays."""
        if system.is_mounted(self.mountpoint):
            try:
                pid = self.daemon()
            except OSError:
                pid = None
            system.detach(self.mountpoint)
            if pid:
                try:
                    gone = os.pidfd_open(pid)
                    wait_for(gone, 60)
                except OSError:
                    pass  # it has ended already
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
        self.drop_memory()

    def drop_memory(self):
        """The memory tier is gone, as after a power cut."""
        if self.has_memory():
            system.detach(self.memory)
            shutil.rmtree(os.path.dirname(self.memory), ignore_errors=True)


class Plain(Mount):
    """The workspace itself is the tree: every verb is there and does nothing."""

    plain = True

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.mountpoint = self.workspace

    def mount(self):
        return self

    def unmount(self):
        return None

    def kill(self, number=signal.SIGKILL):
        return None

    def status(self):
        return {}

    def daemon(self):
        return os.getpid()

    def log(self):
        return ""

    def has_memory(self):
        return False

    def clear(self):
        return None


def place(campaign, *arguments, **keywords):
    """A Mount, or with --plain its stand-in; neither is mounted yet."""
    return (Plain if campaign.plain else Mount)(campaign, *arguments, **keywords)


def move(path, tier):
    """Asks for a file's bytes to be in a tier; an OSError says why they are not (EBUSY: in use)."""
    os.setxattr(path, TIER, tier.encode(), follow_symlinks=False)


def tier_of(path):
    return os.getxattr(path, TIER, follow_symlinks=False).decode()


def _said(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def wait_for(pidfd, seconds):
    """Waits for the end of a process that need not be our child; closes the descriptor."""
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(seconds * 1000):
            raise TimeoutError(f"a process did not end within {seconds} s")
    finally:
        os.close(pidfd)


def _processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def runs(pid, program):
    """Whether a process is one of this program; a process that has ended already is none."""
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


def _links(pid):
    links = {}
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return links
    for name in names:
        try:
            links[name] = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
    return links


def _connections(pid):
    """The FUSE connections whose device the process holds (told by Linux since 6.8)."""
    found = set()
    for name, link in _links(pid).items():
        if link == "/dev/fuse":
            try:
                lines = pathlib.Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines()
            except OSError:
                continue
            found |= {int(line.split()[1]) for line in lines if line.startswith("fuse_connection:")}
    return found
