# Built-in agents take the key between processes, and nothing else.

path "secret/data/services/internal" {
  capabilities = ["read"]
}
