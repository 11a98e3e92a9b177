"""Files of several bands."""

import io
import math
import pickle
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from models import band_files
from models.band_files import GDAL_NODATA, INSTRUMENTS, BandFileError, names_in, open_bands, open_tiff, scaled
from tests.tagged import band_tag

SHAPE = (20, 30, 5)  # height, width, bands


def refused(path) -> BandFileError:
    """The failure of a file, after making sure that it says nothing of where the file is."""
    with pytest.raises(BandFileError) as caught:
        open_bands(path)
    sentence = str(caught.value)
    assert "{" not in sentence
    assert "/" not in sentence
    return caught.value


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)


@pytest.fixture
def numpy_file(tmp_path):
    """Save an array under a name and return its path."""

    def save(content: np.ndarray, name: str = "picture.npy"):
        np.save(tmp_path / name, content, allow_pickle=True)
        return tmp_path / name

    return save


@pytest.fixture
def tiff_file(tmp_path):
    def save(content: np.ndarray, **options):
        tifffile.imwrite(tmp_path / "picture.tif", content, **options)
        return tmp_path / "picture.tif"

    return save


def test_an_array_of_height_width_bands_is_read(numpy_file, array):
    opened = open_bands(numpy_file(array))
    np.testing.assert_allclose(opened.values, array.transpose(2, 0, 1) / 255, atol=1e-6)
    assert (opened.scaling, opened.divisor, opened.channels_first) == ("scaled_8bit", 255, False)


def test_an_array_of_bands_height_width_is_read_and_said_to_be_so(numpy_file, array):
    opened = open_bands(numpy_file(array.transpose(2, 0, 1)))
    np.testing.assert_allclose(opened.values, array.transpose(2, 0, 1) / 255, atol=1e-6)
    assert opened.channels_first


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_two_axes_is_one_band(numpy_file, array, order):
    opened = open_bands(numpy_file(np.asarray(array[..., 0], order=order)))
    np.testing.assert_allclose(opened.values, array[None, ..., 0] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ((0, 1, 2), {"photometric": "minisblack", "planarconfig": "contig"}),
        ((0, 1, 2), {"photometric": "minisblack", "planarconfig": "contig", "compression": "deflate"}),
        ((0, 1, 2), {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16)}),
        ((2, 0, 1), {"photometric": "minisblack", "planarconfig": "separate"}),
        ((2, 0, 1), {"photometric": "minisblack"}),  # one page per band
        ((2, 0, 1), {"photometric": "minisblack", "metadata": None}),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_of_several_channels_or_pages_is_read(tiff_file, array, axes, options, dtype):
    content = (array / 255).astype(dtype) if dtype == np.float32 else array.astype(dtype)
    opened = open_bands(tiff_file(content.transpose(axes), **options))
    assert opened.values.shape == (5, 20, 30)
    assert not opened.channels_first
    np.testing.assert_allclose(
        opened.values,
        scaled(content.transpose(2, 0, 1), np.zeros(content.T.shape, bool).transpose(0, 2, 1))[0],
        atol=1e-6,
    )


