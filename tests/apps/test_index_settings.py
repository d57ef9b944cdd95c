"""pip's configuration as variables of uv."""

from __future__ import annotations

from pathlib import Path

from assembler_runner.apps.index_settings import index_variables, local_folders, translated


def test_settings_of_pip_become_those_of_uv() -> None:
    config = "\n".join(
        [
            "global.index-url='https://mirror.example.org/simple'",
            "global.extra-index-url='file:///srv/a https://b.example.org/simple'",
            "global.trusted-host='mirror.example.org'",
            "global.timeout='60'",
            "install.index-url='https://other.example.org/simple'",
            ":env:.find-links='/srv/wheels /srv/more'",
            ":env:.quiet='1'",
        ]
    )
    assert translated(config) == {
        "UV_DEFAULT_INDEX": "https://other.example.org/simple",
        "UV_INDEX": "file:///srv/a https://b.example.org/simple",
        "UV_INSECURE_HOST": "mirror.example.org",
        "UV_HTTP_TIMEOUT": "60",
        "UV_FIND_LINKS": "/srv/wheels,/srv/more",
    }


def test_variables_of_uv_take_precedence_and_others_stay_out() -> None:
    found = index_variables({"UV_DEFAULT_INDEX": "https://own.example.org", "HTTPS_PROXY": "http://p:1", "TOKEN": "x"})
    assert found["UV_DEFAULT_INDEX"] == "https://own.example.org" and found["HTTPS_PROXY"] == "http://p:1"
    assert "TOKEN" not in found and found["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_folders_that_a_sandbox_has_to_contain(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "ca.pem").touch()
    variables = {
        "UV_INDEX": f"{(tmp_path / 'a b').as_uri()} https://b.example.org/simple",
        "UV_FIND_LINKS": f"{tmp_path / 'missing'}",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    assert local_folders(variables) == [tmp_path / "a b", tmp_path / "ca.pem"]
