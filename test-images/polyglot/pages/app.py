"""The interface pages of run-wasm:demo: a template, filled with text that is never taken for HTML."""

from html import escape
from pathlib import Path
from string import Template

from wit_world import exports
from wit_world.exports.pages import Visit

# Read when the component is built: what it runs on has no such file.
PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


class Pages(exports.Pages):
    def render(self, visit: Visit) -> str:
        return PAGE.substitute(subject=escape(visit.subject), path=escape(visit.path), minutes=visit.minutes_left)
