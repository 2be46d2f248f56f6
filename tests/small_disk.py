"""A disk that gets full: a tmpfs where one can be mounted, else a limit on the size of files."""

import contextlib
import os
import resource
import subprocess

PLENTY = 2**26


class Tmpfs:
    """A file system in memory, mounted at a folder; too large a write fails with ENOSPC."""

    told = "No space left on device"

    def __init__(self, path):
        self.path = path
        _mount("-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", path)

    def leave(self, room):
        """From now on, so many bytes can be written, and no more."""
        disk = os.statvfs(self.path)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        _mount("-o", f"remount,size={used + room}", self.path)

    def close(self):
        subprocess.run(["umount", "--lazy", self.path], check=True, capture_output=True)


class LimitedFiles:
    """The folder as it is; a file that grows too large fails with EFBIG."""

    told = "File too large"

    def __init__(self, path):
        self.path = path
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def leave(self, room):
        """From now on, no file can grow beyond so many bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, self.limits[1]))

    def close(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


@contextlib.contextmanager
def small_disk(path):
    """A folder, made at `path`, on a disk with room for 64 MB until `leave` says otherwise.

    Yields:
        An object with `path`, `leave(bytes)`, and `told`, the system's words for a full disk.
    """
    path.mkdir()
    try:
        disk = Tmpfs(path)
    except (OSError, subprocess.CalledProcessError):  # not root, or a container without mounts
        disk = LimitedFiles(path)
    try:
        yield disk
    finally:
        disk.close()


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
