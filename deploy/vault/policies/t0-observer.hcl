# T0 Observer: reads documents, inventory and logs; writes plans. Tokens last 1 h.
# A tier's token carries the policies of the tiers below it, too. Nothing here reaches secret/data/services: what a path
# does not name is refused.

path "secret/data/documents/*" {
  capabilities = ["read"]
}
path "secret/metadata/documents/*" {
  capabilities = ["list"]
}
path "secret/data/inventory/*" {
  capabilities = ["read"]
}
path "secret/metadata/inventory/*" {
  capabilities = ["list"]
}
path "secret/data/logs/*" {
  capabilities = ["read"]
}
path "secret/data/plans/*" {
  capabilities = ["create", "read", "update"]
}
