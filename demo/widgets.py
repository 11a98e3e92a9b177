"""The page's own components: a picture input that takes any file, a log slider, clickable HTML.

Functions where they can be: for each subclass Gradio writes into a ``.pyi`` file beside the source.
"""

from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_base64_to_cache

from demo.pictures import MAX_MEGABYTES
from demo.text import say

# Text → whether it is in the clipboard now. Pages over plain http have no navigator.clipboard.
COPY = """async text => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea'), focused = document.activeElement;
    area.value = text;
    area.style = 'position: fixed; opacity: 0';
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    focused?.focus();
    return copied;
  }
}"""
PICKED = "document.querySelector('[data-point]').dataset.point"  # "x y", both in 0..1


class PictureInput(gr.Image):
    """An image upload that hands over the file's path untouched, for ``pictures.open_picture``.

    Gradio's own decoding would drop transparency, clip 16 bits, and answer a corrupt file with
    a path on the server. Programs may also send the picture itself, as a ``data:`` URL. A path outside the folder of
    uploads is answered as one of a deleted file: what else is on the server is nobody's business.
    """

    is_template = True  # the front end shows it as a plain Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload and not payload.path and (payload.url or "").startswith("data:"):
            return self.kept(payload.url)
        path = payload.path if payload else None
        # Gradio itself checks only paths that come with its mark of a file, which a program may leave out.
        if path and not Path(path).resolve().is_relative_to(Path(self.GRADIO_CACHE).resolve()):
            raise gr.Error(say("en", "file_gone"), print_exception=False)
        return path

    def kept(self, url: str) -> str:
        """The file of a ``data:`` URL, deleted with the uploads. Raises ``gr.Error``."""
        if len(url) > MAX_MEGABYTES * 1e6 * 4 / 3:
            raise gr.Error(
                say("en", "file_too_large", came=f"{len(url) * 3 / 4e6:.1f}", limit=MAX_MEGABYTES),
                print_exception=False,
            )
        try:
            path = save_base64_to_cache(url, cache_dir=self.GRADIO_CACHE)
        except (ValueError, IndexError) as error:  # binascii.Error is a ValueError
            raise gr.Error(say("en", "picture_unreadable"), print_exception=False) from error
        self.temp_files.add(path)
        return path


def log_slider(*, minimum: float, maximum: float, **options) -> gr.HTML:
    """A slider from ``minimum`` to ``maximum`` on a logarithmic scale; its value is the number shown."""
    template = """
    <label class="log-slider">
      <span>${label}</span>
      <output aria-live="off">τ = ${Number(value).toPrecision(2)}</output>
      <input type="range" min="0" max="1" step="0.01" value="${Math.log(value / minimum) / Math.log(maximum / minimum)}"
             aria-label="${label}" aria-valuetext="τ = ${Number(value).toPrecision(2)}">
    </label>"""
    script = """
    element.addEventListener('input', event => {
      const scale = props.maximum / props.minimum;
      props.value = Number((props.minimum * scale ** Number(event.target.value)).toPrecision(2));
      trigger('input');
    });"""
    return html(1.0, template, script, minimum=minimum, maximum=maximum, **options)


def example_gallery() -> gr.HTML:
    """Buttons with a ``data-name``; its ``select`` event has the ``name`` of the one chosen."""
    script = """
    element.addEventListener('click', event => {
      const button = event.target.closest('button[data-name]');
      if (button) trigger('select', {name: button.dataset.name});
    });"""
    return html("", "${value}", script)


def point_picker() -> gr.HTML:
    """A ``.canvas`` in which a point is chosen by click or arrow keys: ``select`` says that it was, ``PICKED`` which.

    The event does not carry the point: of a run that waits for another, Gradio keeps the first event's data, not the
    last one's.
    """
    script = """
    let point = {x: 0.5, y: 0.5};
    const choose = (x, y) => {
      const clip = share => Math.min(Math.max(share, 0), 0.999);
      point = {x: clip(x), y: clip(y)};
      element.dataset.point = `${point.x} ${point.y}`;
      trigger('select');
    };
    element.addEventListener('click', event => {
      const canvas = event.target.closest('.canvas');
      if (!canvas) return;
      const box = canvas.getBoundingClientRect();
      choose((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    });
    element.addEventListener('keydown', event => {
      const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (!step || !event.target.closest('.canvas')) return;
      event.preventDefault();
      choose(point.x + step[0] / 16, point.y + step[1] / 16);
    });"""
    return html("", "${value}", script)


def notice_slot(value="", *, elem_classes="notice-slot") -> gr.HTML:
    """Where notices stand. It is there before they are, as screen readers need to notice that they changed."""
    template = '<div role="status">${value}</div>'
    return gr.HTML(value, html_template=template, elem_classes=elem_classes)


def copyable() -> gr.HTML:
    """Figures of code with a button each, which copies it and for a while is called by its ``data-done``."""
    script = (
        f"const copy = {COPY};"
        + """
    element.addEventListener('click', async event => {
      const button = event.target.closest('.code button:not(.done)');
      if (!button || !await copy(button.closest('.code').querySelector('code').innerText)) return;
      const name = button.ariaLabel;
      button.classList.add('done');
      button.ariaLabel = button.dataset.done;
      setTimeout(() => { button.classList.remove('done'); button.ariaLabel = name; }, 1500);
    });"""
    )
    return html("", "${value}", script)


def html(value, template: str, script: str, **options) -> gr.HTML:
    return gr.HTML(value, html_template=template, js_on_load=script, apply_default_css=False, **options)
