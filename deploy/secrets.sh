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

# made NAME MODE: from now on it is there. Its mode is set now, for later it may be somebody else's.
made() {
  chmod "$2" "$dir/.$1"
  mv "$dir/.$1" "$dir/$1"
}
# once NAME MODE CONTENT: the first content there ever was is the one that counts.
once() {
  [ -e "$dir/$1" ] && return
  rm -f "$dir/.$1"
  printf '%s' "$3" >"$dir/.$1"
  made "$1" "$2"
}
# once_bytes NAME MODE COUNT
once_bytes() {
  [ -e "$dir/$1" ] && return
  rm -f "$dir/.$1"
  head -c "$3" /dev/urandom >"$dir/.$1"
  made "$1" "$2"
}

# The folder is yours alone. In it, what Provost's processes read belongs to their user; what others read, whose users
# differ from image to image, is readable to all who get it mounted.
theirs="subjects_key ledger_password pgpass store_url"
once_bytes subjects_key 400 32
once_bytes vault_unseal_key 444 32
once postgres_password 444 "$(random 24)"
once ledger_password 400 "$(random 24)"
once store_password 444 "$(random 24)"
once pgpass 400 "postgres:5432:*:postgres:$(cat "$dir/postgres_password")"
once store.conf 444 "requirepass $(cat "$dir/store_password")
"
once dragonfly.flags 444 "--requirepass=$(cat "$dir/store_password")
"
once store_url 400 "rediss://:$(cat "$dir/store_password")@store:6379/0"
operator=$(random 24) approver=$(random 24) viewer=$(random 24) auditor=$(random 24) admin=$(random 24)
once gateway.env 600 "API_KEYS=operator:pv_operator_$operator,approver:pv_approver_$approver,viewer:pv_viewer_$viewer,auditor:pv_auditor_$auditor
ADMIN_KEYS=pv_admin_$admin
"

give=""
for each in $theirs; do
  [ "$(stat -c %u "$dir/$each")" = "$provost" ] || give="$give $each"
done
if [ -z "$give" ]; then
  : # all of it is theirs already
elif [ "$(id -u)" = 0 ]; then
  (cd "$dir" && chown "$provost:$provost" $give)
else
  docker run --rm --user 0:0 --volume "$(cd "$dir" && pwd):/secrets" --workdir /secrets "${PROVOST_IMAGE:-provost:latest}" \
    chown "$provost:$provost" $give
fi
echo "The cluster's secrets are in $dir; callers' keys are in $dir/gateway.env."
