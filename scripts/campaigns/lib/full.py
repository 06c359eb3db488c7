"""A workspace disk that runs full: the writer hears of it, and what was acknowledged stays."""

import errno
import os

from . import mount, system
from .content import content
from .refusals import wrong

RULE = '[memory]\nlimit = "256MiB"\n\n[[rule]]\nmatch = "**"\nbackend = "{tier}"\n'
DISK_MIB, FILE = 48, 1 << 20


def fill(top, prefix, most=4 * DISK_MIB):
    """Writes files of 1 MiB until one is refused; gives back the acknowledged numbers and the errno."""
    accepted = []
    for number in range(most):
        path = top / f"{prefix}{number}"
        try:
            with open(path, "xb", buffering=0) as file:
                view = memoryview(content(number, FILE))
                while view:
                    view = view[file.write(view) :]
        except OSError as error:
            return accepted, error.errno
        accepted.append(number)
    return accepted, None


def lost(top, prefix, accepted):
    found = []
    for number in accepted:
        try:
            if (top / f"{prefix}{number}").read_bytes() != content(number, FILE):
                found.append(f"{prefix}{number}: other bytes")
        except OSError as error:
            found.append(str(error))
    return found


class Full:
    def __init__(self, campaign):
        self.campaign = campaign

    def all(self):
        for tier in ("memory", "disk"):
            self.campaign.attempt(f"a full disk, {tier} rule", self.by_ourselves, tier)
        self.campaign.attempt("a disk that others fill", self.by_others)

    def place(self, name, tier):
        image = system.Ext4Image(self.campaign, f"{name}-disk", DISK_MIB)
        workspace = image.where / "workspace"
        workspace.mkdir()
        return image, mount.Mount(self.campaign, name, RULE.format(tier=tier), workspace=workspace).mount()

    def by_ourselves(self, tier):
        _, here = self.place(f"full-{tier}", tier)
        accepted, error = fill(here.mountpoint, "f")
        told = error == errno.ENOSPC
        self.campaign.check(
            f"full disk, {tier} rule: the writer gets ENOSPC after {len(accepted)} MiB", told, f"errno {error}"
        )
        found = lost(here.mountpoint, "f", accepted)
        self.campaign.check(
            f"full disk, {tier} rule: all that was acknowledged can be read", not found, "\n".join(found)
        )
        os.unlink(here.mountpoint / f"f{len(accepted)}")
        here.unmount()
        found = lost(here.workspace, "f", accepted)
        self.campaign.check(f"full disk, {tier} rule: unmounted, all of it is there", not found, "\n".join(found))

    def by_others(self):
        """Memory accepted files for which there was room; then somebody else takes the room."""
        image, here = self.place("others", "memory")
        accepted, _ = fill(here.mountpoint, "m", 15)
        with open(image.where / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(FILE))
            except OSError:
                pass
        # The memory holds them; new ones must be refused before long.
        _, error = fill(here.mountpoint, "late", 2 * DISK_MIB)
        self.campaign.check(
            "a disk that others filled: new bytes are refused with ENOSPC", error == errno.ENOSPC, error
        )
        found = lost(here.mountpoint, "m", accepted)
        self.campaign.check("what is in memory stays readable", not found, "\n".join(found))
        done = here.scopefs("unmount", here.mountpoint)
        problems = wrong(done, ["m"], codes=(1,)) + (
            [] if system.is_mounted(here.mountpoint) else ["the mount is gone"]
        )
        self.campaign.check("unmount fails, says so, and the mount stays", not problems, "\n".join(problems))
        os.unlink(image.where / "ballast")
        here.unmount()
        found = lost(here.workspace, "m", accepted)
        self.campaign.check("with room again, unmount brings all of it home", not found, "\n".join(found))


def controls(campaign):
    """The same on a bare ext4 and on one from which a file is taken."""
    image = system.Ext4Image(campaign, "bare", DISK_MIB)
    accepted, error = fill(image.where, "f")
    held = error == errno.ENOSPC and accepted and not lost(image.where, "f", accepted)
    campaign.check("a bare ext4 behaves as is asked of the mount", held)
    with open(image.where / "f3", "r+b") as file:
        file.write(b"?")
    campaign.control("an acknowledged file with other bytes", lost(image.where, "f", accepted))
