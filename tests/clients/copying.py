"""rsync, tar, cp and mv over a tree with everything that a tree can have."""

import os
import subprocess
import sys

from place import TIER, check, need, run

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "lib"))
import manifest  # noqa: E402

ODD_NAMES = [b"with space.tif", b"-dash.tif", b"new\nline.tif", "Zellkörper μm.tif".encode(), b"\xff\xfe.tif", b"n" * 255]
OLD = 1_234_567_890_123_456_789


def _make_tree(folder):
    """Odd names, an empty file, a sparse one, hard links, symlinks, modes, attributes, times to the nanosecond."""
    top = os.fsencode(folder)
    os.makedirs(os.path.join(top, b"wells", b"A01"))
    for number, name in enumerate(ODD_NAMES):
        with open(os.path.join(top, b"wells", name), "wb") as file:
            file.write(os.urandom(1000 + 5000 * number))
    (folder / "empty").touch()
    with open(folder / "sparse", "wb") as file:
        file.truncate(4 << 20)
        file.seek(3 << 20)
        file.write(b"an island")
    (folder / "script.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "script.sh").chmod(0o750)
    (folder / "readonly").write_text("r")
    (folder / "readonly").chmod(0o400)
    os.link(folder / "script.sh", folder / "wells" / "A01" / "second-name.sh")
    os.symlink("wells/A01", folder / "to-a-directory")
    os.symlink("nowhere/at all", folder / "dangling")
    os.setxattr(folder / "script.sh", "user.plate", b"P1")
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, ns=(OLD, OLD + number), follow_symlinks=False)


def _same(first, second):
    found = list(manifest.differences(manifest.tree(str(first)), manifest.tree(str(second))))
    assert not found, "the trees differ: " + "; ".join(found[:5])


def _linked(folder):
    return os.path.samefile(folder / "script.sh", folder / "wells" / "A01" / "second-name.sh")


@check
def rsync_copies_a_tree_in_and_out_and_then_finds_nothing_left_to_do(place):
    rsync = need("rsync")
    source, back = place.outside("rsync-source"), place.outside("rsync-back")
    target = place.fresh("rsync") / "tree"
    _make_tree(source)
    run(rsync, "-aHAXS", f"{source}/", f"{target}/")
    place.expect(target / "empty")
    _same(source, target)
    place.disturb(target)
    # First by size and time, then by content: neither may find anything to copy.
    for how in ("-aHAXSn", "-aHAXSnc"):
        left = run(rsync, how, "--itemize-changes", f"{source}/", f"{target}/")
        assert left == "", f"rsync would copy again:\n{left}"
    run(rsync, "-aHAXS", f"{target}/", f"{back}/")
    _same(source, back)
    assert _linked(target) and _linked(back), "a hard link came apart"
    assert os.getxattr(back / "script.sh", "user.plate") == b"P1"


@check
def rsync_brings_a_changed_file_up_to_date_in_place(place):
    rsync = need("rsync")
    folder, source = place.fresh("rsync-inplace"), place.outside("rsync-inplace-source")
    (source / "plane").write_bytes(os.urandom(3 << 20))
    run(rsync, "-a", f"{source}/", f"{folder}/")
    place.disturb(folder)
    with open(source / "plane", "r+b") as file:
        file.seek(1 << 20)
        file.write(b"new" * 1000)
    # rsync goes by size and whole seconds; this change came within the second of the first copy.
    os.utime(source / "plane", ns=(OLD, OLD))
    run(rsync, "-a", "--inplace", "--no-whole-file", f"{source}/", f"{folder}/")
    place.disturb(folder)
    assert (folder / "plane").read_bytes() == (source / "plane").read_bytes()


@check
def tar_brings_back_every_byte_mode_and_time(place):
    tar = need("tar")
    folder = place.fresh("tar")
    (folder / "tree").mkdir()
    (folder / "out").mkdir()
    _make_tree(folder / "tree")
    wanted = manifest.tree(str(folder / "tree"))
    place.disturb(folder / "tree")
    run(tar, "--format=posix", "--sparse", "-cf", folder / "tree.tar", "-C", folder / "tree", ".")
    place.disturb(folder / "tree.tar")
    run(tar, "-xpf", folder / "tree.tar", "-C", folder / "out")
    place.disturb(folder / "out")
    run(tar, "--compare", "-f", folder / "tree.tar", "-C", folder / "out")
    found = list(manifest.differences(wanted, manifest.tree(str(folder / "out"))))
    assert not found, "; ".join(found[:5])
    assert _linked(folder / "out")


@check
def cp_a_makes_a_copy_that_is_the_same_in_everything(place):
    folder = place.fresh("cp")
    (folder / "tree").mkdir()
    _make_tree(folder / "tree")
    wanted = manifest.tree(str(folder / "tree"))
    place.disturb(folder / "tree")
    run("cp", "-a", folder / "tree", folder / "copy")
    place.expect(folder / "copy" / "empty")
    place.disturb(folder / "copy")
    found = list(manifest.differences(wanted, manifest.tree(str(folder / "copy"))))
    assert not found, "; ".join(found[:5])
    assert _linked(folder / "copy")
    assert os.getxattr(folder / "copy" / "script.sh", "user.plate") == b"P1"
    if place.tier:
        # Listed, they would be replayed by cp -a and move files about.
        listed = os.listxattr(folder / "tree" / "script.sh")
        assert TIER not in listed and listed == ["user.plate"], f"listed: {listed}"


@check
def mv_n_keeps_the_target_and_mv_takes_its_place(place):
    folder = place.fresh("mv")
    for name in ("old", "new"):
        (folder / name).write_text(name)
    place.disturb(folder / "old")
    # Some versions of mv say with their exit code that they skipped; the files are what counts.
    subprocess.run(["mv", "-n", folder / "new", folder / "old"], stderr=subprocess.DEVNULL, check=False)
    assert (folder / "old").read_text() == "old" and (folder / "new").read_text() == "new", "mv -n overwrote a file"
    run("mv", "-f", folder / "new", folder / "old")
    assert (folder / "old").read_text() == "new" and not (folder / "new").exists()
    (folder / "deep" / "er").mkdir(parents=True)
    run("mv", folder / "old", folder / "deep" / "er" / "file")
    place.disturb(folder / "deep")
    run("mv", folder / "deep", folder / "renamed")
    assert (folder / "renamed" / "er" / "file").read_text() == "new" and not (folder / "deep").exists()
