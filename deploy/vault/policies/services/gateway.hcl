# The gateway takes the key between processes, and what opens the event log and the store.

path "secret/data/services/internal" {
  capabilities = ["read"]
}
path "secret/data/services/nats" {
  capabilities = ["read"]
}
path "secret/data/services/dragonfly" {
  capabilities = ["read"]
}

# Certificates of its own name (`python -m chassis.certs`).
path "pki/issue/gateway" {
  capabilities = ["create", "update"]
}
