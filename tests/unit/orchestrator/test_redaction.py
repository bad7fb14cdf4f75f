"""Secrets leave a log; everything else, and every line number, stays."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.signing import SigningKey
from services.orchestrator.domain.redaction import redact

# As `process.new_secret` makes them; a test keeps its name.
PROVOSTS = "pv_operator_Xk-3vLq0TnB8_wZr5YcHd2-fJ7mPsAe9"
INTERNAL = "a1Qd7-Zk2mXv0_RtYc9bNf4LwHs8PjGe6-uTa3VoKxB"

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
    ("mysql -uroot -phunter2 -h db", "hunter2", "flag_secret"),
    ("COMMAND=/usr/bin/mysqldump --all-databases -p'hunter 2' > all.sql", "hunter 2", "flag_secret"),
    ("MySQL.exe -u root -pHunter2;", "Hunter2", "flag_secret"),
    ('exec ["mariadb-dump", "-uroot", "-phunter2", "shop"]', "hunter2", "flag_secret"),
    ("mysql -h mysql.example -P3306 -phunter2", "hunter2", "flag_secret"),
    ("the api key is " + "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjtT1zdp7dc", "named_secret"),
    ("hook secret " + "whsec_" + "abcdefghijklmnop1234567890", "abcdefghijklmnop1234567890", "service_key"),
    ("API key q1w2e3r4t5y6u7i8o9p0 was refused", "q1w2e3r4t5y6u7i8o9p0", "named_secret"),
    ("the access-token is 'a1b2c3d4e5f6a7b8c9' now", "a1b2c3d4e5f6a7b8c9", "named_secret"),
    ("his password is hunter2!", "hunter2!", "named_secret"),
    ("user bob with password hunter3plain", "hunter3plain", "named_secret"),
    ("login of bob using passwd 'hunter3plain' ok", "hunter3plain", "named_secret"),
    ("unlock it with the passphrase Correct4horse", "Correct4horse", "named_secret"),
    (f"refused: {PROVOSTS}.", PROVOSTS, "provost_key"),
    (f"('x-provost-internal', '{INTERNAL}')", INTERNAL, "assigned_secret"),
    (f"x-provost-internal: {INTERNAL}", INTERNAL, "assigned_secret"),
    (f"PROVOST_INTERNAL_KEY={INTERNAL}", INTERNAL, "assigned_secret"),
    (f"unwrap: wrapping token sre-1.0190a2.{INTERNAL} is spent", INTERNAL, "named_secret"),
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
    "docker run --name mysql -p3306:3306 -p127.0.0.1:3307:3307 mysql:8",
    "mysql -h db -P3306 -p shop",
    "mysqld[411]: ready; mkdir -p/var/lib/data",
    "mysql -e 'select 1' | tee -p/tmp/out",
    "Accepted publickey for core from 10.0.0.1: RSA SHA256:4x1qTSa6wpXkJmOLhBSo7w",
    "foreign key constraint fk_orders_customers_2021 fails",
    "api key rotated, access key for tenant-4711-production-eu denied",
    "access token has expired, session token is refreshed",
    "password is incorrect, password was changed",
    "Accepted password for bob1 from 10.0.0.1 port 22 ssh2",
    "password check failed for user (root1), password authentication failed for user web01",
    "Enter passphrase for key '/home/bob/.ssh/id_ed25519'",
    "sudo: bob : TTY=pts/0 ; USER=root ; COMMAND=/usr/bin/passwd deploy01",
    "changed password user=bob12 uid=1000, password [attempt3], password (retry12)",
    "password SCRAM-SHA-256, password sha512crypt, password /etc/ssl/key12.pem",
    "password 1234567 times, password https://x/reset?id=12",
    "AKIAB bf9a7cd3b3b6f2b4e09f55f29ba8a02fab0f1d3c4b is a commit",
    "pv_data_postgres_backup_store_0001 bound, pv_admin is no key",
    "hf_model loaded, pypi-mirror-of-the-company-and-friends synced",
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


@pytest.mark.parametrize(
    "between",
    [" ", ", ", "\t", ' and its secret access key "', ":", " (user bob, region eu-west-1) "],
)
def test_the_secret_beside_an_id_goes_with_it(between: str) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    redacted = redact(f"aws AKIAIOSFODNN7EXAMPLE{between}{secret} ok, AKIAIOSFODNN7EXAMPL2 {secret}")
    mark = "[REDACTED:aws_key]"
    assert redacted.text == f"aws {mark}{between}{mark} ok, {mark} {mark}"
    assert redacted.taken == {"aws_key": 4}


@pytest.mark.parametrize(
    "behind",
    [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEYx",
        "\nwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_what_stands_beside_an_id_and_is_no_secret_of_it_stays(behind: str) -> None:
    assert redact(f"AKIAIOSFODNN7EXAMPLE {behind}").text == f"[REDACTED:aws_key] {behind}"


def test_what_follows_a_secret_stays() -> None:
    assert redact("GET /x?token=abc&user=bob").text == "GET /x?token=[REDACTED:assigned_secret]&user=bob"
    assert redact("(token=abc) (user=bob)").text == "(token=[REDACTED:assigned_secret]) (user=bob)"
    assert redact("token=abc, user=bob").text == "token=[REDACTED:assigned_secret], user=bob"


def test_sessions_and_permits_go(tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "policy.pem")
    claims = {"aud": "provost", "sub": "sre-1", "tier": "T2"}
    together = key.sign_together([json.dumps(claims).encode()] * 300)
    for token in (key.sign(claims), together[0], together[-1]):
        redacted = redact(f"session {token} ended")
        assert redacted.text == "session [REDACTED:jwt] ended"


@pytest.mark.parametrize(
    "piece",
    ["mysql ", "mysql\t-", "mysql -p", "mysql " + "a " * 600, "mariadb" + "-" * 40, "api key ", "api key is ",
     "access token " + "a" * 15 + " ", "api key " + "=" * 63, "password is ", "pv_admin_", "pv_operator_-",
     "provost-internal,", "SG.", "pypi-AgE" + "a" * 600, "hf_hf_", "internal_key", "-eyJ", "eyJ-", "_eyJaaaaaaaaaaa.",
     "password ", "password " + "a" * 64 + " ", "password a1",
     "AKIA" + "A" * 16 + " ", "AKIA" + "A" * 16 + " " * 64, "AKIA" + "A" * 16 + " " + "a" * 39 + "A" * 217],
)  # fmt: skip
def test_no_endless_line_is_slow(piece: str) -> None:
    """It takes hundredths of a second; were it the square of the length, it would take minutes."""
    text = piece * (400_000 // len(piece))
    begun = time.process_time()
    assert len(redact(text).text) > 0
    assert time.process_time() - begun < 3.0


@pytest.mark.parametrize("length", [0, 1000, 5000, 9000])
def test_a_token_goes_that_stands_behind_what_looks_like_the_beginning_of_one(length: int) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    taken = redact("-eyJ" * (length // 4) + " -" + "a" * length + "-" + token)
    assert "c2lnbmF0dXJl" not in taken.text
    assert taken.taken == {"jwt": 1}


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
