"""Docstrings name tokens such as </s>; on the site these are text, not HTML (an extension of griffe)."""

import re

import griffe

CODE_OR_TAG = re.compile(r"(`[^`]*`)|<")


class PlainDocstrings(griffe.Extension):
    """Escapes what HTML would take for tags."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = CODE_OR_TAG.sub(lambda found: found[1] or "&lt;", obj.docstring.value)
