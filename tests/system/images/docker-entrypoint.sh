#!/bin/sh
# What the entry points of the postgres and valkey images do, as far as compose.yaml rests on it.
set -eu
case $1 in
  postgres)
    data=/var/lib/postgresql/data
    mkdir -p $data /run/postgresql
    chown postgres $data /run/postgresql
    chmod 700 $data
    as="setpriv --reuid=postgres --regid=postgres --clear-groups"
    if [ ! -e $data/PG_VERSION ]; then
      install -o postgres -m 600 "$POSTGRES_PASSWORD_FILE" /tmp/password
      $as initdb -D $data -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile=/tmp/password -E UTF8 --no-sync
      rm /tmp/password
      echo "CREATE DATABASE $POSTGRES_DB" | $as postgres --single -D $data postgres >/dev/null
      echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    fi
    exec $as "$@" -D $data '-clisten_addresses=*'
    ;;
  valkey-server)
    chown valkey /data
    exec setpriv --reuid=valkey --regid=valkey --clear-groups "$@"
    ;;
  *) exec "$@" ;;
esac
