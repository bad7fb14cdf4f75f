# One node with its data on a volume; it unseals itself with the key from deploy/secrets. Where a Vault is there already,
# set VAULT_URL instead and leave this one out (docs/cluster.md).
disable_mlock = true
api_addr      = "https://vault:8200"
cluster_addr  = "https://vault:8201"
listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/certs/tls.crt"
  tls_key_file    = "/certs/tls.key"
}
storage "raft" {
  path                   = "/openbao/data"
  node_id                = "vault"
  performance_multiplier = 1
}
seal "static" {
  current_key_id = "1"
  current_key    = "file:///run/secrets/vault_unseal_key"
}
