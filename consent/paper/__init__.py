"""The receipt as a page for people: PDF/A-3b and PDF/UA-1, drawn by typst from a verified document, the machine forms attached.

`draw` is a function of the document and the language: the same bytes each time, so that a page is verified by drawing it again.
Data reach the template as inputs, never as source: no markup of theirs is ever read. Fonts are those typst ships.
"""

from __future__ import annotations

import hashlib
import io
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from consent.core import record
from consent.core.proof import read as read_proof
from consent.core.record import Document
from consent.paper.page import page, short_code

_TEMPLATE = Path(__file__).with_name("receipt.typ")
_MADE_OF = (_TEMPLATE, Path(__file__), Path(__file__).with_name("page.py"), Path(__file__).with_name("words.py"))


@cache
def edition() -> str:
    """What a page's bytes depend on beside its document: template, words and libraries, as 16 hexadecimal digits."""
    tools = f"typst {version('typst')} segno {version('segno')}"
    return hashlib.sha256(tools.encode() + b"".join(path.read_bytes() for path in _MADE_OF)).hexdigest()[:16]


def draw(document: Document, language: str) -> bytes:
    """The PDF of a receipt, in `fr` or `en`."""
    import typst  # a big library, for pages only

    template, inputs = _TEMPLATE.read_bytes(), _inputs(document, language)
    compiler = typst.Compiler(template, root=_TEMPLATE.parent, ignore_system_fonts=True, sys_inputs=inputs)
    made = compiler.compile(format="pdf", pdf_standards=["a-3b", "ua-1"])
    assert isinstance(made, bytes)  # nothing is written to a file
    return made


def act_proof(document: Document) -> str:
    """The tlog-proof of the act a receipt is about: its machine form, a public standard unchanged."""
    for fact in document["accord:proof"]["facts"]:
        if read_proof(fact["tlogProof"]).leaf_index == document["accord:entry"]:
            return str(fact["tlogProof"])
    raise ValueError("no proof of that entry")


def _inputs(document: Document, language: str) -> dict[str, str]:
    import segno

    code = io.BytesIO()
    segno.make(short_code(document), error="m", micro=False).save(code, kind="svg", xmldecl=False, border=0)
    return {
        "page": json.dumps(page(document, language)),
        "qr": code.getvalue().decode(),
        "jsonld": record.dump(document),
        "tlogproof": act_proof(document),
    }
