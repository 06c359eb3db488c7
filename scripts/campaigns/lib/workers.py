"""Processes that act in a mount until its daemon dies, and the judgement of what they leave; moves of files meanwhile."""

import errno
import multiprocessing
import os
import random
import time

from . import load, model, mount

# What a move may answer: the file is in use, or the memory is full.
NOT_NOW = {errno.EBUSY, errno.ENOSPC, errno.EAGAIN}


class Worker:
    """A subtree, what must be in it, and the process that acts there."""

    def __init__(self, campaign, name, weights, chooser=load.Chooser):
        self.name, self.weights, self.chooser = name, weights, chooser
        self.tree = model.Tree()
        self.journal = campaign.scratch / f"{name}.journal"
        self.process = None

    def start(self, top, seed, stop, doomed):
        where = os.path.join(top, self.name)
        arguments = (where, self.tree, seed, self.weights, self.journal, stop, doomed, self.chooser)
        self.journal.write_bytes(b"")
        self.process = multiprocessing.Process(target=load.work, args=arguments)
        self.process.start()

    def judge(self, top):
        """(operations acknowledged, what is wrong with the subtree); afterwards the tree is what stands there."""
        begun, done, findings = load.replay(self.journal, self.tree)
        problems = [f"{self.name}: failed while the daemon lived: {finding}" for finding in findings]
        root = os.path.join(top, self.name)
        verdicts = []
        for tree in model.possible(self.tree, begun, root) if begun else [self.tree]:
            found = list(model.differences(tree, root))
            if not found:
                self.tree = tree
                tree.remember(root)
                return done, problems
            verdicts.append(found)
        best = min(verdicts, key=len)
        problems += [f"{self.name}/{problem}" for problem in best]
        if begun:
            problems.append(f"{self.name}: in flight was {begun}")
        return done, problems


def keep_moving(top, seed, stop, doomed, moves, trouble, tiers, not_now=frozenset(NOT_NOW)):
    """Moves files of all workers to and fro; nothing that they see may change by it."""
    choice = random.Random(seed)
    while not stop.is_set():
        try:
            files = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
            for path in choice.sample(files, min(len(files), 20)):
                if stop.is_set():
                    return
                _try_to_move(path, choice.choice(tiers), moves, not_now)
        except OSError as error:
            if not doomed.is_set():
                trouble.put(f"moving: {error}")
            return
        time.sleep(0.002)


def _try_to_move(path, tier, moves, not_now):
    try:
        if os.path.islink(path):
            return
        mount.move(path, tier)
        moves.value += 1
    except (FileNotFoundError, NotADirectoryError):
        pass  # renamed or removed meanwhile
    except OSError as error:
        # In use, or on disk with several names: such a file stays where it is.
        if error.errno not in not_now and not _has_several_names(path):
            raise


def _has_several_names(path):
    try:
        return os.stat(path).st_nlink > 1
    except FileNotFoundError:
        return True


def ended(process, seconds=30):
    """Waits for a process; one that hangs is killed."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        return False
    return True


def emptied(queue):
    found = []
    while not queue.empty():
        found.append(queue.get())
    return found
