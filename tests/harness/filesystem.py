"""A file system of one's own: small, to be filled; on an image, to have its power cut."""

import ctypes
import fcntl
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import threading

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2  # what the journal has not on the disk is gone, too
SYNC_FILE_RANGE_WRITE = 2


class FileSystem:
    """`kind`: "tmpfs", or "ext4", where O_DIRECT works, on a loop device. Root only."""

    def __init__(self, directory, kind, size):
        self.kind = kind
        self.size = size
        self.path = pathlib.Path(directory) / "disk"
        self.path.mkdir()
        self.image = None

    def make(self):
        """Raises CalledProcessError, or PermissionError, where that is not allowed."""
        if os.geteuid() != 0:
            raise PermissionError("not root")
        if self.kind == "ext4":
            # In memory, where there is room: nothing waits for the machine's own disk.
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
            with tempfile.NamedTemporaryFile(prefix="bourn-test-", dir=memory, delete=False) as image:
                image.truncate(self.size)
                self.image = image.name
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True, capture_output=True)
        self.mount()

    def mount(self):
        how = ["-o", "loop", self.image] if self.image else \
            ["-t", "tmpfs", "-o", f"size={self.size},mode=700", "bourn-test"]
        subprocess.run(["mount", *how, self.path], check=True, capture_output=True)

    def unmount(self):
        subprocess.run(["umount", self.path], check=True, capture_output=True)

    def remove(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)
        if self.image:
            os.unlink(self.image)

    def cut_power(self):
        """What was not on the disk by now never will be; every call fails from here on."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def power_on(self):
        """After a cut, when nobody has files open there any more."""
        self.unmount()
        self.mount()

    def empty(self):
        for child in self.path.iterdir():
            shutil.rmtree(child, ignore_errors=child.name == "lost+found")


class WriteBack(threading.Thread):
    """A kernel in a mood: it writes some dirty pages of some files to the disk, in no order."""

    def __init__(self, path, seed):
        super().__init__(daemon=True)
        self.path = path
        self.random = random.Random(seed)
        self.stopped = threading.Event()
        self.libc = ctypes.CDLL(None, use_errno=True)

    def run(self):
        while not self.stopped.wait(self.random.uniform(0, 0.02)):
            try:
                self._write_some()
            except OSError:
                pass  # the file has gone, or the power has

    def _write_some(self):
        files = [file for file in self.path.rglob("*") if file.suffix in (".wal", ".seg", ".log", ".sst")]
        if not files:
            return
        fd = os.open(self.random.choice(files), os.O_RDONLY)
        try:
            blocks = max(os.fstat(fd).st_size // 4096, 1)
            at, count = self.random.randrange(blocks), self.random.choice((1, 1, 4, 64))
            self.libc.sync_file_range(fd, ctypes.c_int64(at * 4096), ctypes.c_int64(count * 4096),
                                      SYNC_FILE_RANGE_WRITE)
        finally:
            os.close(fd)

    def stop(self):
        self.stopped.set()
        self.join()
