"""git: many small files, renames over, packs that are mapped, lock files made with O_EXCL."""

from place import check, need, run

QUIET = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def _git(folder, *words):
    return run(need("git"), "-C", folder, *words, **QUIET)


@check
def git_clone_and_fsck_find_nothing_wrong(place):
    folder = place.fresh("git")
    origin, clone = folder / "origin", folder / "clone"
    origin.mkdir()
    _git(origin, "init", "-q", "-b", "main")
    for commit in range(4):
        for number in range(60):
            path = origin / f"module_{number % 6}" / f"part_{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{commit} {number}\n" * (number + 1))
        _git(origin, "add", "-A")
        _git(origin, "commit", "-q", "-m", f"commit {commit}")
    place.expect(origin / "module_0" / "part_0.txt")
    place.disturb(origin / ".git" / "objects")
    _git(folder, "clone", "-q", "--no-local", origin, clone)
    place.disturb(clone)
    _git(clone, "fsck", "--full", "--strict")
    assert _git(clone, "status", "--porcelain") == "", "the clone has changed files"
    assert _git(clone, "rev-parse", "HEAD") == _git(origin, "rev-parse", "HEAD")


@check
def git_gc_and_a_clone_by_hard_links_keep_the_history(place):
    folder = place.fresh("git-gc")
    origin, clone = folder / "origin", folder / "clone"
    origin.mkdir()
    _git(origin, "init", "-q", "-b", "main")
    for number in range(40):
        (origin / f"part_{number}.txt").write_text(f"{number}\n" * 500)
    _git(origin, "add", "-A")
    _git(origin, "commit", "-q", "-m", "all parts")
    _git(folder, "clone", "-q", "--local", origin, clone)
    place.disturb(origin / ".git" / "objects")
    _git(origin, "gc", "-q", "--prune=now")
    for repository in (origin, clone):
        _git(repository, "fsck", "--full", "--strict")
        assert _git(repository, "status", "--porcelain") == ""
    place.disturb(origin / ".git" / "objects" / "pack")
    _git(origin, "fsck", "--full", "--strict")
