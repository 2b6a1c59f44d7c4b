"""A part of a Markdown file that a script writes: what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations

from pathlib import Path


def replace(path: str, name: str, lines: list[str]) -> None:
    """Write the lines in place of what stands between the two marks; KeyError where the file lacks them."""
    text = Path(path).read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if start not in text or end not in text:
        raise KeyError(f"{path} has no marks for {name}")
    before, _, rest = text.partition(start)
    after = rest.partition(end)[2]
    Path(path).write_text(before + start + "\n".join(lines).strip("\n") + "\n" + end + after, encoding="utf-8")
