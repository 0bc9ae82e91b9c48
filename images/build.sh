#!/usr/bin/env bash
# Build the curated images on an image of yours that has python3, cp and a shell: images/build.sh BASE_IMAGE [PREFIX [IMAGE…]]
# They are called PREFIX-python, PREFIX-tools, … (PREFIX is `bannock` by default). `bannock` is the command of this
# installation, or $BANNOCK: the images have its runtime. $LAYERS may name a directory that keeps its layers, runtime.tar.gz
# and whole.tar.gz, for the next time.
set -euo pipefail
base=${1:?usage: images/build.sh BASE_IMAGE [PREFIX [IMAGE…]]}
prefix=${2:-bannock}
wanted=("${@:3}")
[ ${#wanted[@]} -gt 0 ] || wanted=(python tools las cas cli copy_demo)
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here/protect.sh" "$here/cas/cas.toml" "$context"
read -ra bannock <<<"${BANNOCK:-bannock}"

layers=${LAYERS:-$context}

layer() {
    [ -e "$layers/$1.tar.gz" ] || "${bannock[@]}" runtime build-layer "${@:2}" "$layers/$1.tar.gz" >/dev/null
    [ -e "$context/$1.tar.gz" ] || cp "$layers/$1.tar.gz" "$context"
}

for image in "${wanted[@]}"; do
    from=$base
    case $image in
        python | copy_demo) layer runtime ;;
        tools) layer whole --whole && from=$prefix-python ;;
        las | cas) layer whole --whole && from=scratch ;;
        cli) layer whole --whole ;;
        *) echo "there is no image $image" >&2 && exit 2 ;;
    esac
    # What is not in a Dockerfile's words is not sent to the engine either.
    printf '*\n' >"$context/.dockerignore"
    sed -En 's/^(ADD|COPY) ([^ ]+) .*/!\2/p' "$here/$image/Dockerfile" >>"$context/.dockerignore"
    docker build --quiet --build-arg BASE_IMAGE="$from" -f "$here/$image/Dockerfile" -t "$prefix-$image" "$context"
done
