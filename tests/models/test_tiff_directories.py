"""Files whose directories would keep a reader busy for ever."""

import struct

import numpy as np
import pytest
import tifffile

from models.band_files import BandFileError, names_in, open_bands
from models.tiff_directories import MAX_DIRECTORIES, MAX_LISTED, SUB_DIRECTORIES, check_directories

STRIP_OFFSETS, LONG = 273, 4


def chain(path, count: int, *, then: int | None = None, listed: int = 1, big: bool = False) -> None:
    """A file of ``count`` directories with one tag each; after the last one follows directory ``then`` again."""
    offset, number, tag = ("<Q", "<Q", "<HHQ8s") if big else ("<I", "<H", "<HHI4s")
    size = struct.calcsize(number) + struct.calcsize(tag) + struct.calcsize(offset)
    head = b"II" + (struct.pack("<HHH", 43, 8, 0) if big else struct.pack("<H", 42))
    start = len(head) + struct.calcsize(offset)
    content = head + struct.pack(offset, start)
    entry = struct.pack(tag, STRIP_OFFSETS, LONG, listed, struct.pack("<I", start))
    for place in range(1, count + 1):
        following = 0 if place == count and then is None else start + (place if place < count else then) * size
        content += struct.pack(number, 1) + entry + struct.pack(offset, following)
    path.write_bytes(content)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "endless",
    [
        {"count": 150, "then": 2},  # a circle, though not where the chain began
        {"count": MAX_DIRECTORIES + 1},
        {"count": 2, "listed": MAX_LISTED // 2 + 1},
    ],
)
def test_directories_without_end_are_refused(tmp_path, endless, big):
    path = tmp_path / "endless.tif"
    chain(path, **endless, big=big)
    with pytest.raises(tifffile.TiffFileError, match="directories"):
        check_directories(path)
    with pytest.raises(BandFileError, match="cannot be read as a TIFF"):
        open_bands(path)
    assert names_in(path) == ()


@pytest.mark.parametrize("big", [False, True])
def test_pyramids_pass_and_directories_within_directories_count(tmp_path, big):
    path = tmp_path / "pyramid.tif"
    levels = [np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8) for size in (64, 32, 16)]
    with tifffile.TiffWriter(path, bigtiff=big) as writer:
        writer.write(levels[0], photometric="rgb", subifds=2)
        for level in levels[1:]:
            writer.write(level, photometric="rgb", subfiletype=1)
    assert open_bands(path).values.shape == (3, 64, 64)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[SUB_DIRECTORIES]
    content = bytearray(path.read_bytes())
    half = len(struct.pack("Q" if big else "I", 0))
    content[tag.valueoffset + half : tag.valueoffset + 2 * half] = content[tag.valueoffset : tag.valueoffset + half]
    path.write_bytes(content)
    with pytest.raises(tifffile.TiffFileError, match="circle"):
        check_directories(path)


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0", b"PK\3\4 something", b"II\x55\0\x08\0\0\0"])
def test_what_is_no_tiff_is_refused_in_words(tmp_path, content):
    (tmp_path / "no.tif").write_bytes(content)
    with pytest.raises(BandFileError, match="cannot be read as a TIFF"):
        open_bands(tmp_path / "no.tif")


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"planarconfig": "separate"}])
def test_usual_files_pass(tmp_path, options):
    path = tmp_path / "usual.tif"
    tifffile.imwrite(path, np.zeros((4, 30, 40), np.uint8), photometric="minisblack", **options)
    check_directories(path)


def test_an_array_of_many_rows_written_as_pages_passes(tmp_path):
    path = tmp_path / "rows.tif"
    tifffile.imwrite(path, np.random.default_rng(0).random((1000, 20, 4), np.float32), photometric="minisblack")
    assert open_bands(path).values.shape == (4, 1000, 20)
