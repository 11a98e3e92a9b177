"""What happens in the browser alone: small programs in JavaScript that events of the page run."""

import json

from demo import view
from demo.text import CHINESE, LANGUAGES, say
from demo.widgets import COPY

# A visitor arrives. Gradio names the page's language after the browser, whatever ours is, gives its groups no name,
# does not say which sections are open, and calls the field for a file otherwise than it reads. Paper is white.
ARRIVED = f"""() => {{
  window.arrived = true;
  const chinese = {[name.lower() for name in CHINESE]}.includes(navigator.language.toLowerCase());
  document.documentElement.lang = chinese ? 'zh-TW' : 'en';
  const tell = () => {{
    for (const group of document.querySelectorAll('fieldset'))
      group.ariaLabel ??= group.querySelector('[data-testid="block-info"]')?.textContent.trim();
    for (const button of document.querySelectorAll('.results-section > button')) {{
      button.ariaExpanded = button.classList.contains('open');
      button.querySelector('.icon').ariaHidden = true;
    }}
    for (const field of document.querySelectorAll('.upload-container')) field.removeAttribute('aria-label');
  }};
  tell();
  new MutationObserver(tell).observe(document.body, {{childList: true, subtree: true, attributeFilter: ['class']}});
  const look = document.body.classList;
  let dark = false;
  window.addEventListener('beforeprint', () => {{ dark = look.contains('dark'); look.remove('dark'); }});
  window.addEventListener('afterprint', () => look.toggle('dark', dark));
}}"""
# A link → the address. A Space's page on the Hub hands its own query to the app that it frames, so it learns it, too,
# without what the Hub adds by itself (__sign, __theme).
SHOW = """link => {
  window.history.replaceState(null, '', link);
  if (window.top === window || !link.hostname.endsWith('.hf.space')) return;
  const query = new URLSearchParams([...link.searchParams].filter(([name]) => !name.startsWith('__')));
  window.parent.postMessage({queryString: `${query}`}, 'https://huggingface.co');
}"""
# A query → the address, which keeps what that does not say: no channels are no view, so the last ones stay.
KEEP_VIEW = f"""query => {{
  const link = new URL(window.location.href);
  for (const [name, value] of new URLSearchParams(query)) link.searchParams.set(name, value);
  ({SHOW})(link);
}}"""
COPY_LINK = f"""async query => {{
  const link = new URL(query, window.location.href);
  ({SHOW})(link);
  const copied = await ({COPY})(link.href), shown = window.top === window;
  return copied && shown ? 'both' : copied ? 'copied' : shown ? 'shown' : 'neither';
}}"""
# What a page was asked about (a file by its path), and no answer if by now it says something else.
ASKED = "JSON.stringify(inputs.map(value => value?.path ?? value))"


def note(page: str) -> str:
    return f"(...inputs) => {{ (window.asked ??= {{}}).{page} = {ASKED}; return inputs; }}"


def drop_outdated(page: str) -> str:
    return f"(...inputs) => {{ if (window.asked.{page} !== {ASKED}) return ['', '']; }}"


def empty(outputs: int) -> str:
    return f"() => Array({outputs}).fill('')"


def failed(outputs: int, *, notices: int = 1) -> str:
    """No answer came, from a full queue, say → a notice of that, or several, and no older answer."""
    said = {language: view.notice(say(language, "unanswered"), "warning") for language in LANGUAGES}
    return f"""() => {{
      const said = {json.dumps(said)}[document.documentElement.lang];
      return Array({outputs}).fill(said, 0, {notices}).fill('', {notices});
    }}"""


def keep(page: str) -> str:
    """The address names the page, once it has opened where the address said."""
    return f"() => {{ if (window.arrived) ({KEEP_VIEW})('tab={page}'); }}"
