"""A look at a TIFF's directories before a library follows them.

A file of a few kilobytes may chain its directories into a circle, or let each of thousands point at the same list of
millions of numbers: whoever reads them first and asks how many there are afterwards never ends, or runs out of memory.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from tifffile import TIFF, TiffFileError

MAX_DIRECTORIES = 20_000  # pages, of which an array written without saying what its axes are has one for each row
MAX_TAGS = 4096  # of one directory
MAX_LISTED = 2_000_000  # numbers and characters in all tags that are read with the directories

SUB_DIRECTORIES = 330  # the tag that lists further ones, as pyramids have
SIZES = {16: "Q", 18: "Q"}  # by the type of its numbers, else of 4 bytes

# of the versions 42 and 43 (BigTIFF): offset, number of tags, and a tag as its code, type, count and content
LAYOUTS = {42: ("I", "H", "HHI4s"), 43: ("Q", "Q", "HHQ8s")}


def check_directories(path: Path) -> None:
    """``TiffFileError`` for a file that is no TIFF, or whose directories have no end or too much in them.

    A chain that leads out of the file ends there, as it does for the library.
    """
    with path.open("rb") as file:
        order = {b"II": "<", b"MM": ">"}.get(file.read(2))
        try:
            version = unpack(file, f"{order}H") if order else None
            if version not in LAYOUTS:
                raise TiffFileError("no TIFF")
            if version == 43:
                file.read(4)  # the size of an offset, always 8, and zero
            walk(file, *(order + layout for layout in LAYOUTS[version]))
        except struct.error:
            return


def walk(file: BinaryIO, offset_format: str, count_format: str, tag_format: str) -> None:
    """Follow the chain whose first offset comes next, and those within its directories; ``TiffFileError``."""
    waiting, seen, listed = [(unpack(file, offset_format), True)], set(), 0  # offsets, and whether others follow each
    while waiting:
        offset, chained = waiting.pop()
        if offset == 0:  # the end of the chain
            continue
        if offset in seen or len(seen) == MAX_DIRECTORIES:
            raise TiffFileError(f"more than {MAX_DIRECTORIES} directories, or a circle of them")
        seen.add(offset)
        file.seek(offset)
        try:
            if (tags := unpack(file, count_format)) > MAX_TAGS:
                raise TiffFileError(f"{tags} tags in a directory")
            entries = [*struct.iter_unpack(tag_format, file.read(tags * struct.calcsize(tag_format)))]
            listed += sum(count for code, _, count, _ in entries if code in TIFF.TAG_LOAD)
            if listed > MAX_LISTED:
                raise TiffFileError(f"{listed} numbers in the directories")
            following = unpack(file, offset_format)
            if chained:  # those within are listed, whatever they say of a next one
                waiting.append((following, True))
            for code, kind, count, content in entries:
                if code == SUB_DIRECTORIES:
                    form = offset_format[0] + SIZES.get(kind, "I")
                    waiting += [(value, False) for value in numbers(file, form, count, content, offset_format)]
        except struct.error:  # the file ends here
            continue


def numbers(file: BinaryIO, form: str, count: int, content: bytes, offset_format: str) -> list[int]:
    """The ``count`` numbers of a tag, which are its content, or stand where that says."""
    size = count * struct.calcsize(form)
    if size > len(content):
        file.seek(*struct.unpack(offset_format, content))
        content = file.read(size)
    return [value for (value,) in struct.iter_unpack(form, content[:size])]


def unpack(file: BinaryIO, form: str) -> int:
    """The next number; ``struct.error`` where the file ends before it."""
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return value
