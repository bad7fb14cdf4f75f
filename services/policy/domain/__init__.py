"""What policy knows, pure: agents, approvals, policy sets and budgets, and how a decision is reached.

Where to look, each beginning with the file to open first:

* an agent: `agent`, with `credentials`, `secret`, `standing`, `tier`, `revocation`; what moves its tier:
  `track_record`, `outcomes`; what the built-in crew's process may not: `crew`
* a decision: `decision`, which asks `checks` in their order about a `question`; `action`, `labels`, and what custom
  rules are told: `rules`
* an approval: `approval`, with `demand` (how many, and whose) and `votes`
* a policy set: `policyset`, made of `policyset_rules` and read by `policyset_document`; the rest is `policyset_*`
* custom rules as text: `rego_text`, `rego_guards`
* budgets: `budget`, with `limits`, `amounts`, `counters`, `drawing`, `reserving`, `reservation`, `closing`; what
  several callers get by one event: `budget_events`; `recorded_errors` and `shown_budgets`
* who acts where nobody asked: `actor`; callers' words in sentences of ours: `quoted`
* recorded history under another set: `flips`, and what it would have spent: `spending`

They lie side by side because they need each other: what a decision sets aside is in the decision's own event.
"""
