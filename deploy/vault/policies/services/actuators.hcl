# The actuators take the key between processes, and what opens the event log.

path "secret/data/services/internal" {
  capabilities = ["read"]
}
path "secret/data/services/nats" {
  capabilities = ["read"]
}

# Certificates of its own name (`python -m chassis.certs`).
path "pki/issue/actuators" {
  capabilities = ["create", "update"]
}
