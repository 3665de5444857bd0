"""Lines of Markdown.

defines: wrapped
"""

from __future__ import annotations

import textwrap


def wrapped(text: str) -> str:
    """`text` as lines of at most 100 columns."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
