"""Small pieces of HTML the views share. Text is escaped here, once."""

import base64
import io
from html import escape

from PIL import Image


def tag(name: str, *children: str, **attributes: object) -> str:
    """An element; ``class_`` and ``aria_label`` style names lose the underscore. Children are HTML."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{named}>{''.join(children)}</{name}>"


def picture(image: Image.Image, alt: str, format: str = "png", **attributes: object) -> str:
    """An ``<img>`` that carries its own data: exact (``png``) or small (``jpeg``)."""
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 85} if format == "jpeg" else {"compress_level": 1}))
    data = base64.b64encode(buffer.getvalue()).decode()
    return tag("img", src=f"data:image/{format};base64,{data}", alt=alt, **attributes).removesuffix("</img>")


def table(head: list[str], rows: list[list[str]], *, name: str, class_: str = "table") -> str:
    """A table whose first column heads its rows. ``head`` and ``rows`` are HTML, ``name`` is told to screen readers."""
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
            tag(
                "tbody", *(tag("tr", tag("th", row[0], scope="row"), *(tag("td", c) for c in row[1:])) for row in rows)
            ),
            class_=class_,
        ),
        class_="scroll",
        tabindex="0",  # a wide table scrolls by keyboard, too
        role="group",
        aria_label=name,
    )


def card(title: str, *children: str, class_: str = "", badge: str = "") -> str:
    """A titled box. ``title`` is text, the rest HTML."""
    head = tag("header", tag("h2", escape(title)), badge)
    return tag("section", head, *children, class_=f"card {class_}".strip(), aria_label=title)


def bar(share: float, class_: str = "") -> str:
    """A bar that is filled to ``share``, 0..1."""
    return tag("span", class_=f"bar {class_}".strip(), style=f"--share:{share:.4f}")


def percent(share: float) -> str:
    """0.8312 → ``83.1 %``."""
    return f"{share * 100:.1f} %"


def signed(value: float, digits: int) -> str:
    """-0.071 → ``−0.07``: with a sign, which is a minus and no hyphen."""
    return f"{value:+.{digits}f}".replace("-", "−")
