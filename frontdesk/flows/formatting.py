"""What a model writes (Markdown) as WhatsApp shows it, cut into messages that WhatsApp takes.

The text is parsed as CommonMark with strikethrough and tables, and the tokens are written out with WhatsApp's marks: *bold*,
_italic_, ~struck~, ```mono```. A paragraph without any Markdown is copied from the source, so plain text comes out as it went in.

Where Markdown and WhatsApp collide:
- `*word*` is emphasis in CommonMark and bold in WhatsApp. It becomes _word_: models write Markdown unless a prompt forbids it,
  and either reading keeps the word stressed. So this runs once over an answer, never over its own output.
- WhatsApp reads marks only at the borders of words and within one line. Marks inside a word are dropped (**Montag**s) or, where
  they are more likely arithmetic, kept (3*4*5); marks around several lines are repeated on each.
- Indented code, underlined headings, reference links and HTML blocks are not read: in a chat they are indentation, dashes,
  footnotes and placeholders like <name>. Only tags that HTML knows are dropped.
"""

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode

from frontdesk.flows.splitting import split_text

__all__ = ["split_text", "whatsapp_text"]

MARKS = {"strong": "*", "em": "_", "s": "~"}
# markdown-it leaves out what is nested deeper than this; Python's own limit on recursion comes first, and is caught.
DEEPEST = 1000
_TAG = re.compile(
    r"</?(a|abbr|b|blockquote|br|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|q|s"
    r"|samp|small|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul)(?=[\s/>])[^>]*>|<!--.*-->",
    re.IGNORECASE | re.DOTALL,
)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_BARE_URL = re.compile(r"://[^\s<>\[\]`*\\]+")
_TRAILING = "_~\"').,;:!?"
# CommonMark does not close ** after punctuation with a letter behind it ("**Preis:**5 €", "**重点：**内容"); models write it daily.
_LEFT_OVER = re.compile(r"\*\*(?=[^\s*])([^*\n]*[^\s*])\*\*")


def whatsapp_text(markdown: str) -> str:
    """`markdown` with WhatsApp's marks. Blank lines at its start and white space at line ends go; nothing a reader sees does."""
    source = markdown.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    try:
        document = SyntaxTreeNode(_PARSER.parse(source))
    except RecursionError:  # hundreds of nested quotes or brackets: no model's answer, and no reason to lose it
        return source.strip()
    text = "\n".join(_blocks(document.children, source.split("\n")))
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip("\n")


def _bare_url(state: StateInline, silent: bool) -> bool:
    """Takes the rest of a bare URL as text, so that /_a_/ in it is no emphasis. Trailing punctuation is left to the others."""
    if not state.src.endswith(("http", "https"), 0, state.pos):
        return False
    found = _BARE_URL.match(state.src, state.pos, state.posMax)
    url = found[0].rstrip(_TRAILING) if found else ""
    if len(url) <= len("://"):
        return False
    if not silent:
        state.append_pending(url.replace("&amp;", "&"))
    state.pos += len(url)
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": DEEPEST})
    parser.enable(["strikethrough", "table"]).disable(["code", "lheading", "reference", "html_block"])
    parser.inline.ruler.before("text", "bare_url", _bare_url)
    parser.normalizeLink = parser.normalizeLinkText = lambda url: url  # as written: ö stays ö
    return parser


_PARSER = _parser()


# --- blocks ---------------------------------------------------------------------------------------------------------


def _blocks(nodes: list[SyntaxTreeNode], source: list[str]) -> list[str]:
    """The lines of these blocks, with as many blank lines between them as in the source."""
    shown = [(node, lines) for node in nodes if (lines := _block(node, source))]
    if not shown:
        return []
    written = list(shown[0][1])
    for (before, _), (after, lines) in pairwise(shown):
        written += [""] * _blank_lines(before, after, source) + lines
    return written


def _blank_lines(before: SyntaxTreeNode, after: SyntaxTreeNode, source: list[str]) -> int:
    start, end = before.map[1], after.map[0]
    while start > before.map[0] and not source[start - 1].strip(" \t>"):
        start -= 1  # a list's range includes the blank lines behind it
    dropped = any(line.strip(" \t>") for line in source[start:end])  # a rule stood there, or a comment
    return min(end - start, 1) if dropped else end - start


def _block(node: SyntaxTreeNode, source: list[str]) -> list[str]:
    if node.type == "paragraph":
        return _paragraph(node, source)
    if node.type == "heading":
        title = _spans(node.children[0].children, bold=True).strip()
        return [f"*{title}*"] if title else []
    if node.type in ("bullet_list", "ordered_list"):
        return _list(node, source)
    if node.type == "blockquote":
        return [f"> {line}" for line in _blocks(node.children, source)]
    if node.type == "fence":
        return _mono(node.content.rstrip("\n")).split("\n")
    if node.type == "table":
        return _table(node, source)
    return []  # a rule


