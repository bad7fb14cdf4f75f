"""All commands, on one screen."""

import typer

from provost_sdk.cli import (
    agents,
    approvals,
    budgets,
    certs,
    checking,
    erasing,
    events,
    exporting,
    following,
    history,
    ledger,
    overlay,
    policy,
    process,
    proving,
    rehearsing,
    repairing,
    revoking,
    runs,
    sharing,
    standing,
    state,
    status,
    tasks,
    watching,
    witnesses,
)

app = typer.Typer(
    name="provost",
    help="Govern agents that operate infrastructure: what they found, what they may, what they did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 all well · 1 it was answered, and not well, as a run whose own verification "
    "failed · 2 misused · 3 nobody answers · 4 a run waits for a person · 5 a run was refused, failed or revoked.",
)
app.callback()(status.about)
app.command("status")(status.status)
app.command("process")(process.process)
app.command("run")(process.run)
ledger.app.command("events")(history.events)
ledger.app.command("list", hidden=True)(history.events)
ledger.app.command("actions")(history.actions)
ledger.app.command("metrics")(history.metrics)
ledger.app.command("violations")(history.violations)
ledger.app.command("promotions")(history.promotions)
ledger.app.command("approvals")(history.approvals)
ledger.app.command("why")(following.why)
ledger.app.command("replay")(following.replay)
ledger.app.command("watch")(following.watch)
ledger.app.command("key")(proving.key)
ledger.app.command("prove")(proving.prove)
ledger.app.command("check")(checking.check)
ledger.app.command("prove-growth")(proving.prove_growth)
ledger.app.command("consistent")(checking.consistent)
ledger.app.command("witness-key")(witnesses.witness_key)
ledger.app.command("repair-log")(repairing.repair_log)
ledger.app.command("export")(exporting.export)
ledger.app.command("erase")(erasing.erase)
ledger.app.command("erasures")(erasing.erasures)
app.add_typer(
    events.app, name="events", help="Events as they come, and as they came, for programs and people."
)
app.add_typer(runs.app, name="runs", help="Runs: what came of them.")
app.add_typer(approvals.app, name="approvals", help="What waits for a person, and the answer to it.")
app.add_typer(agents.app, name="agents", help="Agents: who they are, and the end of their power.")
agents.app.command("revoke")(revoking.revoke)
agents.app.command("receipt")(revoking.receipt)
agents.app.command("show")(standing.show)
agents.app.command("secret")(standing.secret)
agents.app.command("suspend")(standing.suspend)
agents.app.command("resume")(standing.resume)
agents.app.command("promote")(standing.promote)
agents.app.command("demote")(standing.demote)
app.add_typer(ledger.app, name="ledger", help="What happened, provably.")
state.app.command("board")(sharing.board)
state.app.command("put")(sharing.put)
state.app.command("remove")(sharing.remove)
state.app.command("messages")(sharing.messages)
state.app.command("send")(sharing.send)
state.app.command("acknowledge")(sharing.acknowledge)
state.app.command("watch")(watching.watch)
app.add_typer(tasks.app, name="tasks", help="Tasks: who works on them, where they stand, what is shared.")
app.add_typer(state.app, name="state", help="What is true now: agents, locks, boards, messages.")
policy.app.command("validate")(rehearsing.validate)
policy.app.command("test")(rehearsing.run_tests)
policy.app.command("diff")(rehearsing.diff)
policy.app.command("explain")(rehearsing.explain)
policy.app.command("simulate")(rehearsing.simulate)
app.add_typer(policy.app, name="policy", help="The rules: in force, tried out, put in force.")
app.command("overlay")(overlay.overlay)
app.add_typer(
    certs.app, name="certs", help="Certificates by which the processes of a cluster know each other."
)
app.add_typer(budgets.app, name="budgets", help="What agents may still spend.")
