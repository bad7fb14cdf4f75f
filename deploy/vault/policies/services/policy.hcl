# Policy takes the key between processes, and what opens the event log; and it keeps the agents' roles.

path "secret/data/services/internal" {
  capabilities = ["read"]
}
path "secret/data/services/nats" {
  capabilities = ["read"]
}

# One role for each agent. Which policies it may give them is said here once more: policy cannot raise itself, or an
# agent, past the tiers.
path "auth/agents/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = [
      "",
      "t0-observer",
      "t0-observer,t1-operator",
      "t0-observer,t1-operator,t2-builder",
      "t0-observer,t1-operator,t2-builder,t3-executor",
      "t0-observer,t1-operator,t2-builder,t3-executor,t4-architect",
    ]
    "token_type"              = ["service"]
    "token_no_default_policy" = [true]
    "bind_secret_id"          = [true]
    "token_ttl"               = []
    "token_max_ttl"           = []
  }
}
path "auth/agents/role/+/role-id" {
  capabilities = ["create", "update"]
}
path "auth/agents/role/+/secret-id" {
  capabilities = ["create", "update"]
}
path "auth/agents/role/+/secret-id/lookup" {
  capabilities = ["create", "update"]
}
path "auth/agents/role/+/secret-id-accessor/destroy" {
  capabilities = ["create", "update"]
}

# Taking away what an agent has.
path "auth/token/lookup-accessor" {
  capabilities = ["create", "update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["create", "update"]
}
path "sys/auth" {
  capabilities = ["read"]
}
path "identity/lookup/entity" {
  capabilities = ["create", "update"]
}
path "identity/entity/id/+" {
  capabilities = ["create", "update", "delete"]
  allowed_parameters = {
    "disabled" = [true]
  }
}

# Certificates of its own name (`python -m chassis.certs`).
path "pki/issue/policy" {
  capabilities = ["create", "update"]
}
