#!/bin/sh
# Makes .env from .env.example, with a random value where there is none. What is in .env already stays as it is.
set -eu
cd "$(dirname "$0")"
umask 077
touch .env
while IFS= read -r line; do
  name=${line%%=*}
  case $line in
    '' | '#'*) continue ;;
  esac
  grep -q "^$name=" .env && continue
  # The letter in front matters: nats-server reads a variable that looks like a number as one.
  [ "$line" != "$name=" ] || line="${name}=p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
  printf '%s\n' "$line" >> .env
done < .env.example
echo "secrets are in $(pwd)/.env"
