"""The frame of a campaign: its options, its verdicts, its scratch directory, and a way out that leaves nothing behind.

A campaign calls `run(__doc__, body)`; `body(campaign)` calls `campaign.check(sentence, held)` for each thing it proves.
The last line is `N passed, N failed, N skipped`; the exit code is 0, 1, 2 (wrong usage) or 77 (nothing could run here).
"""

import argparse
import ctypes
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
TOOLS = REPOSITORY / ".tools"
SKIP_CODE = 77
# linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36


class Skip(Exception):
    """What this machine lacks, in words."""


class Campaign:
    def __init__(self, options):
        self.options = options
        self.short, self.plain = options.short, options.plain
        self.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        self.passed = self.failed = self.skipped = 0
        self._undo = []
        self._last = time.monotonic()
        self.scratch = self._scratch()

    def _scratch(self):
        """On a disk (not in /tmp, which may be memory), where every user may go, and short: a socket's path has 108
        bytes."""
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=pathlib.Path(sys.argv[0]).name[:3], dir="/var/tmp"))
        scratch.chmod(0o755)
        if not self.options.keep:
            self.at_exit(_remove, scratch)
        return scratch

    # ---- verdicts

    def check(self, sentence, held, detail=""):
        """Counts and shows one verdict; `detail` is shown when it failed. Gives back whether it held."""
        now = time.monotonic()
        print(f"  {'ok' if held else 'FAILED':7} {now - self._last:6.1f} s  {sentence}")
        self._last = now
        if held:
            self.passed += 1
        else:
            self.failed += 1
            for line in str(detail).rstrip().splitlines()[:40]:
                print(f"              {line}")
        return held

    def control(self, sentence, problems):
        """A negative control: something was broken on purpose, and the check must have found problems."""
        return self.check(f"control: {sentence} is noticed", bool(problems), "the check found nothing wrong")

    def skip(self, sentence, reason):
        print(f"  skipped: {sentence}: {reason}")
        self.skipped += 1

    def attempt(self, sentence, function, *arguments):
        """Runs a part; an exception in it is one failed check, a Skip one skipped."""
        try:
            return function(*arguments)
        except Skip as reason:
            self.skip(sentence, reason)
        except Exception as error:
            self.check(sentence, False, "".join(traceback.format_exception(error)))
        return None

    @staticmethod
    def note(text):
        print(f"                    {text}")

    # ---- way out

    def at_exit(self, function, *arguments):
        """Done at the end however it comes, newest first."""
        self._undo.append((function, arguments))

    def undo_to(self, mark):
        """Undoes what was registered since `mark` (= len of the list then); used between rounds."""
        while len(self._undo) > mark:
            function, arguments = self._undo.pop()
            try:
                function(*arguments)
            except Exception as error:
                print(f"  clean-up: {function.__name__} failed: {error}", file=sys.stderr)

    @property
    def mark(self):
        return len(self._undo)

    def undo(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.undo_to(0)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        if self.failed:
            return 1
        return 0 if self.passed else SKIP_CODE


def _remove(folder):
    # Refuses to walk into a mount that could not be detached.
    subprocess.run(["rm", "-rf", "--one-file-system", os.fspath(folder)], check=False)


def _adopt_orphans():
    """Daemons that detach from us come back to us when they end, even where the first process reaps nobody."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _interrupted(number, _frame):
    raise KeyboardInterrupt(f"signal {number}")


def run(manual, body, arguments=None):
    """Parses the options (`arguments(parser)` adds the campaign's own), runs `body`, cleans up, exits."""
    parser = argparse.ArgumentParser(description=manual, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the setting of CI: well under a minute")
    parser.add_argument("--plain", action="store_true", help="on native directories, with no scopefs: a reference")
    parser.add_argument("--seed", type=int, help="repeat the random choices of an earlier run")
    parser.add_argument("--keep", action="store_true", help="leave the scratch directory there and say where")
    if arguments:
        arguments(parser)
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    _adopt_orphans()
    campaign = Campaign(options)
    if options.keep:
        print(f"kept in {campaign.scratch}")
    try:
        body(campaign)
    except Skip as reason:
        campaign.skip(pathlib.Path(sys.argv[0]).name, reason)
    except KeyboardInterrupt as why:
        campaign.check(f"the campaign ran to its end ({why})", False)
    except Exception as error:
        campaign.check("the campaign ran to its end", False, "".join(traceback.format_exception(error)))
    finally:
        # Also when nobody reads what we print any more.
        campaign.undo()
        _reap()
    sys.exit(campaign.finish())


def need(program):
    """The path of a program, or the campaign's part is skipped."""
    path = os.pathsep.join([str(TOOLS / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    if not found:
        raise Skip(f"{program} is not installed (scripts/setup installs it)")
    return found


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")
