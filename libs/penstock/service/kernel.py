"""Calls to the Linux kernel that Python has no names for: what a process may still reach, and who ends with whom."""

import ctypes
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_RULE_PATH = 1
_LANDLOCK_REFER = 1 << 13
_LANDLOCK_SCOPE_SIGNAL = 1 << 1
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_SLAVE = 1, 2, 4, 8, 0x1000, 0x4000, 1 << 19
LANDLOCK_VERSION_MIN = 2
"""The first would forbid moving files between directories."""

ALL_CAPABILITIES = frozenset(range(64))
LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Be killed when the parent dies, however that happens."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """No other process of this user may read our memory and environment; debuggers neither."""
    _prctl(_PR_SET_DUMPABLE, 0)


def landlock_version() -> int:
    """Of the kernel's Landlock interface; 0 where there is none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, 0, 1))) if LINUX else 0


def keep_to_own_processes() -> None:
    """From now on we and our children can neither trace, nor read the memory of, nor signal any process but our own.

    Signals need version 6 of Landlock (Linux 6.12). Files stay as they are. Raises OSError.
    """
    version = landlock_version()
    if version < LANDLOCK_VERSION_MIN:
        raise OSError("this kernel has no Landlock, or one that forbids moving files between directories")
    # A domain must restrict something: this is the right to move files between directories, given back at once.
    scoped = _LANDLOCK_SCOPE_SIGNAL if version >= 6 else 0
    wanted = struct.pack("<QQQ", _LANDLOCK_REFER, 0, scoped)[: 24 if version >= 6 else 8]
    rules = _checked(_libc.syscall(_LANDLOCK_CREATE, wanted, len(wanted), 0))
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        _checked(_libc.syscall(_LANDLOCK_ADD, rules, _LANDLOCK_RULE_PATH, struct.pack("<Qi", _LANDLOCK_REFER, root), 0))
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc.syscall(_LANDLOCK_RESTRICT, rules, 0))
    finally:
        os.close(root)
        os.close(rules)


def own_mounts() -> None:
    """A mount table of our own, which follows what is mounted elsewhere. Works without privileges where the system
    allows user namespaces. Raises OSError.
    """
    if _libc.unshare(_CLONE_NEWNS) != 0:
        uid, gid = os.geteuid(), os.getegid()
        _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER))
        for name, text in (
            ("setgroups", b"deny"),
            ("uid_map", b"%d %d 1" % (uid, uid)),
            ("gid_map", b"%d %d 1" % (gid, gid)),
        ):
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(text)
    _checked(_libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None))


def cover(path: str) -> None:
    """Put nothing in the place of a directory or file, in our own mount table. Raises OSError."""
    target = os.fsencode(path)
    if os.path.isdir(path):
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _checked(_libc.mount(b"none", target, b"tmpfs", flags, b"size=4k,mode=0"))
    else:
        _checked(_libc.mount(b"/dev/null", target, None, _MS_BIND, None))


def drop_capabilities(numbers: frozenset[int]) -> None:
    """Give these up for ever, for us and whatever we start. Raises OSError."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, held))
    for number in numbers:
        # Those that the kernel does not know, or that we may not drop since we have none, are no loss.
        _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    masks = [~sum(1 << number % 32 for number in numbers if number // 32 == half) & 0xFFFFFFFF for half in (0, 1)]
    words = struct.unpack("<6I", held.raw)
    kept = [word & masks[index // 3] for index, word in enumerate(words)]
    _checked(_libc.capset(header, struct.pack("<6I", *kept)))


def _prctl(option: int, value: int) -> None:
    if LINUX:
        _libc.prctl(option, value, 0, 0, 0)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
