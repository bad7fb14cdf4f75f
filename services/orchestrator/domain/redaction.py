"""Secrets out of a log, before anything of it is stored, shown or logged.

Line numbers stay what they were: a block of several lines is replaced line by line. Every pattern begins at a literal,
so the text is searched for literals (as fast as memory is read) and a pattern is tried only where one stands: one
endless line costs no more than many short ones.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets, and how many of each kind were taken out."""

    text: str
    taken: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Secret:
    """`pattern` is matched where one of `literals` begins; what its group `secret` covers is taken out.

    Where it fails, it fails in all of what `run` covers as well, but for the last `reach` characters of a longer run.
    """

    kind: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    run: re.Pattern[str] | None = None
    reach: int = 0

    def past(self, text: str, at: int) -> int:
        """From where on it may be tried again, when it has failed at `at`."""
        run = self.run.match(text, at) if self.run is not None else None
        if run is None:
            return 0
        return run.end() - self.reach if run.end() - at > self.reach else run.end()


# A value without quotes goes on past punctuation unless that ends it: what follows is nothing, or the next name.
_BARE = r"(?:[^\s\"'&,;<>{}\[\]()|\\]|[&,;{}\[\]()|\\](?![\s\"'&,;<>{}\[\]()|\\]|$|[\w.-]{1,64}[=:])){1,8192}"
# In quotes that are closed, cut off, or escaped because the line stands inside another string.
_VALUE = (
    r"(?P<secret>\"(?:[^\"\\\r\n]|\\[^\r\n]){1,8192}\"?|'(?:[^'\\\r\n]|\\[^\r\n]){1,8192}'?"
    rf"|\\{{1,7}}[\"'][^\"'\\\r\n]{{1,8192}}|{_BARE})"
)
_QUOTE = r"\\{0,7}[\"']?"
_START = r"(?<![A-Za-z0-9])"
_STRONG = r"(?=[^\s]{0,64}\d)(?=[^\s]{0,64}[A-Za-z])"
_GAP = r"[^A-Za-z0-9+/\r\n]{1,64}+"
_FORTY = r"(?=[^A-Z\s]{0,39}[A-Z])(?=[^a-z\s]{0,39}[a-z])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/])"
_UNLESS = r"(?!\[REDACTED|(?:bearer|basic|digest)\s)"

