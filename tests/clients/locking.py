"""Locks between processes, which belong to the kernel and must survive a move of the bytes beneath them."""

import fcntl
import signal
import time

from place import check, finish, worker

TIMES = 300


def _is_locked(path, kind):
    with open(path, "r+b") as file:
        try:
            {"flock": fcntl.flock, "fcntl": fcntl.lockf}[kind](file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_until_blocked(process):
    """Returns when the kernel lists the process among those that wait for a lock (`->` in /proc/locks)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with open("/proc/locks") as locks:
            if any(line.split()[1] == "->" and str(process.pid) in line.split() for line in locks):
                return
        time.sleep(0.01)
    raise AssertionError("the second process never came to wait for the lock in the kernel")


def _keeps_processes_apart(place, kind):
    folder = place.fresh(kind)
    path = folder / "counter"
    path.write_text("0")
    place.expect(path)

    holder = worker("hold_lock", path, kind)
    assert holder.stdout.readline() == "locked\n"
    assert _is_locked(path, kind), "a second process got the lock"
    place.disturb(path, still_open=True)
    assert _is_locked(path, kind), "the lock was lost in a move"

    # One who waits for a lock can be killed, and the next one gets it.
    waiter = worker("hold_lock", path, kind)
    _wait_until_blocked(waiter)
    waiter.send_signal(signal.SIGTERM)
    assert waiter.wait(timeout=10) == -signal.SIGTERM, "the waiting process could not be killed"
    waiter.communicate()
    waiter = worker("hold_lock", path, kind)
    finish(holder)
    assert waiter.stdout.readline() == "locked\n"
    finish(waiter)
    assert not _is_locked(path, kind), "the lock outlived its process"

    with place.moving(path):
        for counter in [worker("count_up", path, kind, TIMES) for _ in range(2)]:
            finish(counter)
    assert path.read_text() == str(2 * TIMES), f"updates were lost: {path.read_text()} of {2 * TIMES}"


@check
def flock_keeps_two_processes_apart(place):
    _keeps_processes_apart(place, "flock")


@check
def fcntl_locks_keep_two_processes_apart(place):
    _keeps_processes_apart(place, "fcntl")
