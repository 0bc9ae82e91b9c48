#!/usr/bin/env bash
# Put into a registry what sconectl and charts take from $SCONECTL_REPO: images/publish.sh BASE_IMAGE REPOSITORY [VERSION [IMAGE…]]
#   python             what services of kind python are built on: BASE_IMAGE itself, which has to have python3 and pip
#   KIND=IMAGE         likewise for another kind, or for what compiles it: node=IMAGE, go=IMAGE, go-build=IMAGE
#   sconecli           has the command scone, for jobs of charts
#   check_cpufeatures  tells whether a processor has what it takes
#   las, cas, sgxdevplugin   the services, as REPOSITORY/bannock-las, …
# They are called REPOSITORY/IMAGE:VERSION (latest); without names, all of these but other kinds. They are built by images/build.sh
# under $PREFIX (`bannock` by default), with what it takes from the environment.
set -euo pipefail
base=${1:?usage: images/publish.sh BASE_IMAGE REPOSITORY [VERSION [IMAGE…]]}
repository=${2:?usage: images/publish.sh BASE_IMAGE REPOSITORY [VERSION [IMAGE…]]}
repository=${repository%/}
version=${3:-latest}
wanted=("${@:4}")
[ ${#wanted[@]} -gt 0 ] || wanted=(python sconecli check_cpufeatures las cas sgxdevplugin)
here=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-bannock}

push() {
    docker tag "$1" "$2:$version"
    docker push --quiet "$2:$version"
}

for image in "${wanted[@]}"; do
    case $image in
        python)
            docker run --rm --entrypoint "" "$base" python3 -m pip --version >/dev/null ||
                { echo "$base has no pip, which services of kind python need" >&2 && exit 2; }
            push "$base" "$repository/python"
            ;;
        *=*) push "${image#*=}" "$repository/${image%%=*}" ;;
        sconecli | check_cpufeatures | las | cas | sgxdevplugin)
            "$here/build.sh" "$base" "$prefix" "$image"
            case $image in
                sconecli | check_cpufeatures) push "$prefix-$image" "$repository/$image" ;;
                *) push "$prefix-$image" "$repository/bannock-$image" ;;
            esac
            # What clients that attest it have to expect: its software is not quite that of this installation.
            [ "$image" != cas ] || echo "MRENCLAVE of this CAS: $(docker run --rm -e SCONE_HASH=1 "$prefix-cas")"
            ;;
        *) echo "there is no image $image" >&2 && exit 2 ;;
    esac
done
