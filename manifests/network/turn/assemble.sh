#!/bin/sh
# Puts coturn's configuration together in memory: a secret in an argument would be in everybody's list of processes.
# Each line of the file static-auth-secret is one secret that is accepted, so that a new one can be brought in before the
# old one goes.
set -eu
umask 077
[ -s /etc/turn/secret/static-auth-secret ] || { echo "the Secret coturn-auth has no static-auth-secret" >&2; exit 1; }
{
  cat /etc/turn/config/turnserver.conf
  printf '\nlistening-ip=%s\nrelay-ip=%s\nallowed-peer-ip=%s\n' "$NODE_ADDRESS" "$NODE_ADDRESS" "$NODE_ADDRESS"
  # Behind address translation: the address that users see, and it is a peer too.
  [ -z "${EXTERNAL_ADDRESS:-}" ] ||
    printf 'external-ip=%s/%s\nallowed-peer-ip=%s\n' "$EXTERNAL_ADDRESS" "$NODE_ADDRESS" "$EXTERNAL_ADDRESS"
  sed -n 's/^\(..*\)$/static-auth-secret=\1/p' /etc/turn/secret/static-auth-secret
} > /run/turn/turnserver.conf
