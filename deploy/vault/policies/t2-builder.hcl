# T2 Builder, besides what T1 may: administers the sandbox, makes frameworks and modules. Tokens last 30 min.

path "secret/data/sandbox/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/sandbox/*" {
  capabilities = ["list"]
}
path "secret/data/frameworks/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/data/modules/*" {
  capabilities = ["create", "read", "update"]
}
