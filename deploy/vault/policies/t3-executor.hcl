# T3 Executor, besides what T2 may: staging, limited reading in production, root under control. Tokens last 15 min.

path "secret/data/staging/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/staging/*" {
  capabilities = ["list"]
}
path "secret/data/production/read/*" {
  capabilities = ["read"]
}
path "secret/data/root/*" {
  capabilities = ["read"]
}
# Credentials of databases, made for the one who asks and gone with its token.
path "database/creds/agents-*" {
  capabilities = ["read"]
}
