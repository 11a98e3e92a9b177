"""The tag in which GDAL tells of the bands of a TIFF."""

from models.band_tags import GDAL_METADATA


def band_tag(*texts: str | float | None, item: str = "DESCRIPTION") -> list[tuple]:
    """``extratags`` of ``tifffile.imwrite`` that describe the bands, or say their ``SCALE`` or ``OFFSET``, None leaving
    one out."""
    items = "".join(
        f'<Item name="{item}" sample="{place}" role="{item.lower()}">{text}</Item>'
        for place, text in enumerate(texts)
        if text is not None
    )
    return [(GDAL_METADATA, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
