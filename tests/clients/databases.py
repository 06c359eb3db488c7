"""SQLite: a rollback journal with fcntl locks, and a write-ahead log with shared memory maps."""

import sqlite3

from place import check, finish, worker

ROWS = 150


def _create(path, journal):
    database = sqlite3.connect(path, isolation_level=None)
    assert database.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    database.execute("CREATE TABLE well (number INTEGER PRIMARY KEY, name TEXT)")
    database.close()


def _verify(path, wanted):
    """Every row that must be there is there and whole, and SQLite finds nothing wrong with the file."""
    database = sqlite3.connect(path, timeout=60)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = dict(database.execute("SELECT number, name FROM well"))
    database.close()
    assert wanted <= rows.keys(), f"rows are missing: {sorted(wanted - rows.keys())[:5]}"
    assert all(name == f"well {number} " * 20 for number, name in rows.items()), "a row has changed"


def _two_writers_and_a_crash(place, name, journal, scratch=False):
    folder = place.fresh(name, scratch)
    path = folder / "plate.sqlite"
    _create(path, journal)
    place.disturb(path)
    with place.moving(path):
        writers = [worker("sqlite_insert", path, journal, first, ROWS) for first in (0, ROWS)]
        for writer in writers:
            finish(writer)
    _verify(path, set(range(2 * ROWS)))

    # A writer is killed between two commits; what it has acknowledged must be there.
    victim = worker("sqlite_insert", path, journal, 10_000, 100_000)
    acknowledged = {int(victim.stdout.readline()) for _ in range(50)}
    victim.kill()
    victim.communicate()
    _verify(path, set(range(2 * ROWS)) | acknowledged)
    place.disturb(path)
    _verify(path, set(range(2 * ROWS)) | acknowledged)
    return path


@check
def sqlite_with_a_rollback_journal_keeps_every_row(place):
    _two_writers_and_a_crash(place, "sqlite-rollback", "delete")


@check
def sqlite_with_a_write_ahead_log_keeps_every_row(place):
    _two_writers_and_a_crash(place, "sqlite-wal", "wal")


@check
def sqlite_on_scratch_works_in_the_tier_of_its_rule(place):
    folder = place.fresh("sqlite-tier", scratch=True)
    _create(folder / "plate.sqlite", "delete")
    # fsync returns at once under `scratch`, so that not even a database leaves memory.
    place.expect(folder / "plate.sqlite")
    _two_writers_and_a_crash(place, "sqlite-scratch", "wal", scratch=True)
