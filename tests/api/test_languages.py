"""One tag for each language, however it was written."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.languages import language_tag


@pytest.mark.parametrize(
    ("raw", "tag"),
    [
        ("en", "en"),
        ("eng", "en"),
        (" ENG ", "en"),
        ("deu", "de"),
        ("ger", "de"),
        ("pt_br", "pt-BR"),
        ("zho-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("yue", "yue"),
        ("auto", None),
        ("Und", None),
        ("", None),
        ("-", None),
        (None, None),
        (7, None),
        (["en"], None),
    ],
)
def test_a_language_has_one_tag(raw: object, tag: str | None):
    """Two letters where there are two, region and script in their usual spelling, None where no language is named."""
    assert language_tag(raw) == tag
