"""What state decides and remembers: agents at work, tasks, and how they look in the store. Pure.

Where to look, each beginning with the file to open first:

* an agent at work: `agent`, made of `packet`, `lock`, `errors`, `attention` (what it waits for) and `labels`; `fencing`
  says whose reports count, `snapshot` how the agent is told
* what the agents of a task share: `board`, `inbox`, `task` (artifacts, in a list that is `growing`, and the handoff),
  `crew` (who works on it), `summary`
* a run that goes on from where it stood: `checkpoints`
* who gets nowhere: `stuck`, judged by `signs`
* everything folded: `view`, with `recent` (which tasks there are) and `revocation`; `taken` is a snapshot of it
* how the view lies in the store: `documents`, with `tables` and `plain` (records as JSON)
* watches: `watching` (who is told of what), `standing` (what there is to begin with), `lately` (what changed since)
* used by all: `bounds`, `page`, `sequenced` and `faults`
"""
