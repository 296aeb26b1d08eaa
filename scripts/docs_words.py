"""Prints how many words the sentences of the documentation have: the median of each page, and of all together.

What is counted is prose: no code, no tables, no headings. An entry of a list is a sentence at least.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOT_PROSE = re.compile(r"^ *```.*?^ *```$|^\|[^\n]*$|^#[^\n]*$|<!--.*?-->", re.DOTALL | re.MULTILINE)
NEXT = re.compile(r"(?:^|\n)\s*(?:[-*]|\d+\.)\s+|\n\s*\n|(?<=[.!?])[\"”)*]*\s+(?=[A-Z`\"“*\[])")


def sentences(text: str) -> list[int]:
    """Return how many words each sentence of a Markdown text has."""
    prose = re.sub(r"\]\([^)]*\)", "]", NOT_PROSE.sub("\n\n", text))
    counts = (len(re.findall(r"[\w`…$'./-]*\w[\w`…$'./-]*", part)) for part in NEXT.split(prose))
    return [count for count in counts if count > 0]


def by_page() -> dict[str, list[int]]:
    """Return the sentences of each page of docs/."""
    pages = {str(page.relative_to(DOCS)): sentences(page.read_text("utf-8")) for page in sorted(DOCS.rglob("*.md"))}
    return {page: counts for page, counts in pages.items() if counts}


def main() -> None:
    """Print a line for each page, and one for all."""
    pages = by_page()
    for page, counts in pages.items():
        print(f"{median(counts):5.1f} words a sentence, {max(counts):3} at the most  {page}")
    whole = [count for counts in pages.values() for count in counts]
    print(f"{median(whole):5.1f} words a sentence in {len(whole)} sentences")


if __name__ == "__main__":
    main()
