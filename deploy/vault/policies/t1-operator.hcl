# T1 Operator, besides what T0 may: gets into the sandbox by SSH, basic Proxmox, Ansible in check mode. Tokens last 30 min.

path "secret/data/sandbox/ssh/*" {
  capabilities = ["read"]
}
path "secret/data/sandbox/proxmox/basic" {
  capabilities = ["read"]
}
path "secret/data/sandbox/ansible/check" {
  capabilities = ["read"]
}
