#!/bin/sh
# with-certificates.sh USER COMMAND…: what is not Provost's own, and reads its certificate once. Puts the certificate from
# /issued where USER alone can read it (/certs), runs COMMAND, and when the certificate was renewed, puts the
# new one there and tells it: RENEWED, or SIGHUP (to process 1, which passes it on). What fails of that it says, and tries
# again at the next look.
set -eu
user=$1
shift

take() {
  for file in ca.crt tls.crt tls.key; do
    # Said at each step: where it is asked whether this worked, `set -e` is off.
    cp "/issued/$file" "/certs/.$file" && chmod 600 "/certs/.$file" && chown "$user" "/certs/.$file" || return 1
  done
  # The certificate last: it is what tells that all of it was taken.
  for file in ca.crt tls.key tls.crt; do mv "/certs/.$file" "/certs/$file" || return 1; done
}
until [ -s /issued/tls.crt ] && [ -s /issued/tls.key ] && [ -s /issued/ca.crt ]; do sleep 0.2; done
take
(
  told=yes
  while sleep "${LOOK_SECONDS:-30}"; do
    if ! cmp -s /issued/tls.crt /certs/tls.crt; then
      told=
      sleep 1 # its key may still be on the way
      take || { echo "with-certificates: the renewed certificate cannot be put into /certs; trying again" >&2; continue; }
    fi
    [ "$told" ] && continue
    if sh -c "${RENEWED:-kill -HUP 1}"; then
      told=yes
    else
      echo "with-certificates: $1 was not told of its renewed certificate; trying again" >&2
    fi
  done
) &
exec "$@"
