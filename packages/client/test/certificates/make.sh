#!/usr/bin/env bash
# Makes the certificates of this folder anew, with OpenSSL 3.
set -euo pipefail
cd "$(dirname "$0")"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key.pem" 2>/dev/null; }
# NAME ISSUER EXTENSIONS [not before, not after]
issue() {
  key "$1"
  openssl req -new -key "$1.key.pem" -subj "/CN=$1.test" -out request.pem
  openssl x509 -req -in request.pem -CA "$2.certificate.pem" -CAkey "$2.key.pem" -set_serial "0x$(openssl rand -hex 8)" \
    -days "${4:-36500}" -extfile <(printf '%b' "$3") -out "$1.certificate.pem" 2>/dev/null
  rm request.pem
}
for name in authority stranger; do
  key "$name"
  openssl req -x509 -key "$name.key.pem" -days 36500 -subj "/CN=$name of the tests" -out "$name.certificate.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
done
local='subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
issue server authority "basicConstraints=CA:FALSE\n$local"
issue elsewhere authority 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:elsewhere.test\nextendedKeyUsage=serverAuth'
issue untrusted stranger "basicConstraints=CA:FALSE\n$local"
# Signed by a certificate that may not sign.
issue forged elsewhere "basicConstraints=CA:FALSE\n$local"
cat elsewhere.certificate.pem >>forged.certificate.pem
rm authority.key.pem stranger.key.pem stranger.certificate.pem
