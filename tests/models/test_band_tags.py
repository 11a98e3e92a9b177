"""What GDAL writes into a TIFF about its bands."""

import pytest

from models.band_tags import band_names
from models.bands import parse_bands

ROLE = ' role="description"'


def metadata(*bands: dict[str, str]) -> str:
    """The XML of a tag whose items are given band by band."""
    items = "".join(
        f'<Item name="{name}" sample="{place}"{ROLE if name == "DESCRIPTION" else ""}>{text}</Item>'
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
        ("500000 nm", "?"),
        ("", "?"),
    ],
)
def test_descriptions_that_mean_one_band_are_known(description, name):
    names = band_names(metadata({"DESCRIPTION": description}, {"DESCRIPTION": "green"}), 2)
    assert names == (name, "G")
    assert parse_bands(names) == names


def test_a_wavelength_counts_before_a_name():
    names = band_names(
        metadata(
            {"DESCRIPTION": "NIR", "CENTRAL_WAVELENGTH_UM": "0.865"},
            {"BANDNAME": "B4", "WAVELENGTH": "665", "WAVELENGTH_UNIT": "nm"},
            {"WAVELENGTH": "0.56", "WAVELENGTH_UNITS": "Micrometers"},
            {"DESCRIPTION": "blue", "CENTRAL_WAVELENGTH_UM": "0", "WAVELENGTH": "490"},
        ),
        4,
    )
    assert names == ("0.865", "0.665", "0.56", "B")


def test_a_name_that_several_bands_have_says_nothing():
    several = metadata({"DESCRIPTION": "red edge"}, {"DESCRIPTION": "Red-Edge"}, {"DESCRIPTION": "nir"})
    assert band_names(several, 3) == ("?", "?", "NIR")


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
    assert band_names(text, 2) == ()