_EXACT: tuple[_Secret, ...] = (
    _Secret(
        "private_key",
        ("-----BEGIN ",),
        re.compile(
            r"(?P<secret>-----BEGIN (?P<label>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"
            r"(?:[^-]|-(?!----(?:BEGIN|END) )){0,20000}"
            r"(?:-----END (?P=label)-----)?)"
        ),
    ),
    _Secret(
        "jwt",
        ("eyJ",),
        re.compile(_START + r"(?P<secret>eyJ[\w-]{8,4096}+\.[\w-]{8,8192}+\.[\w-]{0,2048})", re.ASCII),
        re.compile(_START + r"[\w-]*+", re.ASCII),
        4099,
    ),
    _Secret(
        "aws_key",
        ("AKIA", "ASIA", "AGPA", "AIDA", "AROA"),
        re.compile(_START + r"(?P<secret>A[A-Z]{3}[A-Z0-9]{16})(?![A-Za-z0-9])"),
    ),
    _Secret(  # the secret beside a key's id, some words on: 40 characters of both cases, as no hash in hex is
        "aws_key",
        ("AKIA", "ASIA"),
        re.compile(
            _START + rf"A[A-Z]{{3}}[A-Z0-9]{{16}}(?:{_GAP}(?!{_FORTY})[A-Za-z0-9+/]{{1,256}}+){{0,6}}?"
            rf"{_GAP}(?P<secret>{_FORTY})"
        ),
    ),
    _Secret(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(_START + r"(?P<secret>(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,255})"),
    ),
    _Secret("gitlab_token", ("glpat-",), re.compile(_START + r"(?P<secret>glpat-[\w-]{16,255})", re.ASCII)),
    _Secret("slack_token", ("xox",), re.compile(_START + r"(?P<secret>xox[abeoprs]-[A-Za-z0-9-]{10,255})")),
    _Secret(
        "vault_token",
        ("hvs.", "hvb.", "hvr."),
        re.compile(_START + r"(?P<secret>hv[sbr]\.[\w-]{20,512})", re.ASCII),
    ),
    _Secret(  # OpenBao's: nothing but its look tells it from a name, so it must have a digit and a capital
        "vault_token",
        ("s.", "b.", "r."),
        re.compile(
            r"(?<![A-Za-z0-9.])(?P<secret>[sbr]\.(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{24,95})(?![A-Za-z0-9])"
        ),
    ),
    _Secret(
        "stripe_key", ("k_live_", "k_test_"), re.compile(r"(?P<secret>k_(?:live|test)_[A-Za-z0-9]{10,255})")
    ),
    _Secret("google_key", ("AIza",), re.compile(_START + r"(?P<secret>AIza[\w-]{35})", re.ASCII)),
    _Secret("llm_key", ("sk-",), re.compile(_START + r"(?P<secret>sk-[\w-]{20,255})", re.ASCII)),
    _Secret(
        "provost_key",
        ("pv_",),
        re.compile(
            _START + r"(?P<secret>pv_(?:operator|approver|viewer|auditor|admin)_[\w-]{8,255})", re.ASCII
        ),
    ),
    _Secret(
        "service_key",
        ("whsec_", "SG.", "dop_v1_", "hf_", "pypi-AgE"),
        re.compile(
            _START
            + r"(?P<secret>whsec_[A-Za-z0-9+/]{24,255}|SG\.[\w-]{16,32}\.[\w-]{32,64}|dop_v1_[0-9a-f]{64}"
            r"|hf_[A-Za-z0-9]{30,64}|pypi-AgE[\w-]{24,512})",
            re.ASCII,
        ),
    ),
    _Secret("npm_token", ("npm_",), re.compile(_START + r"(?P<secret>npm_[A-Za-z0-9]{36})")),
    _Secret("url_password", ("://",), re.compile(r"://[^\s:/@\"']{0,255}:(?P<secret>[^\s/\"']{1,512})@")),
)

