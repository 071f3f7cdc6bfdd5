"""Parts of the site of mkdocs: links of the pages to files outside of docs/, and the examples of docstrings."""

import os
import re
from pathlib import Path
from typing import Any

import griffe

_OUTSIDE = re.compile(r"\[([^\]]*)\]\((\.\./[^)#]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Returns a page whose links to files outside of docs/ are plain text: the site does not have these files."""

    def replace(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(Path("docs", page.file.src_uri).parent / link[2]))
        if target.parts[0] == "docs":
            return link[0]
        return link[1] if link[1].startswith("`") else f"{link[1]} (`{target}`)"

    return _OUTSIDE.sub(replace, markdown)


class ExampleSections(griffe.Extension):
    """Renders the section `Example:` of a docstring, which doctest runs, as the code that it is."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Renames the section to the one that griffe takes for code."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
