"""The tag in which GDAL names the bands of a TIFF."""

from models.band_tags import GDAL_METADATA


def band_tag(*descriptions: str | None) -> list[tuple]:
    """``extratags`` of ``tifffile.imwrite`` that describe the bands, None leaving one out."""
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{place}" role="description">{text}</Item>'
        for place, text in enumerate(descriptions)
        if text is not None
    )
    return [(GDAL_METADATA, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