def test_a_multi_page_tiff_by_pillow_is_read(tmp_path, array):
    pages = [Image.fromarray(np.ascontiguousarray(array[..., band])) for band in range(4)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    np.testing.assert_allclose(
        open_bands(tmp_path / "pages.tiff").values, array.transpose(2, 0, 1)[:4] / 255, atol=1e-6
    )


def test_an_rgb_tiff_has_three_bands(tiff_file, array):
    assert open_bands(tiff_file(array[..., :3].copy(), photometric="rgb")).values.shape == (3, 20, 30)


def test_a_tiff_whose_zero_is_white_is_turned(tiff_file, array):
    opened = open_bands(tiff_file(array[..., 0].copy(), photometric="miniswhite"))
    np.testing.assert_allclose(opened.values[0], 1 - array[..., 0] / 255, atol=1e-6)


def test_the_numbers_of_a_palette_are_no_brightness(tiff_file, array):
    path = tiff_file(array[..., 0].copy(), photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    assert "stored as PALETTE" in str(refused(path))


@pytest.mark.parametrize("photometric", ["separated", "cielab"])
def test_ink_and_other_colour_spaces_are_no_brightness(tiff_file, array, photometric):
    inks = np.concatenate([array, array], axis=2)[..., :4] if photometric == "separated" else array[..., :3]
    error = refused(tiff_file(np.ascontiguousarray(inks), photometric=photometric))
    assert error.key == "not_brightness" and photometric.upper() in str(error)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_values_of_four_bits_reach_white(tiff_file, photometric):
    pairs = np.array([[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]], dtype=np.uint8).repeat(8, axis=0)
    path = tiff_file(pairs, photometric=photometric, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:  # two values in a byte
        file.pages[0].tags["BitsPerSample"].overwrite(4)
        file.pages[0].tags["ImageWidth"].overwrite(16)
    values = open_bands(path).values[0, 0]
    expected = np.arange(16) / 15 if photometric == "minisblack" else 1 - np.arange(16) / 15
    assert np.allclose(values, expected, atol=1e-6)


def test_floats_between_0_and_1_stay(numpy_file, array):
    opened = open_bands(numpy_file(array / 300))
    assert (opened.scaling, opened.divisor, opened.dtype) == ("scaled_not", 1.0, "float64")
    np.testing.assert_allclose(opened.values.max(), array.max() / 300, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_other_values_are_divided_by_their_99_9th_percentile_and_cut(numpy_file, dtype):
    content = np.linspace(0, 3000, 100 * 100 * 2).reshape(100, 100, 2).astype(dtype)
    content[0, 0, 0] = 32000  # one glint does not darken the picture
    opened = open_bands(numpy_file(content))
    assert opened.scaling == "scaled_percentile"
    assert opened.divisor == pytest.approx(2997, abs=3)
    assert opened.values[0, 0, 0] == 1
    assert opened.values[0, 50, 50] == pytest.approx(content[50, 50, 0] / opened.divisor, abs=1e-4)


def test_a_few_floats_beyond_0_and_1_do_not_change_the_rule(numpy_file):
    content = np.random.default_rng(0).uniform(0, 0.4, (100, 100, 2)).astype(np.float32)
    content[0, 0], content[1, 1] = 1.7, -0.2  # a glint, noise in the dark
    opened = open_bands(numpy_file(content))
    assert opened.scaling == "scaled_not" and opened.values[:, 0, 0].tolist() == [1, 1]
    assert opened.values[:, 1, 1].tolist() == [0, 0]
    np.testing.assert_allclose(opened.values[:, 2:], content.transpose(2, 0, 1)[:, 2:])


def test_values_below_0_become_0(numpy_file):
    content = np.linspace(-50, 100, 400, dtype=np.float32).reshape(20, 20)
    assert open_bands(numpy_file(content)).values.min() == 0


@pytest.mark.parametrize(("name", "came"), [("photo.jpg", ".jpg"), ("picture", "?"), ("data.npz", ".npz")])
def test_another_ending_is_refused(tmp_path, name, came):
    (tmp_path / name).write_bytes(b"something")
    error = refused(tmp_path / name)
    assert (error.key, error.values["came"]) == ("suffix", came)


def test_an_ending_in_capitals_is_the_same_ending(numpy_file, array):
    path = numpy_file(array)
    assert open_bands(path.rename(path.with_suffix(".NPY"))).values.shape == (5, 20, 30)


def test_an_array_that_claims_to_be_huge_is_refused_by_its_header(tmp_path):
    with (tmp_path / "bomb.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (100_000, 100_000, 3)}
        )
    assert refused(tmp_path / "bomb.npy").key == "too_many_values"


def test_a_tiff_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tiff_file, monkeypatch):
    monkeypatch.setattr(band_files, "MAX_VALUES", 10_000)
    path = tiff_file(np.zeros((300, 300), np.uint8), compression="deflate")
    assert refused(path).key == "too_many_values"


class Trap:
    """A pickle of it would call ``pytest.fail``."""

    def __reduce__(self):
        return pytest.fail, ("the pickle was loaded",)


def test_an_object_array_is_refused_unread(numpy_file):
    content = np.empty((20, 20), dtype=object)
    content[:] = Trap()
    error = refused(numpy_file(content))
    assert (error.key, error.values["came"]) == ("type", "object")


@pytest.mark.parametrize(
    "content", [pickle.dumps(Trap()), b"", b"just some text", b"\x93NUMPY\x01\x00v\x00{'descr': cut off", b"PK\x03\x04"]
)
def test_a_pickle_or_anything_else_named_npy_is_refused(tmp_path, content):
    (tmp_path / "picture.npy").write_bytes(content)
    assert refused(tmp_path / "picture.npy").key == "numpy_unreadable"


def test_a_damaged_header_is_refused_however_numpy_fails(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((8, 8, 3), np.float32))
    unclosed = buffer.getvalue().replace(b")", b" ", 1)  # for which Python's tokenizer has an exception of its own
    (tmp_path / "picture.npy").write_bytes(unclosed)
    assert refused(tmp_path / "picture.npy").key == "numpy_unreadable"


def test_a_cut_off_array_is_refused(numpy_file, array):
    path = numpy_file(array)
    path.write_bytes(path.read_bytes()[:500])
    assert refused(path).key == "numpy_unreadable"


@pytest.mark.parametrize("content", [b"", b"just some text", b"II*\x00\x08\x00\x00\x00", b"II*\x00\xff\xff\xff\xff"])
def test_what_is_no_tiff_is_refused(tmp_path, content):
    (tmp_path / "picture.tif").write_bytes(content)
    assert refused(tmp_path / "picture.tif").key == "tiff_unreadable"


def test_a_cut_off_tiff_is_refused(tiff_file, array):
    path = tiff_file(array, compression="deflate", photometric="minisblack", planarconfig="contig")
    path.write_bytes(path.read_bytes()[:600])
    assert refused(path).key == "tiff_unreadable"


@pytest.mark.parametrize("options", [{}, {"predictor": 2}])
@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits"])
def test_lossless_compressions_are_read(tiff_file, array, compression, options):
    path = tiff_file(array, compression=compression, photometric="minisblack", planarconfig="contig", **options)
    np.testing.assert_allclose(open_bands(path).values, array.transpose(2, 0, 1) / 255, atol=1e-6)


def test_floats_that_gdal_has_compressed_are_read(tiff_file, array):
    content = (array / 255).astype(np.float32)
    path = tiff_file(content, compression="deflate", predictor=3, photometric="minisblack", planarconfig="contig")
    np.testing.assert_allclose(open_bands(path).values, content.transpose(2, 0, 1), atol=1e-6)


def test_a_compression_that_is_not_read_is_named(tmp_path, array):
    path = tmp_path / "jpeg.tif"
    Image.fromarray(array[..., :3].copy()).save(path, compression="jpeg")
    error = refused(path)
    assert (error.key, error.values["came"]) == ("compression", "JPEG")


def test_data_that_unpacks_to_more_than_the_header_says_is_not_unpacked(tmp_path):
    bomb = zlib.compress(bytes(200_000_000), 9)
    options = {"shape": (64, 64), "dtype": np.uint8, "rowsperstrip": 64, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "picture.tif", iter([bomb]), compression="adobe_deflate", **options)
    error = refused(tmp_path / "picture.tif")
    assert error.key == "tiff_unreadable" and "INSUFFICIENT_SPACE" in str(error.__cause__)  # in a buffer of 64 x 64


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_scale_divides_all_files_alike(numpy_file, dtype):
    content = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    content[0, 0, 0] = 250
    for values in (content, content // 2):  # which their own percentiles would make equal
        opened = open_bands(numpy_file(values), scale=200)
        assert (opened.scaling, opened.divisor) == ("scaled_fixed", 200)
        np.testing.assert_allclose(opened.values, (values / 200).clip(0, 1).transpose(2, 0, 1), rtol=1e-6)


@pytest.mark.parametrize(("scale", "doubt"), [(1, None), (0.9, "cut"), (100, "dim"), (20, None), (None, None)])
def test_a_scale_that_hardly_is_that_of_a_file_is_doubted(numpy_file, scale, doubt):
    content = np.linspace(0, 1, math.prod(SHAPE)).reshape(SHAPE)
    opened = open_bands(numpy_file(content), scale=scale)
    assert opened.doubt == doubt and opened.cut == pytest.approx(0.1 if scale == 0.9 else 0, abs=0.01)


def test_a_scale_that_cuts_every_value_is_said_to_be_wrong_and_not_the_file(numpy_file):
    content = np.random.default_rng(0).integers(100, 4000, SHAPE)
    content[0, 0, 0] = 4000
    path = numpy_file(content)
    with pytest.raises(BandFileError, match=r"Divided by 1, every value is cut to 0 or 1 \(the largest is 4000\)"):
        open_bands(path, scale=1)
    with pytest.raises(BandFileError, match="one constant value"):
        open_bands(numpy_file(np.full(SHAPE, 7)), scale=1)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_cannot_divide_is_refused(numpy_file, scale):
    with pytest.raises(ValueError, match="scale must be above 0 and finite, such as 10000, got"):
        open_bands(numpy_file(np.ones(SHAPE)), scale=scale)


def test_a_tile_far_larger_than_its_picture_is_refused_before_it_is_unpacked(tmp_path):
    """The picture is 64 x 64; its one tile, of zeros, claims 16,384 x 16,384."""
    tile = zlib.compress(bytes(100_000), 9)
    options = {"shape": (64, 64), "dtype": np.uint8, "tile": (16_384, 16_384), "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "picture.tif", iter([tile]), compression="adobe_deflate", **options)
    error = refused(tmp_path / "picture.tif")
    assert (error.key, error.values["came"]) == ("too_many_values", "268")


OME = """<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="30" SizeY="20" SizeC="2"
SizeZ="1" SizeT="1"><TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="picture.tif">urn:uuid:1</UUID>
</TiffData><TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="{other}">urn:uuid:2</UUID>
</TiffData></Pixels></Image></OME>
"""


def test_a_tiff_that_names_another_file_does_not_open_it(tmp_path, tiff_file):
    other = tmp_path / "elsewhere" / "private.tif"
    other.parent.mkdir()
    tifffile.imwrite(other, np.full((20, 30), 77, np.uint8))
    content = np.random.default_rng(0).integers(0, 70, (20, 30), dtype=np.uint8)
    path = tiff_file(content, description=OME.format(other=other), metadata=None)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome  # what makes it a trap
    np.testing.assert_allclose(open_bands(path).values, content[None] / 255, atol=1e-6)


def test_a_tiff_that_claims_endless_series_is_read_as_its_page(tiff_file, array):
    endless = "<ModuloAlongT Type='other' Start='0' Step='1' End='4e7'/>"
    text = OME.replace("</Image>", "</Image><StructuredAnnotations>" + endless + "</StructuredAnnotations>")
    path = tiff_file(array[..., 0], description=text.format(other="picture.tif"), metadata=None)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome  # which would take what the text says for true
    with open_tiff(path) as file:
        assert not file.is_ome and file.series[0].kind in ("generic", "uniform")
        assert not any(getattr(file, f"is_{kind}") for kind in INSTRUMENTS)
    assert open_bands(path).values.shape == (1, 20, 30)


@pytest.mark.parametrize(("dtype", "came"), [(np.complex64, "complex64"), ("U3", "<U3"), ("M8[s]", "datetime64[s]")])
def test_values_that_are_no_real_numbers_are_refused(numpy_file, dtype, came):
    error = refused(numpy_file(np.zeros((20, 20), dtype)))
    assert (error.key, error.values["came"]) == ("type", came)


@pytest.mark.parametrize(("shape", "came"), [((), "1"), ((400,), "400"), ((2, 20, 20, 3), "2 × 20 × 20 × 3")])
def test_arrays_of_other_than_two_or_three_axes_are_refused(numpy_file, shape, came):
    error = refused(numpy_file(np.zeros(shape)))
    assert (error.key, error.values["came"]) == ("shape", came)


def test_a_tiff_of_several_colour_pages_is_refused(tiff_file):
    assert refused(tiff_file(np.zeros((4, 20, 20, 3), np.uint8), photometric="rgb")).key == "shape"


def test_more_than_16_bands_are_refused(numpy_file, tiff_file):
    assert refused(numpy_file(np.zeros((20, 30, 17)))).key == "too_many"
    assert refused(tiff_file(np.zeros((17, 20, 30), np.uint8), photometric="minisblack")).key == "too_many"


@pytest.mark.parametrize("shape", [(7, 30, 3), (3, 30, 7), (7, 40), (0, 0), (20, 20, 0)])
def test_a_picture_too_small_is_refused(numpy_file, shape):
    assert refused(numpy_file(np.zeros(shape))).key == "too_small"


def test_infinite_values_are_counted(numpy_file):
    content = np.zeros((20, 20, 2), np.float32)
    content[:2, 0, 0] = math.inf
    error = refused(numpy_file(content))
    assert (error.key, error.values["count"]) == ("not_finite", 2)


def test_what_was_never_measured_is_filled_and_does_not_count(numpy_file):
    content = np.random.default_rng(0).uniform(0, 3000, (20, 20, 2)).astype(np.float32)
    whole = open_bands(numpy_file(content))
    content[:5] = math.nan
    opened = open_bands(numpy_file(content))
    assert (whole.missing, opened.missing) == (0, 200)
    assert opened.divisor == pytest.approx(np.percentile(content[5:], 99.9))
    np.testing.assert_array_equal(opened.values[:, 5:], (content[5:] / opened.divisor).clip(0, 1).transpose(2, 0, 1))
    assert (opened.values[:, :5] > 0.1).all() and (opened.values[:, :5] < 0.9).all()  # means of many


@pytest.mark.parametrize("wrong", [-9999.0, 6e6, np.finfo(np.float32).min])
def test_a_value_that_no_sensor_meant_does_not_spread_over_what_is_missing(numpy_file, wrong):
    content = np.random.default_rng(0).uniform(2000, 5000, (64, 64, 3)).astype(np.float32)
    content[:, 8:16] = math.nan
    content[31, 7] = wrong
    values = open_bands(numpy_file(content), scale=10_000).values
    assert np.isfinite(values).all()
    assert (np.abs(values[:, :, 8:16].mean(axis=1) - 0.35) < 0.05).all()


def test_a_dead_band_stays_dead_where_some_of_it_was_not_measured(numpy_file):
    content = np.random.default_rng(0).uniform(0, 3000, (20, 20, 3)).astype(np.float32)
    content[..., 1] = 1000.1
    content[:7] = content[3:5, :, 2] = math.nan
    opened = open_bands(numpy_file(content), scale=10_000)
    assert len(np.unique(opened.values[1])) == 1 < len(np.unique(opened.values[2]))
    content[...] = 1000.1
    content[:7] = math.nan
    assert refused(numpy_file(content)).key == "constant"
    with pytest.raises(BandFileError) as caught:
        open_bands(numpy_file(content), scale=10_000)
    assert caught.value.key == "constant"


@pytest.mark.parametrize(
    ("dtype", "no_data", "hole"),
    [
        (np.uint16, "65535", 65535), (np.int16, "-9999", -9999), (np.uint8, "255", 255), (np.float32, "nan", math.nan),
        (np.float32, "-3.4028234663852886e+38", np.finfo(np.float32).min), (np.float64, " -9999 ", -9999),
    ],
)  # fmt: skip
def test_the_value_that_gdal_writes_for_no_data_is_missing(tiff_file, dtype, no_data, hole):
    content = np.random.default_rng(0).integers(1, 250, (20, 30, 2)).astype(dtype)
    content[:4, :, 0] = hole
    path = tiff_file(
        content, photometric="minisblack", planarconfig="contig", extratags=[(GDAL_NODATA, "s", 0, no_data, True)]
    )
    opened = open_bands(path)
    assert opened.missing == 120
    measured = opened.values[0, 4:]
    assert (opened.values[0, :4] >= measured.min()).all() and (opened.values[0, :4] <= measured.max()).all()
    assert opened.divisor <= 255
    np.testing.assert_array_equal(opened.values[0, 4:] > 0, True)


@pytest.mark.parametrize("no_data", ["-1", "70000", "1e40", "1.8e308", "none", ""])
def test_a_value_for_no_data_that_no_pixel_has_changes_nothing(tiff_file, array, no_data):
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    path = tiff_file(array, extratags=[(GDAL_NODATA, "s", 0, no_data, True)], **options)
    opened = open_bands(path)
    assert opened.missing == 0
    np.testing.assert_allclose(opened.values, array.transpose(2, 0, 1) / 255, atol=1e-6)


def test_a_picture_without_any_value_is_refused(numpy_file):
    assert refused(numpy_file(np.full((20, 20), math.nan))).key == "empty"


def test_a_picture_without_light_is_refused(numpy_file):
    assert refused(numpy_file(np.full((20, 20), -3.0))).key == "dark"
    assert refused(numpy_file(np.random.default_rng(0).random((20, 20)).astype(np.float32) * 1e-20)).key == "dark"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("value", [0, 1])
def test_a_picture_of_constant_bands_is_refused(numpy_file, dtype, value):
    content = np.full((20, 20, 3), value, dtype)
    assert refused(numpy_file(content)).key in ("constant", "dark")
    content[0] = not value
    assert open_bands(numpy_file(content)).values.shape == (3, 20, 20)


def test_a_tiff_of_height_width_bands_is_read(tiff_file):
    content = np.random.default_rng(0).integers(0, 255, (64, 60, 5)).astype(np.uint8)  # written as 64 pages
    np.testing.assert_allclose(
        open_bands(tiff_file(content, photometric="minisblack")).values, content.transpose(2, 0, 1) / 255, atol=1e-6
    )


def test_as_many_bands_as_expected_are_read(numpy_file):
    content = np.random.default_rng(0).random((20, 40, 30))
    path = numpy_file(content)
    assert refused(path).key == "too_many"
    np.testing.assert_allclose(open_bands(path, bands=20).values, content, atol=1e-6)  # 20 bands of 40 x 30
    assert open_bands(path, bands=30).values.shape == (30, 20, 40)


def test_the_expected_number_of_bands_finds_their_axis(numpy_file):
    small = np.random.default_rng(0).random((13, 16, 16))
    assert open_bands(numpy_file(small), bands=13).values.shape == (13, 16, 16)
    assert open_bands(numpy_file(small)).values.shape == (16, 13, 16)  # as a picture of 13 x 16 pixels
    assert open_bands(numpy_file(small.transpose(1, 2, 0)), bands=13).values.shape == (13, 16, 16)


@pytest.mark.parametrize("name", ["nothere.tif", "nothere.npy"])
def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path, name):
    error = refused(tmp_path / name)
    assert (error.key, error.values["came"]) == ("missing", name)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_a_tiff_may_say_what_its_bands_are(tiff_file, array, planarconfig):
    content = array if planarconfig == "contig" else array.transpose(2, 0, 1)
    tags = band_tag("nir", None, "Red")
    path = tiff_file(content, photometric="minisblack", planarconfig=planarconfig, extratags=tags)
    assert open_bands(path).names == names_in(path) == ("NIR", "?", "R", "?", "?")


def test_a_tiff_may_say_what_makes_its_values_physical(tiff_file, array):
    stored = array[..., :2].astype(np.uint16) * 30
    stored[0, 0] = 0
    tags = [*band_tag(0.0001, 0.00005, item="SCALE"), (GDAL_NODATA, "s", 0, "0", True)]
    opened = open_bands(path := tiff_file(stored, photometric="minisblack", planarconfig="contig", extratags=tags))
    expected = (stored * [0.0001, 0.00005]).transpose(2, 0, 1)
    measured = stored.transpose(2, 0, 1) > 0
    np.testing.assert_allclose(opened.values[measured], expected[measured], atol=1e-6)
    assert (opened.calibrated, opened.scaling, opened.dtype, opened.missing) == (
        True,
        "scaled_not",
        "uint16",
        (stored == 0).sum(),
    )
    raw = open_bands(path, scale=10_000)  # whoever says a scale means what is stored
    np.testing.assert_allclose(raw.values[measured], stored.transpose(2, 0, 1)[measured] / 10_000, atol=1e-6)
    assert not raw.calibrated


def test_offsets_count_and_missing_values_are_filled_after_them(tiff_file):
    stored = np.arange(1000, 1400, dtype=np.uint16).reshape(20, 20, 1).repeat(2, axis=2)
    stored[0, 0] = 9
    tags = [*band_tag(None, -1000, item="OFFSET"), (GDAL_NODATA, "s", 0, "9", True)]
    opened = open_bands(tiff_file(stored, photometric="minisblack", planarconfig="contig", extratags=tags))
    assert opened.divisor == pytest.approx(1399, abs=1)
    measured = stored[..., 1] > 9
    np.testing.assert_allclose(
        opened.values[1][measured] * opened.divisor, stored[..., 1][measured] - 1000.0, atol=1e-2
    )
    around = stored[:2, :2, 1].astype(float).ravel()[1:] - 1000  # of the same four pixels
    assert opened.values[:, 0, 0] * opened.divisor == pytest.approx([around.mean() + 1000, around.mean()], abs=1e-2)


def test_a_scale_without_end_is_refused_in_words(tiff_file, array):
    tags = band_tag("1e38", "1e38", item="SCALE")
    content = array[..., :2].astype(np.uint16) * 100
    assert (
        refused(tiff_file(content, photometric="minisblack", planarconfig="contig", extratags=tags)).key == "not_finite"
    )


def test_names_are_none_where_the_file_has_none_or_is_no_tiff(tiff_file, numpy_file, array, tmp_path):
    plain, numbers = tiff_file(array, photometric="minisblack"), numpy_file(array)
    assert open_bands(plain).names == open_bands(numbers).names == names_in(plain) == names_in(numbers) == ()
    (tmp_path / "broken.tif").write_bytes(b"II*")
    assert names_in(tmp_path / "broken.tif") == names_in(tmp_path / "missing.tif") == ()


def test_names_of_pages_and_of_more_bands_than_there_can_be_are_not_read(tiff_file, array):
    tags = band_tag("nir")
    pages = tiff_file(array.transpose(2, 0, 1), photometric="minisblack", extratags=tags)
    assert open_bands(pages).names == names_in(pages) == ()
    many = tiff_file(np.zeros((20, 30, 40), np.uint8), photometric="minisblack", planarconfig="contig", extratags=tags)
    assert names_in(many) == ()
