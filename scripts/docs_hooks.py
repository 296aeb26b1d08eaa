"""What the site has beyond the files of docs/: pages made of the code, of the examples and of files of the repository.

MkDocs calls these functions while it builds. Links of a page to files outside of docs/ lead to the page made of that
file; a line that is nothing but a link to an example is followed by the example; a ``sequence`` block is drawn.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import docs_drawing
import docs_reference
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
COPIED = {
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
    "benchmarks/RESULTS.md": "results.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
ALONE = re.compile(r"^\[[^\]]*\]\(((?:\.\./)+example_dags/\w+\.py)\)$", re.MULTILINE)
SEQUENCE = re.compile(r"^```sequence\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]*`)", re.DOTALL | re.MULTILINE)


def examples() -> list[Path]:
    """Return the example DAGs."""
    return sorted((ROOT / "example_dags").glob("example_*.py"))


def made_pages() -> dict[str, str]:
    """Return every page that is no file of docs/: its path there, and its Markdown."""
    pages = {f"reference/{name}": text for name, text in docs_reference.pages().items()}
    pages |= {target: (ROOT / source).read_text(encoding="utf-8") for source, target in COPIED.items()}
    for file in examples():
        code = file.read_text(encoding="utf-8")
        pages[f"examples/{file.stem}.md"] = f"# {file.name}\n\n{described(code)}\n\n```python\n{code}```\n"
    return pages


def described(code: str) -> str:
    """Return the docstring of an example as Markdown."""
    return (ast.get_docstring(ast.parse(code)) or "").replace("``", "`")


def on_config(config: MkDocsConfig) -> None:
    """Show the selector of versions only where mike has made versions; put the examples into the navigation."""
    if os.environ.get("MIKE_DOCS_VERSION"):
        config.extra["version"] = {"provider": "mike"}
    (reference,) = (entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    for entry in reference:
        if isinstance(entry, dict) and "Examples" in entry:
            entry["Examples"] = [{file.stem: f"examples/{file.stem}.md"} for file in examples()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages."""
    for path, text in made_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Draw sequences, show examples, and lead links to files of the repository to their pages."""
    path = page.file.src_uri
    source = next((ours for ours, target in COPIED.items() if target == path), f"docs/{path}")
    markdown = SEQUENCE.sub(lambda found: docs_drawing.draw(found[1]), markdown)
    markdown = ALONE.sub(lambda found: found[0] + "\n\n" + quoted(found[1]), markdown)
    pieces = CODE.split(markdown)  # every second one is code
    return "".join(piece if at % 2 else linked(piece, source, path) for at, piece in enumerate(pieces))


def on_post_page(output: str, **_: object) -> str:
    """Give the dialog of the search a name, which the theme leaves out: screen readers say it."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


def quoted(link: str) -> str:
    """Return the example that a link names as a block of code."""
    return f"```python\n{(ROOT / link.lstrip('./')).read_text(encoding='utf-8')}```"


def linked(text: str, source: str, path: str) -> str:
    """Return a text of the file ``source`` with links that hold on the page ``path``."""

    def lead(found: re.Match[str]) -> str:
        target, mark, anchor = found[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        here = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        return f"[{found[1]}]({posixpath.relpath(page_of(here), posixpath.dirname(path) or '.')}{mark}{anchor})"

    return LINK.sub(lead, text)


def page_of(file: str) -> str:
    """Return where the site has a file of the repository; MkDocs complains about what is nowhere."""
    if file in COPIED:
        return COPIED[file]
    if found := re.fullmatch(r"example_dags/(\w+)\.py", file):
        return f"examples/{found[1]}.md"
    if file.rstrip("/") == "example_dags":
        return "reference/README.md"
    return file.removeprefix("docs/") if file.startswith("docs/") else f"../{file}"
