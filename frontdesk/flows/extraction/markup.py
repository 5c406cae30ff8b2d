"""HTML and Markdown (by way of HTML): headings, paragraphs, lists, tables. What a reader of the page does not see is left out."""

import re
from html.parser import HTMLParser
from pathlib import Path

from frontdesk.flows.extraction import Unreadable
from frontdesk.flows.extraction.plain import decoded, tidy

UNSEEN = {"script", "style", "noscript", "template", "svg", "math", "iframe", "object", "nav", "form", "button", "select", "dialog", "head", "canvas"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "header", "html", "hr", "main", "ol", "p", "pre", "section", "summary", "table", "ul",
}  # fmt: skip
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])", re.IGNORECASE)
CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([\w-]{2,30})""", re.IGNORECASE)
DEEPEST = 500


def read(path: str, kind: str, tell) -> None:
    stored = Path(path).read_bytes()
    if kind == "markdown":
        tell_html(_from_markdown(decoded(stored)), tell)
        return
    named = CHARSET.search(stored[:4000])
    tell_html(_in_charset(stored, named[1].decode()) if named else decoded(stored), tell)


def _from_markdown(text: str) -> str:
    from markdown_it import MarkdownIt

    front_matter = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    return MarkdownIt("commonmark").enable("table").render(text[front_matter.end() :] if front_matter else text)


def _in_charset(stored: bytes, name: str) -> str:
    try:
        return stored.decode(name)
    except (LookupError, UnicodeDecodeError):
        return decoded(stored)


def tell_html(html: str, tell) -> None:
    page = _Page(tell)
    page.feed(html)
    page.close()
    page.end_section()


class _Page(HTMLParser):
    """Tells a section whenever a heading begins."""

    def __init__(self, tell):
        super().__init__(convert_charrefs=True)
        self.tell = tell
        self.headings: list[tuple[int, str]] = []
        self.words: list[str] = []
        self.open: list[tuple[str, bool]] = []  # elements, and whether each hides what it holds
        self.hidden = 0
        self.heading: int | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.words.append("\n")
        elif tag == "img":
            self._add_text(dict(attributes).get("alt") or "")
        if tag in VOID:
            return
        if len(self.open) > DEEPEST:
            raise Unreadable("its elements are nested too deeply; save it anew and try that file")
        hides = tag in UNSEEN or _is_hidden(dict(attributes))
        self.open.append((tag, hides))
        self.hidden += hides
        if self.hidden:
            return
        if tag in HEADINGS and self.heading is None:
            self.end_section()
            self.heading = int(tag[1])
        elif tag == "li":
            self._break("\n- ")
        elif tag == "tr":
            self._break("\n")
        elif tag in BLOCKS:
            self._break("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag not in {name for name, _ in self.open[-20:]}:
            return
        while self.open:
            name, hides = self.open.pop()
            self._ended(name)
            self.hidden -= hides
            if name == tag:
                return

    def _ended(self, tag: str) -> None:
        if self.hidden:
            return
        if tag in HEADINGS and self.heading is not None:
            self._keep_heading()
        elif tag in ("td", "th"):
            self.words.append(" | ")
        elif tag in BLOCKS:
            self._break("\n\n")

    def _break(self, text: str) -> None:
        """A row of a table stays on one line whatever its cells hold."""
        inside_cell = any(tag in ("td", "th") for tag, _ in self.open[-4:])
        self.words.append(" " if inside_cell else text)

    def _keep_heading(self) -> None:
        text = " ".join("".join(self.words).split())
        self.words.clear()
        self.headings = [kept for kept in self.headings if kept[0] < self.heading]
        if text:
            self.headings.append((self.heading, text[:200]))
        self.heading = None

    def handle_data(self, data: str) -> None:
        inside_pre = any(tag == "pre" for tag, _ in self.open[-4:])
        self._add_text(data if inside_pre else re.sub(r"\s+", " ", data))

    def _add_text(self, text: str) -> None:
        if not self.hidden:
            self.words.append(text)

    def end_section(self) -> None:
        text = tidy("".join(self.words))
        text = tidy(re.sub(r"^- \s*", "- ", re.sub(r"(?: ?\|)+$", "", text, flags=re.MULTILINE), flags=re.MULTILINE))
        self.words.clear()
        if text:
            self.tell(headings=[heading for _, heading in self.headings], page=None, text=text)


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or attributes.get("aria-hidden") == "true" or bool(HIDDEN.search(attributes.get("style") or ""))
