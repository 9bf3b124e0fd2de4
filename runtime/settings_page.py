"""docs/settings.md, made from the settings object itself: `python -m runtime.settings_page > docs/settings.md`."""

from runtime.settings import describe

_HEAD = """# Settings

Environment variables, read once at a process's start into one frozen object. A wrong or missing one ends the process with exit 2 and one
line naming all faults. This page is made from that object (`python -m runtime.settings_page > docs/settings.md`); a test holds it to it.

| variable | default | what it does |
|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    return _HEAD + "".join(f"| `{name}` | {f'`{default}`' if default else ''} | {does} |\n" for name, default, does in describe())


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - this is what it is for
