#!/bin/sh
# Exit code 0 if the processor has the instructions that the runtime's cryptography is fast with, 1 if it lacks one.
set -eu
case $(uname -m) in
    x86_64) needed="aes pclmulqdq ssse3 sse4_1 sse4_2 rdrand" ;;
    aarch64) needed="aes pmull sha2" ;;
    *) echo "the runtime is not made for processors of type $(uname -m)" >&2 && exit 1 ;;
esac
features=" "
while read -r name rest; do
    case $name in
        flags | Features) features=" ${rest#*:} " && break ;;
    esac
done </proc/cpuinfo
missing=
for feature in $needed; do
    case $features in
        *" $feature "*) echo "$feature: yes" ;;
        *) echo "$feature: no" && missing="$missing $feature" ;;
    esac
done
[ -z "$missing" ] || { echo "the processor lacks:$missing; emulators take them as options (-cpu qemu64,+aes,…)" >&2 && exit 1; }