# These are found whatever their case.
_FOLDED: tuple[_Secret, ...] = (
    _Secret(
        "authorization",
        ("bearer ", "basic ", "digest "),
        re.compile(r"\w+\s{1,4}(?P<secret>(?=[^\s]{0,400}[0-9=._~+/-])[\w.~+/=-]{8,4096})", re.ASCII),
    ),
    _Secret(
        "assigned_secret",
        (
            "passwd", "password", "passphrase", "pwd", "secret", "token", "credential", "authorization",
            "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey",
            "private_key", "private-key", "privatekey", "account_key", "accountkey", "internal_key", "internal-key",
            "pass=", "_pass",
        ),
        re.compile(
            rf"[a-z_-]{{3,13}}s?(?:[_-](?:id|key|value|access|hash)){{0,2}}"
            rf"(?:{_QUOTE}\s{{0,4}}(?:[=:]|:=|=>)\s{{0,4}}|>){_UNLESS}{_VALUE}",
            re.IGNORECASE,
        ),
    ),
    _Secret(
        "flag_secret",
        ("--password", "--passwd", "--passphrase", "--token", "--secret", "--api-key", "--apikey", "--access-key"),
        re.compile(rf"--[a-z-]{{5,20}}\s{{1,4}}{_UNLESS}{_VALUE}", re.IGNORECASE),
    ),
    _Secret(
        "flag_secret",
        ("sshpass -p", "identified by "),
        re.compile(rf"(?:sshpass -p|identified by)\s{{0,4}}{_UNLESS}{_VALUE}", re.IGNORECASE),
    ),
    _Secret(
        "flag_secret",
        ("-u ", "--user "),
        re.compile(r"-{1,2}u(?:ser)?\s{1,4}(?!\d+:\d+\b)[^\s:]{1,128}:(?P<secret>[^\s\"']{1,512})", re.IGNORECASE),
    ),
    _Secret(  # what Provost's processes show each other, as a header, or as Python shows metadata
        "assigned_secret",
        ("provost-internal",),
        re.compile(rf"[a-z-]{{16}}{_QUOTE}\s{{0,4}}[=:,]\s{{0,4}}{_UNLESS}{_VALUE}", re.IGNORECASE),
    ),
    _Secret(  # -p and its value in one word; -P is a port, and of two ports with a colon neither is a secret
        "flag_secret",
        ("mysql", "mariadb"),
        re.compile(
            r"m[^\s,]{4,128}[\s,](?:(?!mysql|mariadb)[^\r\n|;&]){0,1024}?(?<=[\s\"'])(?-i:-p)"
            rf"(?![\d.]{{1,21}}:\d){_UNLESS}{_VALUE}",
            re.IGNORECASE,
        ),
    ),
    _Secret(  # in a sentence: no sign says where the value begins, so it must look like one
        "named_secret",
        ("key ", "token "),
        re.compile(
            r"(?:(?:(?<=api)|(?<=api[ _-])|(?<=access[ _-])|(?<=secret[ _-])|(?<=private[ _-])|(?<=internal[ _-]))key"
            r"|(?:(?<=access[ _-])|(?<=auth[ _-])|(?<=session[ _-])|(?<=refresh[ _-])|(?<=wrapping[ _-]))token)"
            rf"\s{{1,4}}(?:(?:is|was|=>?|:)\s{{1,4}})?[\"'`(<]?(?P<secret>{_STRONG}[\w.~+/=-]{{16,4096}})",
            re.IGNORECASE | re.ASCII,
        ),
    ),
    _Secret(
        "named_secret",
        ("password is ", "password was "),
        re.compile(
            rf"password \w{{2,3}}\s{{1,4}}[\"'`]?(?P<secret>{_STRONG}[^\s\"'`]{{6,512}})", re.IGNORECASE | re.ASCII
        ),
    ),
    _Secret(  # `passwd deploy1` is a command about somebody, so that more must stand before it
        "named_secret",
        ("password ", "passphrase ", "with passwd ", "using passwd "),
        re.compile(
            r"(?:(?:with|using) )?pass(?:word|phrase|wd)\s{1,4}"
            r"(?![\[({</]|[\w.-]{1,64}[=:]|(?:scram-)?sha-?\d|pbkdf2|argon2|base64|oauth2|md5)"
            rf"[\"'`]?(?P<secret>{_STRONG}[^\s\"'`]{{6,512}})",
            re.IGNORECASE | re.ASCII,
        ),
    ),
    _Secret(
        "cookie",
        ("cookie",),
        re.compile(
            rf"cookie2?{_QUOTE}\s{{0,4}}:\s{{0,4}}{_QUOTE}(?P<secret>(?=[^\s\"'=]{{1,256}}=)[^\r\n\"'\\]{{1,8192}})",
            re.IGNORECASE,
        ),
    ),
)  # fmt: skip

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def redact(text: str) -> Redacted:
    """`text` with every secret that is recognised replaced by `[REDACTED:<kind>]`; as many lines as before."""
    folded = text.lower() if text.isascii() else text.translate(_ASCII_LOWER)
    found = merge(
        *(_found(secret, literal, text, text) for secret in _EXACT for literal in secret.literals),
        *(_found(secret, literal, folded, text) for secret in _FOLDED for literal in secret.literals),
    )
    pieces: list[str] = []
    taken: dict[str, int] = {}
    done = 0
    for start, end, kind in found:
        if start < done:
            continue
        mark = f"[REDACTED:{kind}]"
        breaks = re.findall(r"\r\n|[\n\r]", text[start:end]) if kind == "private_key" else ()
        pieces += (text[done:start], mark, *(brk + mark for brk in breaks))
        taken[kind] = taken.get(kind, 0) + 1
        done = end
    pieces.append(text[done:])
    return Redacted("".join(pieces), taken)


def _found(secret: _Secret, literal: str, searched: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Where `secret` stands in `text`, by start: tried wherever `literal` stands in `searched`, which is as long."""
    at = searched.find(literal)
    while at >= 0:
        match = secret.pattern.match(text, at)
        if match:
            yield (*match.span("secret"), secret.kind)
        past = match.end("secret") if match else secret.past(text, at)
        at = searched.find(literal, max(at + len(literal), past))
