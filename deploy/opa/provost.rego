# What Provost's own policy decides, for an OPA server that is asked as well (OPA_ENDPOINT): the same answers for the
# same set. The set itself is data, `data.provost.set`, as it stands in its document; the set's custom rules are modules
# of their own, `data.provost.rules.<id>`. See README.md.
#
# Input is what a custom rule is told (docs/policy.md). What is not asked here is decided before anybody is asked: who
# the agent is, whether it has a packet for the task and been through the steps it requires, and its budgets.
package provost.decision

import data.provost.rules as rules
import data.provost.set as policy

tiers := ["T0_OBSERVER", "T1_OPERATOR", "T2_BUILDER", "T3_EXECUTOR", "T4_ARCHITECT"]

modes := {"SAFE", "ASSISTED", "AUTO"}

# What refuses.

deny contains {"id": "packet.forbidden", "text": "the packet forbids it"} if {
	matches_some(input.packet.forbidden, input.action.name)
}

deny contains {"id": "packet.scope", "text": "the packet's scope lacks it"} if {
	count(input.packet.scope) > 0
	not matches_some(input.packet.scope, input.action.name)
}

deny contains {"id": sprintf("tier.%s", [input.agent.tier]), "text": "the tier may not do this"} if not granted

deny contains {"id": "mode.known", "text": "the run's mode is unknown"} if not input.run.mode in modes

deny contains {"id": sprintf("flow.%s", [flow.id]), "text": "the run has read what may not go there"} if {
	some flow in object.get(policy, "flows", [])
	some label in flow.labels
	label in input.run.labels
	input.action.environment in object.get(flow, "environments", ["sandbox", "staging", "production"])
	matches_some(flow.actions, input.action.name)
	matches_some(object.get(flow, "targets", ["*"]), input.action.target)
}

deny contains said(id, message) if {
	some id, module in rules
	some message in module.deny
}

# What asks for a person. A safe run acts on nothing, so nobody needs to be asked.

approve contains {"id": sprintf("approval.%s", [rule.id]), "text": "a person has to approve it"} if {
	input.run.mode != "SAFE"
	some rule in object.get(policy, "approvals", [])
	input.agent.tier in object.get(rule, "tiers", tiers)
	input.action.environment in object.get(rule, "environments", ["sandbox", "staging", "production"])
	matches_some(object.get(rule, "actions", ["*"]), input.action.name)
}

approve contains {"id": "mode.assisted", "text": "in an assisted run a person approves everything"} if {
	input.run.mode == "ASSISTED"
}

approve contains said(id, message) if {
	input.run.mode != "SAFE"
	some id, module in rules
	some message in module.approve
}

# The tier table: a tier has what the lower ones have.

default granted := false

granted if {
	some at, tier in tiers
	at <= rank
	some capability in policy.tiers[tier].capabilities
	input.action.environment in capability.environments
	policy.actions[input.action.name]
	matches_some(capability.actions, input.action.name)
	matches_some(object.get(capability, "targets", ["*"]), input.action.target)
}

rank := at if {
	some at, tier in tiers
	tier == input.agent.tier
}

# Patterns: `*` stands for any text, everything else for itself.

matches_some(patterns, text) if {
	some pattern in patterns
	matches(pattern, text)
}

matches(pattern, text) if pattern == text

matches(pattern, text) if {
	contains(pattern, "*")
	parts := [regex.replace(part, `([\\.+?()|\[\]{}^$])`, `\$1`) | some part in split(pattern, "*")]
	regex.match(sprintf("^(?s:%s)$", [concat(".*", parts)]), text)
}

said(id, message) := {"id": id, "text": message} if is_string(message)

said(_, message) := message if is_object(message)
