"""Mounts that must be refused: each with a message that says what to do, an exit code, and nothing touched."""

import os
import re
import subprocess

from . import mount, plate, system, tree
from .campaign import need_root

PLAIN_RULE = '[[rule]]\nmatch = "**"\nbackend = "memory"\n'
# What a message says that tells a person what to do next, whatever the words of the case.
REMEDY = re.compile(
    r"\b(use|try|choose|remove|rename|unmount|mount|install|set|check|write|free|wait|close|move|pass|run|add|correct"
    r"|replace|did you mean|instead|must|should|valid|registered|expected|known|start|see|makes?|mkdir)\b",
    re.IGNORECASE,
)

CONFIGS = [
    ("an unknown key", '[memory]\nlimt = "1GiB"\n', ["limt", "limit"]),
    ("an unknown section", '[memroy]\nlimit = "1GiB"\n', ["memroy", "memory"]),
    ("an unknown backend", '[[rule]]\nmatch = "**"\nbackend = "floppy"\n', ["floppy", "memory", "disk"]),
    ("a limit that is no size", '[memory]\nlimit = "lots"\n', ["limit", "lots"]),
    ("a low mark above the high one", "[memory]\nhigh = 0.5\nlow = 0.9\n", ["low", "high"]),
    ("a glob that cannot be read", '[[rule]]\nmatch = "a[**"\nbackend = "disk"\n', ["match"]),
    ("text that is no TOML", "[memory\n", ["1"]),
]


def wrong(done, words, codes=(1, 2)):
    """What is wrong with an answer that should be a refusal a person can act on."""
    said = done.stderr
    problems = [] if done.returncode in codes else [f"exit code {done.returncode}, not {' or '.join(map(str, codes))}"]
    if not said.strip():
        problems.append("nothing on standard error")
    elif "panicked" in said or "RUST_BACKTRACE" in said:
        problems.append("it panicked")
    elif not REMEDY.search(said):
        problems.append("no word that says what to do")
    problems += [f"'{word}' is not named" for word in words if word.lower() not in said.lower()]
    return problems + ([f"it said: {said.strip()[:600]}"] if problems else [])


