"""Passwords, tokens and DSNs appear in no error; a token travels to nobody who listens in."""

from __future__ import annotations

import traceback

import pytest

import syncline
from syncline.cli.output import without_password
from syncline.errors import ConfigurationError, SynclineError
from syncline.transports.http import HttpTransport

SECRET = "S3CRET"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@127.0.0.1:1/x",
        f"postgresql://u:{SECRET}@127.0.0.1:1/x?nosuch=1",
        f"postgresql://u:{SECRET}@ho st/x",
        f"postgresql://u:{SECRET}@[::1/x",
        f"postgresql://u:{SECRET}@h:notaport/x",
        f"postgresql://u:{SECRET}%zz@h/x",
        f"postgresql:///x?password={SECRET}&nosuch=1",
        f"host=h password={SECRET}",
        f"postgres:u:{SECRET}@h",
        f"mysql://u:{SECRET}@h/x",
        f"sqlite:{SECRET}",
        f"sqlite://u:{SECRET}@h/x",
        f"{SECRET}.lower()",
    ],
)
def test_no_error_shows_the_password_of_the_central_database(url: str) -> None:
    with pytest.raises(SynclineError) as caught:
        syncline.Hub(url).init()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET} x", "", f"{SECRET}\u20ac", f"\x00{SECRET}"])
def test_a_token_that_cannot_travel_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpTransport("http://127.0.0.1:1", token)
    assert caught.value.code == "token_unusable"
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", [f"http://u:{SECRET}@h/", f"https://{SECRET}@h", f"http://u:{SECRET}@[::1"])
def test_a_url_with_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpTransport(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["http://hub.example", "http://10.0.0.1:8080", "http://[2001:db8::1]", "http://0.0.0.0"]
)
def test_a_token_in_clear_to_another_machine_must_be_asked_for(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpTransport(url, SECRET)
    assert caught.value.code == "token_in_clear"
    assert "--insecure" in caught.value.remedy
    HttpTransport(url, SECRET, insecure=True).close()
    HttpTransport(url).close()


@pytest.mark.parametrize(
    "url",
    ["https://hub.example", "http://localhost:1", "http://127.0.0.2", "http://[::1]:5", "http://a.localhost"],
)
def test_a_token_over_https_or_to_this_machine_travels(url: str) -> None:
    HttpTransport(url, SECRET).close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@h/x", "postgresql://u:***@h/x"),
        ("postgresql://u@h/x?password=pw&a=1", "postgresql://u@h/x?password=***&a=1"),
        ("postgresql:///x?sslpassword=pw", "postgresql:///x?sslpassword=***"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
