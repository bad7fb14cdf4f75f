#!/bin/sh
# Makes what `deploy/compose.yaml` takes from files: deploy/secrets.sh [DIR]   (deploy/secrets unless told)
# Once and for all: what is there already stays. Back the folder up with the volumes; without subjects_key nothing that
# was sealed can be read (docs/erasure.md), without vault_unseal_key the Vault stays shut.
set -eu
cd "$(dirname "$0")/.."
dir=${1:-deploy/secrets}
provost=10001 # the user in the image

umask 077
mkdir -p "$dir"
chmod 700 "$dir"

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# once NAME CONTENT: the first content there ever was is the one that counts.
once() {
  [ -e "$dir/$1" ] && return
  printf '%s' "$2" >"$dir/.$1"
  mv "$dir/.$1" "$dir/$1"
}
# once_bytes NAME COUNT
once_bytes() {
  [ -e "$dir/$1" ] && return
  head -c "$2" /dev/urandom >"$dir/.$1"
  mv "$dir/.$1" "$dir/$1"
}

once_bytes subjects_key 32
once_bytes vault_unseal_key 32
once postgres_password "$(random 24)"
once ledger_password "$(random 24)"
once store_password "$(random 24)"
once pgpass "postgres:5432:*:postgres:$(cat "$dir/postgres_password")"
once store.conf "requirepass $(cat "$dir/store_password")
"
once dragonfly.flags "--requirepass=$(cat "$dir/store_password")
"
once store_url "rediss://:$(cat "$dir/store_password")@store:6379/0"
operator=$(random 24) approver=$(random 24) viewer=$(random 24) auditor=$(random 24) admin=$(random 24)
once gateway.env "API_KEYS=operator:pv_operator_$operator,approver:pv_approver_$approver,viewer:pv_viewer_$viewer,auditor:pv_auditor_$auditor
ADMIN_KEYS=pv_admin_$admin
"

# The folder is yours alone. In it, what Provost's processes read belongs to their user; what others read, whose users
# differ from image to image, is readable to all who get it mounted.
chmod 444 "$dir"/vault_unseal_key "$dir"/postgres_password "$dir"/store_password "$dir"/store.conf "$dir"/dragonfly.flags
chmod 400 "$dir"/subjects_key "$dir"/ledger_password "$dir"/pgpass "$dir"/store_url
if [ "$(stat -c %u "$dir/subjects_key")" != "$provost" ]; then
  mine="subjects_key ledger_password pgpass store_url"
  if [ "$(id -u)" = 0 ]; then
    (cd "$dir" && chown "$provost:$provost" $mine)
  else
    docker run --rm --user 0:0 --volume "$(cd "$dir" && pwd):/secrets" --workdir /secrets "${PROVOST_IMAGE:-provost:latest}" \
      chown "$provost:$provost" $mine
  fi
fi
echo "The cluster's secrets are in $dir; callers' keys are in $dir/gateway.env."