def _paragraph(node: SyntaxTreeNode, source: list[str]) -> list[str]:
    lines = [line.strip() for line in _spans(node.children[0].children).split("\n")]
    as_written = source[node.map[0] : node.map[1]]
    if node.parent.is_root and lines == [line.strip() for line in as_written]:
        return as_written  # with its indentation
    return [line for line in lines if line]  # what held nothing but tags is gone


def _list(node: SyntaxTreeNode, source: list[str]) -> list[str]:
    """Bullets are •, but "+" stays what it is ("+ 5 € Versand"). Numbers stay as written, unless all are the lazy 1."""
    items = node.children
    lazy = len(items) > 1 and all(item.info == "1" for item in items)
    written = []
    for index, item in enumerate(items):
        if node.type == "ordered_list":
            marker = f"{index + 1 if lazy else item.info}{item.markup} "
        else:
            marker = "+ " if item.markup == "+" else "• "
        first, *rest = _blocks(item.children, source) or [""]
        if index:
            written += [""] * _blank_lines(items[index - 1], item, source)
        written += [marker + first, *(" " * len(marker) + line if line else "" for line in rest)]
    return written


def _table(node: SyntaxTreeNode, source: list[str]) -> list[str]:
    """A line for each row, cells parted by |: a phone has no room for columns.

    Cells beyond the heading's, which Markdown drops, are shown: such a row comes out as it was written.
    """
    lines = []
    for section in node.children:
        for row in section.children:
            heading = section.type == "thead"
            cells = [_spans(cell.children[0].children, bold=heading).replace("\n", " ") for cell in row.children]
            line = " | ".join(cells).strip()
            as_written = source[row.map[0]].strip().removeprefix("|").removesuffix("|").strip()
            if len(_CELL_BORDER.findall(as_written)) >= len(cells):
                line = as_written
            lines.append(f"*{line}*" if heading and line.strip(" |") else line)
    return [line for line in lines if line.strip(" |")]


# --- spans ----------------------------------------------------------------------------------------------------------


def _spans(nodes: list[SyntaxTreeNode], bold: bool = False) -> str:
    """The text of these inline nodes. `bold`: it stands in bold already, where a second star would end it."""
    written = ""
    for index, node in enumerate(nodes):
        if node.type in MARKS:
            following = nodes[index + 1] if index + 1 < len(nodes) else None
            after = following.content[:1] if following is not None and following.type == "text" else ""
            written += _marked(node, written[-1:], after, bold)
        else:
            written += _span(node, bold)
    return written


def _span(node: SyntaxTreeNode, bold: bool) -> str:
    if node.type == "text":
        return _LEFT_OVER.sub(r"\1" if bold else _left_over, node.content)
    if node.type in ("softbreak", "hardbreak"):
        return "\n"
    if node.type == "code_inline":
        return _mono(node.content)
    if node.type == "link":
        return _with_address(_spans(node.children, bold), node.attrs["href"])
    if node.type == "image":
        return _with_address(_spans(node.children, bold), node.attrs["src"])
    if node.type == "html_inline":
        return _tag(node.content)
    return node.content


def _marked(node: SyntaxTreeNode, before: str, after: str, bold: bool) -> str:
    """`before` and `after`: the characters on its two sides, "" at the border of the text."""
    inner = _spans(node.children, bold or node.type == "strong")
    if not inner.strip() or (bold and node.type == "strong"):
        return inner
    if node.markup == "*" and inner.isascii() and not any(character.isalnum() for character in inner):
        return f"*{inner}*"  # a face, (*_*), rather than emphasis
    neighbours = [character for character in (before, after) if character.isalnum()]
    if not neighbours:
        return _each_line(inner, MARKS[node.type])
    arithmetic = any(character.isdigit() or (node.markup == "*" and character.isascii()) for character in neighbours)
    return f"{node.markup}{inner}{node.markup}" if arithmetic else inner


def _each_line(text: str, mark: str) -> str:
    return "\n".join(f"{mark}{line}{mark}" if line.strip() else line for line in text.split("\n"))


def _left_over(found: re.Match[str]) -> str:
    sides = found.string[found.start() - 1 : found.start()], found.string[found.end() : found.end() + 1]
    if any(side.isdigit() for side in sides) and not found[1][-1] in ":：":
        return found[0]
    return found[1] if any(side.isalnum() for side in sides) else f"*{found[1]}*"


def _mono(code: str) -> str:
    return f"```{code}```" if code.strip() and "```" not in code else code


def _with_address(text: str, address: str) -> str:
    bare = address.removeprefix("mailto:").removeprefix("tel:")
    if not bare or text.strip() in ("", address, bare, re.sub(r"^https?://(www\.)?", "", bare).rstrip("/")):
        return bare or text
    return f"{text} ({bare})"


def _tag(html: str) -> str:
    """Nothing for a tag of HTML's, a line break for <br>, and anything else as it stands: it is somebody's <placeholder>."""
    known = _TAG.fullmatch(html)
    if known is None:
        return html
    return "\n" if (known[1] or "").lower() == "br" else ""
