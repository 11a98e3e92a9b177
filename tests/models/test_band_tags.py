"""What GDAL writes into a TIFF about its bands."""

import pytest

from models.band_tags import ROLES, band_names, calibration, read_items
from models.bands import parse_bands

ROLE = ' role="description"'


def metadata(*bands: dict[str, str]) -> str:
    """The XML of a tag whose items are given band by band."""
    items = "".join(
        f'<Item name="{name}" sample="{place}" role="{name.lower() if name in ROLES else ""}">{text}</Item>'
        for place, band in enumerate(bands)
        for name, text in band.items()
    )
    return f'<GDALMetadata><Item name="AREA">of the whole file</Item>{items}</GDALMetadata>\n\0'


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("red", "R"),
        ("B", "B"),
        ("Near infrared", "NIR"),
        ("near-infrared", "NIR"),
        ("Red Edge", "REDEDGE"),
        ("SWIR_1", "SWIR1"),
        ("coastal aerosol", "COASTAL"),
        ("842 nm", "0.842"),
        ("0.74 µm", "0.74"),
        ("0.74um", "0.74"),
        ("0.74 μm", "0.74"),  # the other character
        ("swir22", "SWIR2"),
        ("B4, central wavelength 665 nm", "0.665"),  # as of Sentinel-2
        ("Band 8 (842.0 Nanometers)", "0.842"),  # as of ENVI
        ("B4", "?"),  # red on one satellite, near infrared on another
        ("Band 1", "?"),
        ("842", "?"),  # of what?
        ("842 nm wide", "?"),
        ("Blue (0.45-0.52 µm)", "0.485"),
        ("Red 630–680 nm", "0.655"),
        ("630 nm to 680 nm", "0.655"),
        ("B8-842 nm", "0.842"),
        ("B8_842nm", "0.842"),
        ("665 ± 15 nm", "?"),
        ("0,49 µm", "?"),
        ("Band 12 - 2190 nm", "?"),  # too broad for a band
        ("665 nm, FWHM 30 nm", "?"),
        ("width 300 nm", "?"),
        ("9" * 10_000, "?"),
        ("665" + " " * 10_000 + "nm", "?"),
        ("500000 nm", "?"),
        ("", "?"),
    ],
)
def test_descriptions_that_mean_one_band_are_known(description, name):
    names = band_names(read_items(metadata({"DESCRIPTION": description}, {"DESCRIPTION": "green"})), 2)
    assert names == (name, "G")
    assert parse_bands(names) == names


def test_a_wavelength_counts_before_a_name():
    text = metadata(
        {"DESCRIPTION": "NIR", "CENTRAL_WAVELENGTH_UM": "0.865"},
        {"BANDNAME": "B4", "WAVELENGTH": "665", "WAVELENGTH_UNIT": "nm"},
        {"WAVELENGTH": "0.56", "WAVELENGTH_UNITS": "Micrometers"},
        {"DESCRIPTION": "blue", "CENTRAL_WAVELENGTH_UM": "0", "WAVELENGTH": "490"},
    )
    assert band_names(read_items(text), 4) == ("0.865", "0.665", "0.56", "B")


def test_a_name_that_several_bands_have_says_nothing():
    several = metadata({"DESCRIPTION": "red edge"}, {"DESCRIPTION": "Red-Edge"}, {"DESCRIPTION": "nir"})
    assert band_names(read_items(several), 3) == ("?", "?", "NIR")


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"<GDALMetadata/>",
        "",
        "no XML",
        "<GDALMetadata>",
        "<GDALMetadata/>",
        metadata({"DESCRIPTION": "Band 1"}),
        '<!DOCTYPE x [<!ENTITY red "red">]>' + metadata({"DESCRIPTION": "&red;"}),
        f'<GDALMetadata><Item name="DESCRIPTION" sample="x"{ROLE}>red</Item></GDALMetadata>',
        f'<GDALMetadata><Item name="DESCRIPTION" sample="{"9" * 5000}"{ROLE}>red</Item></GDALMetadata>',
        '<GDALMetadata><Item name="Description" sample="0">red</Item></GDALMetadata>',  # anybody's
        metadata({}, {}, {}, {"DESCRIPTION": "red"}),  # of a band that the file has not
    ],
)
def test_where_nothing_is_known_there_are_no_names(text):
    assert band_names(read_items(text), 2) == ()


@pytest.mark.parametrize(
    ("scales", "offsets", "found"),
    [
        (("0.0001", "0.0001"), ("-0.1", "0"), ((0.0001, 0.0001), (-0.1, 0.0))),
        (("0.01", None), (None, None), ((0.01, 1.0), (0.0, 0.0))),
        ((None, None), (None, "5"), ((1.0, 1.0), (0.0, 5.0))),
        (("1", "1"), ("0", "0"), None),
        ((None, None), (None, None), None),
        (("0", "1"), (None, None), None),
        (("nan", "1"), (None, None), None),
        (("1e400", "1"), (None, None), None),
        (("0.01", "small"), (None, None), None),
    ],
)
def test_scales_and_offsets_are_read_where_all_are_numbers(scales, offsets, found):
    bands = [{"SCALE": scale, "OFFSET": offset} for scale, offset in zip(scales, offsets, strict=True)]
    said = [{name: value for name, value in band.items() if value is not None} for band in bands]
    assert calibration(read_items(metadata(*said)), 2) == found


def test_anybodys_item_called_scale_says_nothing():
    text = '<GDALMetadata><Item name="SCALE" sample="0">7</Item></GDALMetadata>'
    assert calibration(read_items(text), 1) is None
