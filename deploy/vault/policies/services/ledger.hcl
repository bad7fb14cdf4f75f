# The ledger takes the key between processes, what opens the event log, and credentials of its database, made for it.

path "secret/data/services/internal" {
  capabilities = ["read"]
}
path "secret/data/services/nats" {
  capabilities = ["read"]
}
path "database/creds/ledger" {
  capabilities = ["read"]
}

# Certificates of its own name (`python -m chassis.certs`).
path "pki/issue/ledger" {
  capabilities = ["create", "update"]
}
