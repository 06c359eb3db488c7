"""Ways in which a mount ends, and what holds it back: whatever was written must be there afterwards."""

import os
import signal
import subprocess
import sys

from . import mount, system
from .campaign import need
from .content import content
from .refusals import wrong

RULE = '[memory]\nlimit = "256MiB"\n\n[[rule]]\nmatch = "**"\nbackend = "memory"\n'
FILES = {f"folder{number % 3}/file{number}": number for number in range(30)}
SIZE = 100_000


class Endings:
    def __init__(self, campaign):
        self.campaign = campaign

    def all(self):
        cases = [
            self.mount_with_pipes,
            self.scopefs_unmount,
            self.busy,
            self.bare_umount,
            self.bare_umount_without_helper,
            self.bare_fusermount,
            self.lazy_umount,
            self.sigterm,
            self.sigint,
            self.stale_mount,
            self.unlinked_but_open,
            self.unlinked_then_killed,
        ]
        for case in cases:
            self.campaign.attempt(case.__name__.replace("_", " "), case)

    # ---- help

    def dirty(self, name):
        """A mount with files that are in memory only."""
        here = mount.Mount(self.campaign, name, RULE).mount()
        for path, seed in FILES.items():
            full = here.mountpoint / path
            full.parent.mkdir(exist_ok=True)
            full.write_bytes(content(seed, SIZE))
        states = {os.getxattr(here.mountpoint / path, "user.scopefs.state") for path in FILES}
        if states != {b"dirty"}:
            self.campaign.check(f"{name}: the files are in memory only (the case is real)", False, f"states {states}")
        return here

    def all_there(self, sentence, here, top=None):
        lost = missing(top or here.workspace)
        self.campaign.check(f"{sentence}: nothing is lost", not lost, "\n".join(lost))

    def ended(self, sentence, here, end):
        """`end` takes the mount away; the daemon must flush and leave."""
        pidfd = os.pidfd_open(here.daemon())
        end()
        try:
            mount.wait_for(pidfd, 60)
        except TimeoutError:
            self.campaign.check(f"{sentence}: the daemon flushes and leaves", False, "it is still there after 60 s")
            return
        self.campaign.check(f"{sentence}: the mount is gone", not system.is_mounted(here.mountpoint))
        self.all_there(sentence, here)
        here.mount()
        self.all_there(f"{sentence}, mounted again", here, here.mountpoint)
        here.unmount()

    # ---- cases

    def mount_with_pipes(self):
        """$(scopefs mount …) must come back: the daemon may not keep the caller's output open."""
        here = mount.Mount(self.campaign, "pipes", RULE)
        command = [mount.binary(), "mount", here.workspace, here.mountpoint, "-c", here.config]
        try:
            subprocess.run(command, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
            came_back = system.is_mounted(here.mountpoint)
        except subprocess.TimeoutExpired:
            came_back = False
        self.campaign.check("`$(scopefs mount …)` comes back, and the mount is there", came_back)

    def scopefs_unmount(self):
        here = self.dirty("unmount")
        self.ended("scopefs unmount", here, here.unmount)
        done = here.scopefs("unmount", here.mountpoint)
        problems = wrong(done, [])
        self.campaign.check("unmounting what is not mounted: an error that says so", not problems, "\n".join(problems))

    def busy(self):
        here = self.dirty("busy")
        holder = hold(here.mountpoint / "folder0/file0")
        done = here.scopefs("unmount", here.mountpoint)
        problems = wrong(done, [], codes=(1,))
        if str(holder.pid) not in done.stderr:
            problems.append(f"the process {holder.pid} is not named: {done.stderr}")
        if not system.is_mounted(here.mountpoint):
            problems.append("the mount is gone")
        self.campaign.check(
            "a busy unmount: exit 1, the process named, the mount stays", not problems, "\n".join(problems)
        )
        self.all_there("a busy unmount, still mounted", here, here.mountpoint)
        release(holder)
        here.unmount()
        self.all_there("a busy unmount, tried again", here)

    def bare_umount(self):
        here = self.dirty("umount")
        self.ended("a bare umount", here, lambda: system.quietly("umount", here.mountpoint))

    def bare_umount_without_helper(self):
        here = self.dirty("umount-i")
        self.ended("umount -i", here, lambda: system.quietly("umount", "-i", here.mountpoint))

    def bare_fusermount(self):
        program = need("fusermount3")
        here = self.dirty("fusermount")
        self.ended("fusermount3 -u", here, lambda: system.quietly(program, "-u", here.mountpoint))

    def lazy_umount(self):
        """A program goes on writing into the detached mount; its bytes count too."""
        here = self.dirty("lazy")
        path = here.mountpoint / "folder0/late"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)

        def detach():
            os.write(handle, b"before, ")
            system.quietly("umount", "-l", here.mountpoint)
            os.write(handle, b"and after")
            os.close(handle)

        self.ended("umount -l", here, detach)
        late = here.workspace / "folder0/late"
        held = late.exists() and late.read_bytes() == b"before, and after"
        self.campaign.check("umount -l: what an open handle wrote afterwards is there", held)

    def sigterm(self):
        here = self.dirty("sigterm")
        self.ended("SIGTERM", here, lambda: os.kill(here.daemon(), signal.SIGTERM))

    def sigint(self):
        here = self.dirty("sigint")
        self.ended("SIGINT", here, lambda: os.kill(here.daemon(), signal.SIGINT))

    def stale_mount(self):
        here = self.dirty("stale")
        here.kill()
        self.campaign.check(
            "a killed daemon leaves a stale mount (the case is real)", system.is_mounted(here.mountpoint)
        )
        here.mount()
        self.all_there("the next mount cleans the stale one", here, here.mountpoint)
        here.unmount()
        self.all_there("and unmounts", here)

    def unlinked_but_open(self):
        here = self.dirty("unlinked")
        path = here.mountpoint / "folder1/file1"
        with open(path, "r+b", buffering=0) as file:
            os.unlink(path)
            file.seek(0)
            held = file.read() == content(1, SIZE)
            file.write(b"more")
            file.seek(SIZE)
            held = held and file.read() == b"more" and os.fstat(file.fileno()).st_nlink == 0
            self.campaign.check("an unlinked file that is open reads and grows", held)
            done = here.scopefs("unmount", here.mountpoint)
            stays = done.returncode == 1 and system.is_mounted(here.mountpoint)
            self.campaign.check("it holds the mount", stays, f"{done.returncode}: {done.stderr}")
        here.unmount()
        self.campaign.check("its name does not come back", not (here.workspace / "folder1/file1").exists())

    def unlinked_then_killed(self):
        here = self.dirty("unlinked-killed")
        path = here.mountpoint / "folder1/file1"
        with open(path, "r+b", buffering=0):
            os.unlink(path)
            here.kill()
        here.mount()
        self.campaign.check("killed while it was open: its name does not come back", not path.exists())
        here.unmount()
        strangers = {str(p.relative_to(here.workspace)) for p in here.workspace.rglob("*") if p.is_file()}
        strangers = {name for name in strangers if not name.startswith(".scopefs/")} - set(FILES)
        self.campaign.check("and no file of another name appears", not strangers, strangers)


def missing(top):
    """What of FILES is not as it was written."""
    lost = []
    for path, seed in FILES.items():
        try:
            if (top / path).read_bytes() != content(seed, SIZE):
                lost.append(f"{path}: other bytes")
        except OSError as error:
            lost.append(str(error))
    return lost


def hold(path):
    """A process that has a file open; returns when it has."""
    program = "import sys; file = open(sys.argv[1], 'rb'); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    return holder


def release(holder):
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


def controls(campaign):
    top = campaign.scratch / "endings"
    for path, seed in FILES.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content(seed, SIZE))
    campaign.check("a complete workspace is accepted", not missing(top))
    (top / "folder2/file2").write_bytes(content(3, SIZE))
    campaign.control("other bytes after an unmount", missing(top))
    os.unlink(top / "folder2/file2")
    campaign.control("a file missing after an unmount", missing(top))
