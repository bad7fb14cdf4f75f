# Built-in agents take the key between processes, and nothing else.

path "secret/data/services/internal" {
  capabilities = ["read"]
}

# Certificates of its own name (`python -m chassis.certs`).
path "pki/issue/agents" {
  capabilities = ["create", "update"]
}
