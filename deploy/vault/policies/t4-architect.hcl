# T4 Architect, besides what T3 may: reads policies, writes governance. Tokens last 15 min.

path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/t*" {
  capabilities = ["read"]
}
path "secret/data/governance/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/governance/*" {
  capabilities = ["list"]
}
