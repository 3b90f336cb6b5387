"""Docs: the OpenAPI document as a page for people. It loads nothing and runs no script."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

_HERE = files("mainspring.server.routes")
STYLE = _HERE.joinpath("docs.css").read_text()
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; style-src"
    f" 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
"""The Content-Security-Policy of the page: its own style, and nothing else."""

CODE = re.compile("`([^`]+)`")
_FORM = "#/components/schemas/"
_BOUNDS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}


def page(document: Mapping[str, Any]) -> str:
    """HTML that tells of every operation and every form."""
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            told = operation | {"path": path, "method": method.upper()}
            tags.setdefault(operation["tags"][0], []).append(told)
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        _HERE.joinpath("docs.html").read_text()
    )
    return template.render(
        info=document["info"],
        tags=tags,
        schemas=document["components"]["schemas"],
        style=Markup(STYLE),  # our own file
        form=form,
        words=words,
    )


def words(text: str) -> Markup:
    """Text in whose `backticks` is code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # escaped before


def form(schema: Mapping[str, Any]) -> Markup:
    """A JSON Schema in words, with a link where it is told elsewhere."""
    if ref := schema.get("$ref"):
        name = ref.removeprefix(_FORM)
        return Markup('<a href="#form-{0}">{0}</a>').format(name)
    if several := schema.get("anyOf"):
        return Markup(" or ").join(form(each) for each in several)
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(each) for each in schema["enum"])
    kind = Markup("{}").format(schema.get("format") or schema.get("type") or "anything")
    if kind == "array":
        kind = Markup("list of ") + form(schema.get("items", {}))
    elif isinstance(members := schema.get("additionalProperties"), Mapping):
        kind = Markup("object of ") + form(members)
    bounds = [said.format(schema[name]) for name, said in _BOUNDS.items() if name in schema]
    if schema.get("default") not in (None, [], (), {}, ""):
        bounds.append(f"{schema['default']} by default")
    return kind + Markup("{}").format("".join(f", {bound}" for bound in bounds))
