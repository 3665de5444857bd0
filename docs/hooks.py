"""MkDocs hooks: pages that may be absent, and plots that lie outside docs/.

defines: on_config, on_files, on_page_markdown

The pages show plots as ../bench/results/... and ../examples/results/..., so they also read well in
the repository. The site gets copies under bench/ and examples/.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLOT = re.compile(r"\]\(\.\./((?:bench|examples)/results/[\w./-]+\.png)\)")


def _present(entry: Any) -> bool:
    return not isinstance(entry, str) or (ROOT / "docs" / entry).exists()


def on_config(config: Any) -> Any:
    """Drop navigation entries whose page does not exist."""
    for section in config.nav:
        for title, entries in section.items():
            if isinstance(entries, list):
                section[title] = [e for e in entries if all(map(_present, e.values()))]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add every plot that a page shows."""
    from mkdocs.structure.files import File

    pages = [file.content_string for file in files.documentation_pages()]
    for plot in sorted({name for page in pages for name in PLOT.findall(page)}):
        files.append(File.generated(config, plot, abs_src_path=str(ROOT / plot)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point plots at their copies."""
    return PLOT.sub(r"](\1)", markdown)
