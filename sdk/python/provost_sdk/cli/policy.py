"""`provost policy show|list|schema|publish|rollback`: the rules in force, and putting others in their place."""

import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Exit, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.policy.v1 import policy_pb2
    from provost_sdk.client import Provost

app = typer.Typer(no_args_is_help=True)
File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy set, YAML.")]
Why = Annotated[str, typer.Option("--why", help="Kept with it.")]
Replaces = Annotated[
    str,
    typer.Option("--replaces", metavar="VERSION", help="Only if this one is in force; else whichever is."),
]
MAX_SET_BYTES = 1024 * 1024
_LISTED = ("version", "in force", "since", "by", "sha256", "why")


@app.callback()
def policy() -> None:
    """The rules: which, whether another set would do, what it would change, and putting it in force."""


@app.command()
def show(
    version: Annotated[str, typer.Option("--version", help="An older one; else that in force.")] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """A policy set, as it was published: that in force, or an older one."""
    from provost_sdk.models import as_dict

    answer = ask("operator", address, key, lambda provost: provost.get_policy_set(version))
    if as_json:
        print_json(as_dict(answer))
        return
    from provost_sdk.cli.show import inert

    # Not with it: what goes into a file is the set, byte for byte, so that it can be put in force from there.
    print(f"# version {inert(answer.version)}, sequence {answer.sequence}", file=sys.stderr, flush=True)
    if sys.stdout.isatty():
        for line in answer.document.removesuffix("\n").split("\n"):
            print("\t".join(map(inert, line.split("\t"))))
        return
    sys.stdout.buffer.write(answer.document.encode())
    sys.stdout.buffer.flush()


@app.command("list")
def list_(limit: pages.Limit = 30, as_json: AsJson = False, address: Address = None, key: Key = None) -> None:
    """The sets that were in force, newest first."""

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_policy_sets(page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key)
    pages.show(found, as_json, _LISTED, _published, "No set was ever published: the built-in one holds.")


@app.command()
def schema(address: Address = None, key: Key = None) -> None:
    """The JSON Schema of policy sets: for an editor that checks YAML while you write."""
    print(ask("operator", address, key, lambda provost: provost.get_policy_set_schema()))


@app.command()
def publish(
    file: File,
    why: Why = "",
    replaces: Replaces = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Put a set in force. One that does not parse, compile or pass its tests never is. Needs an admin's key."""
    document = document_in(file)

    def put(provost: "Provost", old: str) -> Awaitable[Any]:
        return provost.publish_policy_set(document, replaces=old, why=why)

    answer = _put_in_force(put, replaces, as_json, address, key)
    if not as_json:
        warn(file, answer.warnings)


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As `provost policy list` shows it.")],
    why: Why = "",
    replaces: Replaces = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Put an older set in force again, as it was, at once. Needs an admin's key."""

    def put(provost: "Provost", old: str) -> Awaitable[Any]:
        return provost.rollback_policy_set(version, replaces=old, why=why)

    _put_in_force(put, replaces, as_json, address, key)


def document_in(file: Path) -> str:
    """The document in a file; one that cannot be read ends the command."""
    try:
        raw = file.read_bytes()
        if len(raw) > MAX_SET_BYTES:
            misused(
                f"{file} has {len(raw)} bytes, and a policy set may have {MAX_SET_BYTES} (1 MiB): name what belongs "
                "together by patterns (`db-*`) instead of one by one, and leave out what is not a rule"
            )
        return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except IsADirectoryError:
        misused(f"{file} is a directory: name a file with a policy set in it")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        misused(f"{file}:{line}: this line is not UTF-8: save the file as UTF-8")
    except OSError as problem:
        misused(f"{file}: {problem}")


def warn(file: Path, warnings: "Iterable[policy_pb2.ValidatePolicySetResponse.Problem]") -> None:
    """What is allowed in a set and may surprise, each with its place."""
    from provost_sdk.cli.show import inert

    for warning in warnings:
        print(inert(f"{placed(file, warning)} (warning)"))


def placed(file: Path, problem: "policy_pb2.ValidatePolicySetResponse.Problem") -> str:
    """What there is to say of a set, behind its place, as compilers say it."""
    where = f" ({problem.path})" if problem.path else ""
    return f"{file}:{problem.line or 1}:{problem.column or 1}: {problem.text}{where}"


def ended(well: bool) -> typer.Exit:
    return typer.Exit(Exit.OK if well else Exit.NOT_WELL)


def _put_in_force(
    put: "Callable[[Provost, str], Awaitable[Any]]", replaces: str, as_json: bool, address: Address, key: Key
) -> Any:
    """Have `put` put a set in force in place of a version (none given: whichever is); its answer, which is shown."""

    async def question(provost: "Provost") -> tuple[str, int, Any]:
        before = await provost.get_policy_set()
        old = replaces or before.version
        return old, before.sequence, await put(provost, old)

    old, sequence, answer = ask("admin", address, key, question)
    if as_json:
        from provost_sdk.models import as_dict

        print_json(as_dict(answer))
        return answer
    from provost_sdk.cli.show import console, plain

    if answer.sequence <= sequence:  # what is in force is answered as it is, whatever it was to replace
        said = f"Version {answer.version} is already in force, since sequence {answer.sequence}: nothing changed."
        console().print(plain(said, "bold"))
        return answer
    console().print(
        plain(f"Version {answer.version} is in force", "bold green")
        + plain(f" instead of {old}, since sequence {answer.sequence}.")
        + plain(f"   Back: provost policy rollback {old}", "dim")
    )
    return answer


def _published(each: "policy_pb2.ListPolicySetsResponse.PublishedSet") -> tuple[object, ...]:
    since = each.at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if each.HasField("at") else ""
    why = " ".join(part for part in ("(rolled back)" if each.rolled_back_to else "", each.why) if part)
    return (each.version, "yes" if each.in_force else "", since, each.by, each.sha256[:12], why)
