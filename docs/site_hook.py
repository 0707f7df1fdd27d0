"""What the site needs beside the pages: those that lie elsewhere, headings and lists as GitHub has them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "runbook.md": "alerts/runbook.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages of the site that lie outside of docs/."""
LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\]]*\])+)\]\(\.\./(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]+)?(?: \"(?P<title>[^\"]*)\")?\)")  # fmt: skip
"""A link out of docs/: the site has no source files."""
FENCED = re.compile(r"^(?P<indent> +)```\w*\n(?P<lines>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)  # fmt: skip
"""Code within an item of a list, which Python-Markdown knows by its indentation only."""


def slug(title: str, separator: str) -> str:
    """Name a heading as links to it do, on GitHub too."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", separator)


def on_config(config: Any) -> Any:
    """Have headings named so."""
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slug
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere."""
    for name, path in ELSEWHERE.items():
        text = (ROOT / path).read_text()
        content = re.sub(r"\]\((?:\.\./)?docs/", "](", text)
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links out of docs/ to the pages that stand for them, of tests keep the name; keep code in its list."""
    return FENCED.sub(_indented, LINK.sub(_kept, markdown))


def _kept(link: re.Match[str]) -> str:
    page = {path: name for name, path in ELSEWHERE.items()}.get(link["path"])
    if page:
        return f"[{link['text']}]({page}{link['anchor'] or ''})"
    if link["title"]:
        return f'<abbr title="{link["path"]}::{link["title"]}">{link["text"]}</abbr>'
    return str(link["text"])


def _indented(code: re.Match[str]) -> str:
    return textwrap.indent(textwrap.dedent(code["lines"]), 8 * " ").rstrip()
