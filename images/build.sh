#!/usr/bin/env bash
# Build the curated images on an image of yours that has python3, cp and a shell: images/build.sh BASE_IMAGE [PREFIX [IMAGE…]]
# They are called PREFIX-python, PREFIX-tools, … (PREFIX is `bannock` by default). `bannock` is the command of this
# installation, or $BANNOCK: the images have its runtime. $LAYERS may name a directory that keeps its layers, runtime.tar.gz
# and whole.tar.gz, for the next time.
# `blender` and `blender_python` are built where they are named, on a base image with Debian's packages blender, libegl1 and
# libegl-mesa0. Besides, the sessions of their maker are written, with the keys of the images: $SESSIONS/IMAGE.yaml
# (here by default). `sconify_image` is that of the path, or $SCONIFY_IMAGE.
set -euo pipefail
base=${1:?usage: images/build.sh BASE_IMAGE [PREFIX [IMAGE…]]}
prefix=${2:-bannock}
wanted=("${@:3}")
[ ${#wanted[@]} -gt 0 ] || wanted=(python tools las cas cli copy_demo copy_dapp)
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here/protect.sh" "$here/cas/cas.toml" "$here/check_cpufeatures/check_cpufeatures.sh" "$context"
read -ra bannock <<<"${BANNOCK:-bannock}"
read -ra sconify <<<"${SCONIFY_IMAGE:-sconify_image}"
layers=${LAYERS:-$context}

layer() {
    [ -e "$layers/$1.tar.gz" ] || "${bannock[@]}" runtime build-layer "${@:2}" "$layers/$1.tar.gz" >/dev/null
    [ -e "$context/$1.tar.gz" ] || cp "$layers/$1.tar.gz" "$context"
}

build() {
    local name=$1 from=$2 image=$3
    [ ! -e "$here/$image/application.yaml" ] || cp -r "$here/$image" "$context"
    # What is not in a Dockerfile's words is not sent to the engine either.
    printf '*\n' >"$context/.dockerignore"
    awk '$1 == "ADD" || $1 == "COPY" {for (i = 2; i < NF; i++) print "!" $i}' "$here/$image/Dockerfile" >>"$context/.dockerignore"
    docker build --quiet --build-arg BASE_IMAGE="$from" -f "$here/$image/Dockerfile" -t "$name" "$context"
}

# The system is authenticated and stays as it is, so that everybody has its layers once; what Blender writes on its way
# is in memory.
protect() {
    "${sconify[@]}" --from="$prefix-$1-native" --to="$prefix-$1" --binary=/usr/bin/blender \
        --authenticate=/usr --authenticate=/etc --ephemeral=/tmp --ephemeral=/var/tmp --ephemeral=/root \
        --fspf=/usr/fspf.pb --template="$here/$1/maker.yaml" --name="$2" --service-name=blender --disable-copy-envvars \
        --session="${SESSIONS:-.}/$1.yaml" --disable-session-upload >/dev/null
}

for image in "${wanted[@]}"; do
    case $image in
        python | copy_demo) layer runtime && build "$prefix-$image" "$base" "$image" ;;
        copy_dapp) build "$prefix-$image" "$prefix-copy_demo" "$image" ;;
        tools) layer whole --whole && build "$prefix-$image" "$prefix-python" "$image" ;;
        las | cas | sgxdevplugin) layer whole --whole && build "$prefix-$image" scratch "$image" ;;
        cli) layer whole --whole && build "$prefix-$image" "$base" "$image" ;;
        sconecli) layer whole --whole && build "$prefix-$image" "$base" tools ;;
        check_cpufeatures) build "$prefix-$image" "$base" "$image" ;;
        blender_python) build "$prefix-$image-native" "$base" "$image" && protect "$image" bannock:blender_python ;;
        blender)
            docker image inspect "$prefix-blender_python-native" >/dev/null 2>&1 ||
                build "$prefix-blender_python-native" "$base" blender_python
            build "$prefix-$image-native" "$prefix-blender_python-native" "$image" && protect "$image" bannock:blender
            ;;
        *) echo "there is no image $image" >&2 && exit 2 ;;
    esac
done
