"""Checks that each test which docs/features.md names exists: the file of a link, and what stands in code behind it."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent.parent
missing = []
links = 0
for number, line in enumerate((root / "docs/features.md").read_text().splitlines(), 1):
    for path, rest in re.findall(r"\[[^\]]+\]\(([^)]+)\)([^\[|;]*)", line if line.startswith("|") else ""):
        links += 1
        file = root / "docs" / path
        if not file.is_file():
            missing.append(f"line {number}: there is no {path}")
            continue
        missing += [f"line {number}: {path} has no {name}" for name in re.findall(r"`([^`]+)`", rest)
                    if name not in file.read_text()]
print("\n".join(missing))
sys.exit(1 if missing or links < 50 else 0)
