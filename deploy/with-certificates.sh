#!/bin/sh
# with-certificates.sh USER COMMAND…: what is not Provost's own, and reads its certificate once. Puts the certificate from
# /issued where USER alone can read it (/certs), runs COMMAND, and when the certificate was renewed, puts the
# new one there and tells it: RENEWED, or SIGHUP (to process 1, which passes it on).
set -eu
user=$1
shift

take() {
  for file in ca.crt tls.crt tls.key; do
    cp "/issued/$file" "/certs/.$file"
    chmod 600 "/certs/.$file"
    chown "$user" "/certs/.$file"
    mv "/certs/.$file" "/certs/$file"
  done
}
until [ -s /issued/tls.crt ] && [ -s /issued/tls.key ] && [ -s /issued/ca.crt ]; do sleep 0.2; done
take
(
  while sleep "${LOOK_SECONDS:-30}"; do
    cmp -s /issued/tls.crt /certs/tls.crt && continue
    sleep 1 # its key may still be on the way
    take
    sh -c "${RENEWED:-kill -HUP 1}" || true
  done
) &
exec "$@"
