# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a cpio archive of the "newc" form, the one the kernel takes as initramfs.

All entries belong to root, whoever runs this."""

import os
import stat


class Archive:
    def __init__(self):
        self._parts = []
        self._names = set()
        self._inode = 1

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        if name in self._names:
            return
        parent = os.path.dirname(name)
        if parent:
            self.folder(parent)
        self._names.add(name)
        raw = name.encode() + b"\0"
        numbers = [self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1],
                   len(raw), 0]
        self._inode += 1
        head = b"070701" + b"".join(b"%08x" % n for n in numbers) + raw
        self._parts.append(_padded(head) + _padded(data))

    def folder(self, name, mode=0o755):
        self._entry(name, stat.S_IFDIR | mode)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def text(self, name, content, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, content.encode())

    def file(self, name, source, mode=None):
        with open(source, "rb") as stream:
            data = stream.read()
        if mode is None:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._entry(name, stat.S_IFREG | mode, data)

    def node(self, name, major, minor, mode=0o600):
        self._entry(name, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, name, source):
        """A whole folder, links kept as links."""
        for entry in sorted(source.iterdir()):
            inner = f"{name}/{entry.name}"
            if entry.is_symlink():
                self.link(inner, os.readlink(entry))
            elif entry.is_dir():
                self.folder(inner)
                self.tree(inner, entry)
            else:
                self.file(inner, entry)

    def program(self, source, libraries):
        """A program at its own path, with its shared libraries at theirs."""
        self.file(source, os.path.realpath(source), 0o755)
        for library in libraries:
            self.file(library, os.path.realpath(library), 0o755)

    def write(self, target):
        self._names.discard("TRAILER!!!")
        self._entry("TRAILER!!!", 0)
        temporary = target.with_suffix(".new")
        temporary.write_bytes(b"".join(self._parts))
        os.replace(temporary, target)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
