from pathlib import Path

from runtime.settings_page import page


def test_the_settings_page_is_what_the_settings_object_says() -> None:
    assert (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8") == page()
