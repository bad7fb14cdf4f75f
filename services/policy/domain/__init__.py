"""What policy knows, pure: agents, approvals, policy sets and budgets, and how a decision is reached.

Where to look, each beginning with the file to open first:

* an agent: `agent`, with `credentials`, `secret`, `standing`, `tier`, `revocation`; what moves its tier:
  `track_record`, `outcomes`; what the built-in crew's process may not: `crew`
* a decision: `decision`, which asks `checks` in their order about a `question`; `action`, `labels`, and what custom
  rules are told: `rules`
* an approval: `approval`, with `demand` (how many, and whose) and `votes`
* what an action or a target is matched by, everywhere: `pattern`
* a policy set: `policyset`, made of `policyset_rules` and read by `policyset_document`; the rest is `policyset_*`
* custom rules as text: `rego_text`, `rego_guards`, `rego_silence`
* budgets: `budget`, with `limits`, `amounts`, `counters` (kept on `shelves`, as long as there is `room`), `drawing`,
  `reserving`, `reservation`, `closing`; what several callers get by one event: `budget_events`; `recorded_errors` and
  `shown_budgets`
* what is refused: `faults`, `policyset_faults`, `budget_faults`
* who acts where nobody asked: `actor`; callers' words in sentences of ours: `quoted`
* recorded history under another set: `flips`, and what it would have spent: `spending`

They lie side by side because they need each other: what a decision sets aside is in the decision's own event.
"""
