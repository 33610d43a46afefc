"""Docstrings, comments and documentation use plain technical English.

Readers recognise concepts by their standard terms, and search engines index them. A sentence with
one of the phrases below usually lacks a standard term or a concrete subject: rewrite the sentence,
not only the phrase. The prose of an earlier version of this project had 3 to 8 of them per 1,000
words; starlette, httpx, fastapi, pydantic, optuna and numpy have 0 to 0.06.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = ("service", "training", "client", "tests", "benchmarks", "docs", "README.md")
LIMIT = 1.0
"""Matches per 1,000 words."""

PHRASES = {
    "an indefinite subject": r"whom?ever|nobody|everybody",
    "a clause as the subject": r"(?-i:Who|What) (?:asks|waits|names|holds|comes|goes|fits|was)",
    "an archaic adverb": r"anew|thereby|therein|whereby|for ever|by lot|in hand|at its ease",
    "a passive of speech": r"(?:is|are|was|were|been?) (?:told|asked|let in|let go|turned away)",
    "an indirect question": r"(?:tell|tells|told) (?:what|how|who|where|which|whether)",
    "a personified place": r"(?:lies|lie|lay|stood) (?:in|on|over|under|beside|there|by|at|aside)",
    "a personified process": r"(?:goes|went|serves) on|(?:has|have|had) gone",
    "an inverted negation": r"(?:finds|knows|makes|takes|holds) no|(?:has|gets) none",
    "a negated noun": r"(?<!there\s)(?:is|are|was|were) no (?!longer|more|effect)\w+",
    "a possessive without a noun": r"of (?:ours|theirs|yours|its own|their own)",
}
PATTERN = re.compile(
    "|".join(rf"\b(?:{phrase})\b".replace(" ", r"\s+") for phrase in PHRASES.values()),
    re.IGNORECASE,
)
MARKDOWN_CODE = re.compile(r"^```.*?^```|``[^`]+``|`[^`]+`", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`]+`")


def blank_out(pattern: re.Pattern[str], text: str) -> str:
    """Return the text with spaces instead of each match; line breaks stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def extract_python_prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each docstring and comment, without inline code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield node.lineno, blank_out(INLINE_CODE, text)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], blank_out(INLINE_CODE, token.string)


def extract_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each block of prose in a Python or Markdown file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from extract_python_prose(text)
    else:
        yield 1, blank_out(MARKDOWN_CODE, text)


def find_files(path: Path) -> list[Path]:
    """Return the Python and Markdown files of a path, without installed and built ones."""
    if path.is_file():
        return [path]
    return [
        file
        for suffix in ("*.py", "*.md")
        for file in sorted(path.rglob(suffix))
        if not {"node_modules", "build"} & set(file.parts)
    ]


def find_phrases(files: list[Path]) -> tuple[int, list[str]]:
    """Return the number of words of prose in files and a `file:line: phrase` for each match."""
    words = 0
    matches = []
    for file in files:
        for first_line, text in extract_prose(file):
            words += len(re.findall(r"[A-Za-z']+", text))
            for match in PATTERN.finditer(text):
                line = first_line + text.count("\n", 0, match.start())
                phrase = " ".join(match[0].split())
                matches.append(f"{file.relative_to(ROOT)}:{line}: {phrase}")
    return words, matches


@pytest.mark.parametrize("path", PATHS)
def test_prose_has_few_archaic_phrases(path: str) -> None:
    """The prose of each path has at most one archaic phrase per 1,000 words."""
    words, matches = find_phrases(find_files(ROOT / path))

    assert words > 0
    assert 1000 * len(matches) / words <= LIMIT, "\n".join(matches)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""The file lies beside\nthe manifest."""', [1]),
        ('"""First line.\n\nIt is\ntold twice.\n"""', [3]),
        ("x = 1  # whoever asks", [1]),
        ('x = "whoever asks"', []),
        ('"""`whoever` is a name."""', []),
        ('"""The queue is no longer full."""', []),
    ],
)
def test_phrases_are_found_in_docstrings_and_comments(source: str, lines: list[int]) -> None:
    """Docstrings and comments are searched across line breaks; code and strings are not."""
    found = [
        first_line + text.count("\n", 0, match.start())
        for first_line, text in extract_python_prose(source)
        for match in PATTERN.finditer(text)
    ]

    assert found == lines


def test_code_in_markdown_is_ignored(tmp_path: Path) -> None:
    """Code blocks and inline code in Markdown are not searched; prose after them is."""
    page = tmp_path / "page.md"
    page.write_text("`nobody`\n\n```sh\necho nobody\n```\n\nNobody waits.\n")

    ((_, text),) = extract_prose(page)

    assert [text.count("\n", 0, match.start()) + 1 for match in PATTERN.finditer(text)] == [7]
