"""What the site needs beside the pages: those that lie elsewhere, headings named as GitHub names them."""

from __future__ import annotations

import re
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
    """Lead links out of docs/ to the pages that stand for them; of others leave the words."""
    pages = {path: name for name, path in ELSEWHERE.items()}

    def kept(link: re.Match[str]) -> str:
        name = pages.get(link["path"])
        return f"[{link['text']}]({name}{link['anchor'] or ''})" if name else str(link["text"])

    return LINK.sub(kept, markdown)
