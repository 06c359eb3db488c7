# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside this folder; sourced, never run.
# It gives: where things are, how to speak, how to find or build the binary, and how to mount so that an interrupted
# script leaves neither a mount nor a directory behind.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SCRIPTS=$REPO/scripts
TOOLS=$REPO/.tools
VENV=$REPO/.venv
PYTHON=$VENV/bin/python
TARGET=${CARGO_TARGET_DIR:-$REPO/target}
export PATH=$TOOLS/bin:$PATH PYTHONDONTWRITEBYTECODE=1

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' PLAIN=''
fi

say() { printf '%s\n' "$*"; }
note() { printf '%s%s%s\n' "$DIM" "$*" "$PLAIN"; }
headline() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
warn() { printf '%s\n' "$*" >&2; }
die() { printf '%s%s:%s %s\n' "$RED" "$(basename "$0")" "$PLAIN" "$*" >&2; exit 1; }
wrong_usage() { printf '%s: %s\nTry: %s --help\n' "$(basename "$0")" "$1" "$0" >&2; exit 2; }

have() { command -v "$1" >/dev/null 2>&1; }

# The comment at the top of a script is its manual.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# The release binary; SCOPEFS names another one. Built only when it is not there or older than the sources.
scopefs_binary() {
    if [[ -n ${SCOPEFS:-} ]]; then
        [[ -x $SCOPEFS ]] || die "SCOPEFS names $SCOPEFS, which is not a program"
        return
    fi
    SCOPEFS=$TARGET/release/scopefs
    export SCOPEFS
    if [[ ! -x $SCOPEFS || -n $(find "$REPO/src" "$REPO/Cargo.toml" "$REPO/Cargo.lock" -newer "$SCOPEFS" -print -quit) ]]; then
        say "Building the release binary (some minutes the first time) …"
        (cd "$REPO" && cargo build --release --quiet --bin scopefs) || die "the release build failed; its messages are above"
    fi
}

# Why no mount can work here; empty output when it can.
why_no_mount() {
    if [[ ! -e /dev/fuse ]]; then
        echo "there is no /dev/fuse (load the fuse module, or give the container the device)"
    elif [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
        echo "/dev/fuse is not readable and writable by $(id -un)"
    elif [[ $(id -u) != 0 ]] && ! have fusermount3; then
        echo "fusermount3 is missing, and $(id -un) is not root (package fuse3)"
    fi
}

# Everything that must be undone at exit, newest first.
UNDO=()
at_exit() { UNDO=("$*" ${UNDO[@]+"${UNDO[@]}"}); }
undo_all() {
    local status=$? step
    trap - EXIT INT TERM
    set +e
    for step in ${UNDO[@]+"${UNDO[@]}"}; do eval "$step"; done
    exit "$status"
}
trap undo_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A directory of our own on the disk of the repository (not in /tmp, which may be memory), gone at exit.
# Sets WORK.
work_directory() {
    mkdir -p "$TARGET/tmp"
    WORK=$(mktemp -d "$TARGET/tmp/$1.XXXXXX")
    at_exit "rm -rf --one-file-system '$WORK'"
}

# mount_scopefs WORKSPACE MOUNTPOINT CONFIG [more arguments of `scopefs mount`]
mount_scopefs() {
    local workspace=$1 mountpoint=$2 config=$3
    shift 3
    at_exit "force_unmount '$mountpoint'"
    "$SCOPEFS" mount "$workspace" "$mountpoint" -c "$config" "$@" \
        || die "mounting $workspace on $mountpoint failed; the message above is from scopefs"
    mountpoint -q "$mountpoint" || die "scopefs mount returned 0, but nothing is mounted on $mountpoint"
}

# The way out for a script that failed half way: politely if possible, lazily if not. Quiet when nothing is mounted.
force_unmount() {
    mountpoint -q "$1" 2>/dev/null || ! stat "$1" >/dev/null 2>&1 || return 0
    timeout 120 "$SCOPEFS" unmount "$1" >/dev/null 2>&1 && return 0
    warn "unmounting $1 politely failed; detaching it"
    if [[ $(id -u) == 0 ]]; then umount -l "$1"; else fusermount3 -uz "$1"; fi
}

# mount_tmpfs DIRECTORY SIZE: a native tmpfs of its own; false when we may not.
mount_tmpfs() {
    [[ $(id -u) == 0 ]] || return 1
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2,mode=0755" scopefs-reference "$1" || return 1
    at_exit "umount -l '$1'"
}

# status_field JSON_FILE_OR_- a.b.c
json_field() { "$PYTHON" -c '
import json, sys
value = json.load(open(sys.argv[1]) if sys.argv[1] != "-" else sys.stdin)
for key in sys.argv[2].split("."):
    value = value[key]
print(value)' "$1" "$2"; }
