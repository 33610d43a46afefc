"""MkDocs hooks: add the Markdown files outside docs/, and adapt links to files.

Pages link to files of the repository, so that the links work where the repository is browsed. On
the site, a link to a page leads to that page, and a link to any other file becomes plain text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OTHER_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "client/README.md": "client.md",
}
"""Files outside docs/ and their paths on the site."""
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)"
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/."""
    for name, path in OTHER_PAGES.items():
        files.append(File.generated(config, path, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt the links of one page."""
    del config
    site_path = page.file.src_uri
    sources = {path: name for name, path in OTHER_PAGES.items()}
    source = sources.get(site_path, f"docs/{site_path}")
    paths = {file.src_uri for file in files}
    return _LINK.sub(lambda match: adapt_link(match, source, site_path, paths), markdown)


def adapt_link(match: re.Match[str], source: str, site_path: str, paths: set[str]) -> str:
    """Return a link for the site.

    Args:
        match: A match of a Markdown link or image.
        source: The page's path in the repository.
        site_path: The page's path on the site.
        paths: The paths of all files on the site.
    """
    target = match["target"]
    if not target or ":" in target:
        return match[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    on_site = OTHER_PAGES.get(file, file.removeprefix("docs/"))
    if on_site not in paths:
        return match["text"]
    relative = posixpath.relpath(on_site, posixpath.dirname(site_path) or ".")
    return f"{match['image']}[{match['text']}]({relative}{match['anchor'] or ''})"
