#!/bin/sh
# Put programs of an image aside, and the launcher in their places, so that they start as enclaves: protect.sh PROGRAM…
# A program is named as it is called; links to it stay links.
set -eu
for name; do
    program=$(readlink -f "$(command -v "$name")")
    aside=/opt/bannock/programs$program
    if [ ! -e "$aside" ]; then
        mkdir -p "${aside%/*}"
        mv "$program" "$aside"
        printf '#!/opt/bannock/bin/launch\n' >"$program"
        chmod 755 "$program"
    fi
done
