"""cargo and make: times decide what is built again, so a move of bytes must not touch one."""

import os

from place import check, need, run

UNITS = 12


def _write_c_project(folder):
    names = [f"unit_{number}" for number in range(UNITS)]
    for number, name in enumerate(names):
        (folder / f"{name}.c").write_text(f'#include "all.h"\nint {name}(void) {{ return {number}; }}\n')
    (folder / "all.h").write_text("".join(f"int {name}(void);\n" for name in names))
    total = " + ".join(f"{name}()" for name in names)
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n#include "all.h"\nint main(void) {{ printf("%d\\n", {total}); return 0; }}\n'
    )
    objects = " ".join(f"{name}.o" for name in [*names, "main"])
    (folder / "Makefile").write_text(
        f"program: {objects}\n\t$(CC) -o $@ $^\n%.o: %.c all.h\n\t$(CC) -c -o $@ $<\nclean:\n\trm -f program *.o\n"
    )


@check
def make_has_nothing_to_do_the_second_time(place):
    make, _ = need("make"), need("cc")
    folder = place.fresh("make")
    _write_c_project(folder)
    run(make, "-j2", cwd=folder)
    place.expect(folder / "unit_0.o")
    assert run("./program", cwd=folder).strip() == str(sum(range(UNITS)))
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    # Thrice, because a time could be lost on the way up as well as on the way down.
    for _ in range(3):
        place.disturb(folder)
        assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}, "a move has touched an mtime"
        assert "is up to date" in run(make, cwd=folder), "make built something again"
    os.utime(folder / "unit_3.c")
    again = run(make, cwd=folder)
    assert again.count(" -c ") == 1 and "unit_3.c" in again, f"one object should have been built again:\n{again}"
    assert run("./program", cwd=folder).strip() == str(sum(range(UNITS)))


@check
def cargo_builds_a_small_crate_and_finds_it_fresh_afterwards(place):
    cargo = need("cargo")
    folder = place.fresh("cargo")
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "wells"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n[profile.dev]\ndebug = 0\n'
    )
    (folder / "src" / "lib.rs").write_text("pub fn wells() -> usize { 8 * 12 }\n")
    (folder / "src" / "main.rs").write_text('fn main() { println!("{}", wells::wells()); }\n')
    build = [cargo, "build", "--offline", "--target-dir", folder / "target"]
    assert "Compiling wells" in run(*build, cwd=folder)
    place.expect(folder / "src" / "lib.rs")
    assert run(folder / "target" / "debug" / "wells").strip() == "96"
    place.disturb(folder)
    assert "Compiling" not in run(*build, cwd=folder), "cargo compiled again although nothing changed"
    assert run(folder / "target" / "debug" / "wells").strip() == "96"
    (folder / "src" / "lib.rs").write_text("pub fn wells() -> usize { 16 * 24 }\n")
    assert "Compiling wells" in run(*build, cwd=folder), "cargo did not see the change"
    assert run(folder / "target" / "debug" / "wells").strip() == "384"
