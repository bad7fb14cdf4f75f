"""Secrets leave a log; everything else, and every line number, stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.domain.redaction import redact

SECRETS = [
    ("login password=hunter2 ok", "hunter2", "assigned_secret"),
    ('{"password": "p w d", "user": "bob"}', "p w d", "assigned_secret"),
    ("api_key: 'abc def'", "abc def", "assigned_secret"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG", "assigned_secret"),
    ("secret_id=3fa85f64-5717", "3fa85f64-5717", "assigned_secret"),
    ("GET postgres://bob:s3cr3t@db/x", "s3cr3t", "url_password"),
    ("Authorization: Bearer abc.def-123456789", "abc.def-123456789", "authorization"),
    ("authorization: basic dXNlcjpwYXNz=", "dXNlcjpwYXNz", "authorization"),
    ("key AKIAABCDEFGHIJKLMNOP used", "AKIAABCDEFGHIJKLMNOP", "aws_key"),
    ("using ghp_0123456789abcdefghij0123456789", "ghp_0123456789abcdefghij0123456789", "github_token"),
    ("xoxb-123456789012-abcdef", "xoxb-123456789012-abcdef", "slack_token"),
    ("hvs.CAESIJlWh0123456789abcdef", "hvs.CAESIJlWh0123456789abcdef", "vault_token"),
    ("login gave s.r4rfQCkaa9Esv1bxbVPgfvLf", "s.r4rfQCkaa9Esv1bxbVPgfvLf", "vault_token"),
    ("sent eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl on", "eyJzdWIiOiIxMjM0", "jwt"),
    ("mysql --password hunter2 -h db", "hunter2", "flag_secret"),
    ("key sk-proj-abcdefghijklmnopqrstuvwx", "sk-proj-abcdefghijklmnopqrstuvwx", "llm_key"),
    (r'{"log": "{\"password\": \"pwd-in-json\"}"}', "pwd-in-json", "assigned_secret"),
    (r"{\\\"api_key\\\":\\\"twice-escaped\\\"}", "twice-escaped", "assigned_secret"),
    (r'password = "half\"other-half" ok', "other-half", "assigned_secret"),
    ('token="' + "a" * 3000 + 'tail"', "tail", "assigned_secret"),
    ("token=" + "a" * 3000 + "tail", "tail", "assigned_secret"),
    ("passwd=ab&cd,tail ok", "tail", "assigned_secret"),
    ("db_pass: hunter2", "hunter2", "assigned_secret"),
    ("<password>hunter2</password>", "hunter2", "assigned_secret"),
    ("AccountName=a;AccountKey=bm90IGEga2V5==;", "bm90IGEga2V5", "assigned_secret"),
    ("GET postgres://bob:p@ss-tail@db/x", "ss-tail", "url_password"),
    ("Set-Cookie: sid=hunter2; Path=/", "hunter2", "cookie"),
    ("curl -u admin:hunter2 http://x", "hunter2", "flag_secret"),
    ("CREATE USER bob IDENTIFIED BY 'hunter2'", "hunter2", "flag_secret"),
]

HARMLESS = [
    "Failed password for root from 10.0.0.1 port 22 ssh2",
    "pam_unix(sshd:auth): check pass; user unknown",
    "GET http://example.org:8080/path?x=1 200",
    "task-scheduler-of-the-night disk-usage-monitor-service-1 started",
    "token bucket refilled",
    "the secret of good logs is brevity",
    "-----BEGIN CERTIFICATE-----",
    "docker run -u 1000:1000 image",
    "cookie: disabled",
]


@pytest.mark.parametrize(("line", "secret", "kind"), SECRETS)
def test_a_secret_goes(line: str, secret: str, kind: str) -> None:
    redacted = redact(f"before\n{line}\nafter")
    assert secret not in redacted.text
    assert redacted.taken == {kind: 1}
    assert redacted.text.split("\n")[::2] == ["before", "after"]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redact(line).text == line


def test_what_follows_a_secret_stays() -> None:
    assert redact("GET /x?token=abc&user=bob").text == "GET /x?token=[REDACTED:assigned_secret]&user=bob"
    assert redact("(token=abc) (user=bob)").text == "(token=[REDACTED:assigned_secret]) (user=bob)"
    assert redact("token=abc, user=bob").text == "token=[REDACTED:assigned_secret], user=bob"


def test_a_private_key_goes_line_by_line() -> None:
    body = "\n".join(["MIIEpAIBAAKCAQEA" + "x" * 48] * 5)
    text = f"1\n-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n9"
    redacted = redact(text)
    assert "MIIE" not in redacted.text
    assert redacted.text.count("\n") == text.count("\n")
    assert redacted.text.split("\n")[-1] == "9"


def test_a_private_key_that_was_cut_off_goes_too() -> None:
    assert "AAAA" not in redact("-----BEGIN PRIVATE KEY-----\nAAAA\nAAAA").text


@given(st.text(), st.sampled_from(SECRETS), st.text())
def test_whatever_stands_around_it(before: str, secret: tuple[str, str, str], after: str) -> None:
    text = f"{before}\n{secret[0]}\n{after}"
    redacted = redact(text).text
    assert redacted.count("\n") == text.count("\n")
    assert redact(redacted).text.count("\n") == text.count("\n")


@given(st.text(alphabet="abk=:\"' -/@\n[]", max_size=200))
def test_twice_is_as_good_as_once(text: str) -> None:
    assert redact(redact(text).text).text.count("\n") == text.count("\n")
