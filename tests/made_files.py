"""Files as people have them, made by hand: no library that writes them is needed to test those that read them."""

import io
import zipfile
import zlib
from xml.sax.saxutils import escape

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)


def pdf(pages: list[list[str]], outline: list[tuple[str, int]] = (), extra: str = "") -> bytes:
    """A PDF with these lines on its pages (Latin letters); `outline`: titles and the pages, from 0, they lead to."""
    first_page, objects = 4, {3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"}
    kids = []
    for place, lines in enumerate(pages):
        number = first_page + 2 * place
        kids.append(f"{number} 0 R")
        drawn = b"BT /F1 11 Tf 14 TL 50 780 Td " + b"".join(_shown(line) for line in lines) + b"ET"
        packed = zlib.compress(drawn)
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {number + 1} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        objects[number + 1] = f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream"
    objects[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(pages)} >>".encode()
    root = first_page + 2 * len(pages)
    objects[1] = f"<< /Type /Catalog /Pages 2 0 R {f'/Outlines {root} 0 R' if outline else ''} >>".encode()
    if outline:
        last = root + len(outline)
        objects[root] = f"<< /Type /Outlines /First {root + 1} 0 R /Last {last} 0 R /Count {len(outline)} >>".encode()
        for place, (title, page) in enumerate(outline, start=root + 1):
            following = f"/Next {place + 1} 0 R" if place < last else ""
            objects[place] = f"<< /Title ({title}) /Parent {root} 0 R {following} /Dest [{first_page + 2 * page} 0 R /Fit] >>".encode()
    return _written(objects, extra)


def _shown(line: str) -> bytes:
    for mark in "\\()":
        line = line.replace(mark, "\\" + mark)
    return b"(" + line.encode("cp1252") + b") Tj T* "


def _written(objects: dict[int, bytes], extra: str) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n"), {}
    for number in sorted(objects):
        places[number] = len(out)
        out += f"{number} 0 obj\n".encode() + objects[number] + b"\nendobj\n"
    at = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{places[number]:010} 00000 n \n".encode() for number in sorted(objects))
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {extra} >>\nstartxref\n{at}\n%%EOF\n".encode()
    return bytes(out)


def docx(paragraphs: list[tuple[str, str]], table: list[list[str]] = (), body: str = "") -> bytes:
    """A DOCX of (style, text) paragraphs ("Heading1", "" …), a table, and XML of one's own."""
    words = "".join(f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr>{_run(text)}</w:p>' for style, text in paragraphs)
    rows = "".join("<w:tr>" + "".join(f"<w:tc><w:p>{_run(cell)}</w:p></w:tc>" for cell in row) + "</w:tr>" for row in table)
    document = f'<?xml version="1.0"?><w:document xmlns:w="{W}"><w:body>{words}{f"<w:tbl>{rows}</w:tbl>" if rows else ""}{body}</w:body></w:document>'
    return zipped({"[Content_Types].xml": TYPES, "_rels/.rels": RELATIONS, "word/document.xml": document})


def _run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def zipped(parts: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()
