"""Fuzz every reader: damaged configs and random text must give a document or a DocumentError, and soon.

    python bench/fuzz.py 60                    # seconds for each reader, its own samples as seeds
    python bench/fuzz.py 60 DIR --syntax yaml  # and every file of that syntax below DIR

Prints a line for each reader and an input for each kind of failure; exits with 1 if there was one. `--seed` varies the
texts; `--keep FILE` writes each text there before it is read, so that a crash of the interpreter leaves its cause.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

from loraplan.document import Document, DocumentError, Mapping, Scalar, Syntax, walk
from loraplan.document.comments import comment_lines
from loraplan.document.read import read, syntax_of
from loraplan.formats.values import plain

SLOW_SECONDS = 2.0
MAX_LENGTH = 20_000

SAMPLES: dict[Syntax, list[str]] = {
    "yaml": [
        "base_model: é✓😀\nlora_r: 16 # loraplan: ignore[RNK001]\nlr: 2e-4\ndatasets:\n  - path: a\n    type: 'b c'\n",
        "a: &x {r: 8, k: [1, 2]}\nb:\n  <<: *x\n  t: |\n    text\n  u: !!str >-\n    more\n---\n? [c]\n: {{ d }}\n",
    ],
    "json": [
        '{"r": 8, // c\n "t": ["q_proj", "\\u00e9\\ud83d\\ude00"], "lr": 2e-4, "n": null, "b": {"c": -Infinity}}\n'
    ],
    "toml": ['a.b = 1_0\n[x] # c\ny = [1.5, {z = \'é\'}]\nw = """\nq"""\n[[t]]\nd = 1979-05-27T07:32:00Z\n[[t]]\n'],
    "shell": [
        "#!/bin/bash\nR=${R:-8}\nexport X=\"a b\"\nswift sft --model 'm' \\\n  --lora_rank $R --lr=2e-4 | tee log\n",
        "for i in 1 2; do deepspeed --num_gpus 2 train.py --bits 4 --targets q k $(cat f) <<EOF\nx\nEOF\ndone\n",
    ],
    "python": [
        "r = 8\nc = LoraConfig(r=r, lora_alpha=2 * r, target_modules=['q', 'v'], **kw)  # c\n",
        "from peft import LoraConfig\nlora = dict(type=LoraConfig, r=64)\nif x:\n  f(b=f'{y}', t={'a': (1, -2e-3)})\n",
    ],
}
TOKENS = (
    *"\"'[]{}()<>:,#&*!-=+|\\/$`~%@?;. \t\r\n\0\x85\ufeff\u2028é😀0a_",
    *('"""', "'''", "---\n", "<<:", "*x", "&x", "!!str", "{{", "}}", "${", "$(", "[[", "]]", "//", "/*", "*/", "\r\n"),
    *("1e+16", "NaN", "0x", "\\u", "\\ud800", "    ", "\n  ", "<<EOF\n", "f'{", "lambda:", "\\\n", "**", ":=", "\n- "),
)


def mutated(seeds: list[str], rng: random.Random) -> str:
    """One to eight random changes to a seed, or now and then text from tokens alone."""
    if rng.random() < 0.15:
        return "".join(rng.choices(TOKENS, k=rng.randint(1, 60)))
    text = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 5, 40)))
        match rng.randint(0, 5):
            case 0:
                new = ""
            case 1:
                new = text[start:end] * rng.choice((2, 3, 50))
            case 2:
                other = rng.choice(seeds)
                cut = rng.randint(0, len(other))
                new = other[cut : cut + rng.randint(1, 60)]
            case 3:
                new = rng.choice(TOKENS) * rng.choice((1, 1, 300))
            case 4:
                new = chr(rng.choice((rng.randint(0, 0x7F), rng.randint(0, 0x2FFF), rng.randint(0xE000, 0x10FFFF))))
            case _:
                new = rng.choice(TOKENS) + text[start:end] + rng.choice(TOKENS)
        text = (text[:start] + new + text[end:])[:MAX_LENGTH]
    return text


def expect(condition: bool, what: str) -> None:
    """An assertion that no interpreter option removes."""
    if not condition:
        raise AssertionError(what)


def use(document: Document) -> None:
    """What the program does with a document; whatever is false here is a bug too."""
    for root in document.roots:
        plain(root, "yaml-1.1")
        for _, node in walk(root):
            expect(0 <= node.span.start <= node.span.end <= len(document.text), "a span outside the text")
            document.position(node.span.start)
            if isinstance(node, Scalar):
                node.text.encode()
            elif isinstance(node, Mapping):
                node.get("r")
    for problem in document.problems:
        document.line(document.position(problem.span.start).line)
    for span, text in comment_lines(document):
        expect(document.text[span.start : span.end] == text, "a comment that is not at its span")


def failure(text: str, syntax: Syntax) -> str | None:
    """What went wrong with a text, or None."""
    try:
        try:
            use(read("fuzz", text, syntax))
        except DocumentError as refused:
            expect(bool(refused.message and refused.remedy), "an error without a message or a remedy")
    except Exception as error:  # noqa: BLE001 - finding these is the purpose
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {where.filename}:{where.lineno}: {error}"[:300]
    return None


def fuzz(syntax: Syntax, seeds: list[str], seconds: float, seed: int, keep: Path | None) -> bool:
    """Whether the reader of one syntax survived."""
    rng = random.Random(seed)
    failures: dict[str, str] = {}
    runs, slowest, slowest_text = 0, 0.0, ""
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        text = mutated(seeds, rng)
        if keep:
            keep.write_text(text, newline="")
        runs += 1
        if found := failure(text, syntax):
            failures.setdefault(found, text)
        if (took := time.monotonic() - begun) > slowest:
            slowest, slowest_text = took, text
    if slowest > SLOW_SECONDS:
        failures[f"{slowest:.1f} s for one text"] = slowest_text
    print(f"{syntax}: {runs} texts, slowest {slowest * 1000:.0f} ms, {len(failures)} kinds of failure", flush=True)
    for kind, text in list(failures.items())[:10]:
        print(f"  {kind}\n    {text[:400]!r}")
    return not failures


def main() -> int:
    """Fuzz the syntaxes asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float)
    parser.add_argument("directories", type=Path, nargs="*")
    parser.add_argument("--syntax", choices=SAMPLES, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    seeds = {syntax: list(samples) for syntax, samples in SAMPLES.items()}
    for directory in arguments.directories:
        for path in sorted(path for path in directory.rglob("*.*") if path.is_file()):
            try:
                text = path.read_bytes().decode()
            except UnicodeDecodeError:
                continue
            if path.suffix in (".yml", ".yaml", ".json", ".toml", ".sh", ".py") and len(text) < MAX_LENGTH:
                seeds[syntax_of(str(path), text)].append(text)
    survived = [
        fuzz(name, seeds[name], arguments.seconds, arguments.seed, arguments.keep)
        for name in arguments.syntax or SAMPLES
    ]
    return 0 if all(survived) else 1


if __name__ == "__main__":
    sys.exit(main())
