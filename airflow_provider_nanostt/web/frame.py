"""The frame around what is shown: it follows Airflow's theme, and has the buttons that a sandboxed page cannot have.

It has the origin of Airflow, so nothing untrusted is in it: neither names nor texts, only addresses that are made here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Transcript</title>
<style nonce="{{ nonce }}">
:root { color-scheme: light dark; }
body { font: 100%/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
:root.light { color-scheme: light; }
:root.dark { color-scheme: dark; }
body { margin: 0; block-size: 100dvh; display: flex; flex-direction: column;
  background: light-dark(#fdfcfa, #15171b); color: light-dark(#1d1f24, #e6e4df); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: .25rem 1.25rem; font-size: .875rem;
  border-block-end: 1px solid light-dark(#e4e1da, #31353d); }
nav a { color: light-dark(#2457b8, #9bbcff); padding-block: .25rem; }
iframe { flex: 1; border: 0; inline-size: 100%; min-block-size: 0; }
</style>
</head>
<body>
{% if buttons %}
<nav aria-label="Transcript">
{% for one in buttons %}
<a href="{{ one.address }}"{% if one.is_inside %} data-inside{% endif %}>{{ one.label }}</a>
{% endfor %}
</nav>
{% endif %}
<iframe name="shown" title="{{ title }}" data-address="{{ address }}"></iframe>
<script nonce="{{ nonce }}">
"use strict";
const root = document.documentElement, frame = document.querySelector("iframe");
const outer = (() => {
  try { return parent === window ? null : parent.document.documentElement; } catch { return null; }
})();
const themed = (address, theme) => {
  const url = new URL(address, location.href);
  if (theme) url.searchParams.set("theme", theme); else url.searchParams.delete("theme");
  return url.href;
};
let theme = null, shown = frame.dataset.address;
const follow = () => {
  const now = ["dark", "light"].find((name) => outer?.classList.contains(name)) ?? "";
  if (now === theme) return;
  theme = now;
  root.classList.remove("dark", "light");
  if (theme) root.classList.add(theme);
  for (const link of document.links) link.href = themed(link.href, theme);
  frame.src = themed(shown, theme);
};
// Not by a target: frames are in frames, and a name is looked for from the outside.
for (const link of document.querySelectorAll("[data-inside]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    frame.src = shown = link.href;
  });
}
follow();
if (outer) new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class"] });
</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Button:
    """A link in the frame's bar.

    :param address: relative to the frame's own.
    :param is_inside: whether it changes what the frame shows, rather than leaving the frame.
    """

    label: str
    address: str
    is_inside: bool = True


def frame_page(address: str, nonce: str, *, title: str = "Transcript", buttons: Sequence[Button] = ()) -> str:
    """Return a frame as an HTML page.

    :param address: of what it shows at first, relative to its own.
    """
    return _template().render(address=address, nonce=nonce, title=title, buttons=buttons)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(_FRAME)
