#!/usr/bin/env bash
# Build the native image of the service, and a self-signed certificate to try it with.
set -euo pipefail
cd "$(dirname "$0")"
: "${BASE_IMAGE:?an image with Python 3 and Flask}"
NATIVE_IMAGE=${NATIVE_IMAGE:-native_flask_restapi_image}
mkdir -p tls
# The key stays beside the image: a key in a layer is everybody's who gets the image.
[ -e tls/flask.key ] || openssl req -x509 -newkey rsa:2048 -keyout tls/flask.key -out tls/flask.crt -days 365 -nodes \
    -subj /CN=api -addext subjectAltName=DNS:api
docker build -q --build-arg "BASE_IMAGE=$BASE_IMAGE" -t "$NATIVE_IMAGE" .