class Refusals:
    """The cases; each on a workspace of its own with a small tree in it."""

    def __init__(self, campaign):
        self.campaign = campaign

    def all(self):
        cases = [self.configurations, self.mount_point_inside, self.workspace_inside, self.workspace_in_a_mount,
                 self.in_use, self.not_there, self.no_fuse3, self.read_only_bind, self.read_only_device, self.not_ours,
                 self.two_daemons, self.wrong_usage]  # fmt: skip
        for case in cases:
            self.campaign.attempt(case.__name__.replace("_", " "), case)

    # ---- help

    def place(self, name, config=PLAIN_RULE, **keywords):
        here = mount.Mount(self.campaign, name, config, **keywords)
        if not os.listdir(here.workspace):
            plate.make(here.workspace, 3, owners=False)
        return here

    def refused(self, sentence, here, words=(), codes=(1, 2), **keywords):
        """One refusal: message, code, no mount, and the workspace as it was (its top's times aside)."""
        before = _picture(here.workspace)
        done = here.try_mount(**keywords)
        problems = wrong(done, words, codes)
        target = keywords.get("mountpoint") or here.mountpoint
        scopefs = [m for m in system.mounts() if m.where == os.path.realpath(target) and "fuse" in m.kind]
        if scopefs:
            problems.append("it is mounted")
            system.detach(target)
        after = _picture(here.workspace)
        if b".scopefs" not in before:
            # A folder of our own may be made before the refusal; what was there before may not change.
            after = {name: said for name, said in after.items() if name.split(b"/")[0] != b".scopefs"}
        problems += list(tree.differences(before, after))
        self.campaign.check(
            f"{sentence}: refused, with what to do, and nothing touched", not problems, "\n".join(problems)
        )

    # ---- cases

    def configurations(self):
        for number, (sentence, text, words) in enumerate(CONFIGS):
            here = self.place(f"config{number}", text)
            self.refused(f"a configuration with {sentence}", here, words)
            done = here.scopefs("config", "check", here.config)
            problems = wrong(done, words)
            self.campaign.check(f"config check: {sentence}", not problems, "\n".join(problems))
        good = self.place("good")
        done = good.scopefs("config", "check", good.config)
        self.campaign.check("config check accepts a good configuration", done.returncode == 0, done.stderr)

    def mount_point_inside(self):
        here = self.place("inside")
        inner = here.workspace / "mount-point"
        inner.mkdir()
        self.refused("a mount point inside the workspace", here, ["inside"], mountpoint=inner)

    def workspace_inside(self):
        outer = self.campaign.scratch / "outer"
        (outer / "workspace").mkdir(parents=True)
        here = self.place("reverse", workspace=outer / "workspace")
        self.refused("a workspace inside the mount point", here, ["inside"], mountpoint=outer)

    def workspace_in_a_mount(self):
        here = self.place("nested").mount()
        (here.mountpoint / "sub").mkdir()
        (here.mountpoint / "sub/file").write_bytes(b"1")
        second = mount.Mount(self.campaign, "nested2", PLAIN_RULE, workspace=here.mountpoint / "sub")
        self.refused("a workspace inside a mounted workspace", second)
        here.unmount()

    def in_use(self):
        need_root()
        here = self.place("in-use")
        system.tmpfs(self.campaign, "in-use-mount")
        (here.mountpoint / "precious").write_bytes(b"kept")
        self.refused("a mount point in use", here)
        kept = (here.mountpoint / "precious").read_bytes() == b"kept"
        self.campaign.check("what was mounted there is still there", kept)

    def not_there(self):
        here = self.place("not-there")
        self.refused("a mount point that is not there", here, mountpoint=self.campaign.scratch / "nowhere")
        done = here.try_mount(workspace=self.campaign.scratch / "nothing")
        problems = wrong(done, ["nothing"])
        self.campaign.check("a workspace that is not there: refused", not problems, "\n".join(problems))

    def no_fuse3(self):
        need_root()
        system.open_fuse_device(self.campaign)
        uid, gid, _ = system.other_user()
        empty = self.campaign.scratch / "empty-path"
        empty.mkdir()
        here = mount.Mount(self.campaign, "no-fuse3", PLAIN_RULE, user=(uid, gid))
        os.chmod(here.workspace, 0o700)
        self.refused("no fuse3, as an ordinary user", here, ["fuse3"], env={"PATH": str(empty), "HOME": "/"})

    def read_only_bind(self):
        need_root()
        here = self.place("ro-bind")
        self.campaign.at_exit(system.detach, here.workspace)
        system.quietly("mount", "--bind", here.workspace, here.workspace)
        system.quietly("mount", "-o", "remount,bind,ro", here.workspace)
        self._read_only("a read-only bind mount", here)

    def read_only_device(self):
        image = system.Ext4Image(self.campaign, "ro-disk", 32)
        (image.where / "workspace").mkdir()
        here = self.place("ro-device", workspace=image.where / "workspace")
        system.quietly("mount", "-o", "remount,ro", image.where)
        self._read_only("a read-only device", here)

    def _read_only(self, what, here):
        self.refused(f"{what} without -o ro", here, ["ro"])
        before = _picture(here.workspace)
        here.options = "ro"
        here.mount()
        shown = _picture(here.mountpoint)
        problems = list(tree.differences(_without_blocks(before), _without_blocks(shown)))
        try:
            (here.mountpoint / "new").write_bytes(b"x")
            problems.append("a file could be written")
        except OSError as error:
            problems += [] if error.errno == 30 else [f"writing fails with {error}, not EROFS"]
        here.unmount()
        problems += list(tree.differences(before, _picture(here.workspace)))
        self.campaign.check(f"{what} with -o ro: all can be read, nothing written", not problems, "\n".join(problems))

    def not_ours(self):
        for number, (what, make) in enumerate(FOREIGN.items()):
            here = self.place(f"foreign{number}")
            make(here.workspace / ".scopefs")
            self.refused(f"a .scopefs that is {what}", here, [".scopefs"])

    def two_daemons(self):
        here = self.place("first").mount()
        (here.mountpoint / "mine").write_bytes(b"in memory")
        second = mount.Mount(self.campaign, "second", PLAIN_RULE, workspace=here.workspace)
        done = second.try_mount()
        problems = wrong(done, [])
        if system.is_mounted(second.mountpoint):
            problems.append("the second is mounted")
        if (here.mountpoint / "mine").read_bytes() != b"in memory":
            problems.append("the first lost a file")
        self.campaign.check(
            "a second daemon on one workspace: refused, the first goes on", not problems, "\n".join(problems)
        )
        here.unmount()
        self.campaign.check("and nothing of it is lost", (here.workspace / "mine").read_bytes() == b"in memory")

    def wrong_usage(self):
        for words in (
            ["mount"],
            ["frobnicate"],
            ["mount", "--no-such-option", "/tmp"],
            ["migrate", "x", "--to", "floppy"],
        ):
            done = subprocess.run([mount.binary(), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            held = done.returncode == 2 and done.stderr.strip()
            self.campaign.check(f"`scopefs {' '.join(words)}` ends with 2", held, f"{done.returncode}: {done.stderr}")


def _foreign_folder(path):
    path.mkdir()
    (path / "thesis.txt").write_bytes(b"somebody else's")


def _foreign_link(path):
    target = path.parent.parent / f"{path.parent.name}-elsewhere"
    target.mkdir()
    path.symlink_to(target)


FOREIGN = {
    "a file": lambda path: path.write_bytes(b"a note"),
    "a folder of somebody else's": _foreign_folder,
    "a link to elsewhere": _foreign_link,
}


def _picture(root):
    found = tree.snapshot(root)
    for name in ("mtime", "ctime"):
        found[b"."].pop(name)
    return found


def _without_blocks(found):
    return {name: {key: value for key, value in said.items() if key != "blocks"} for name, said in found.items()}


def controls(campaign):
    def answer(code, said):
        return subprocess.CompletedProcess([], code, "", said)

    good = answer(1, "scopefs: unknown key 'limt' in [memory]; did you mean 'limit'?")
    campaign.check("a good refusal is accepted", not wrong(good, ["limt", "limit"]), wrong(good, ["limt", "limit"]))
    campaign.control("a refusal with exit code 0", wrong(answer(0, good.stderr), []))
    campaign.control("a refusal without a word", wrong(answer(1, ""), []))
    campaign.control("a refusal that names another key", wrong(answer(1, "unknown key; use another"), ["limt"]))
    campaign.control("a refusal that says no more than EBUSY", wrong(answer(1, "Error: EBUSY (os error 16)"), []))
    campaign.control("a panic", wrong(answer(101, "thread 'main' panicked at src/main.rs; set RUST_BACKTRACE=1"), []))


def require_mounts():
    mount.binary()
    mount.need_fuse()
