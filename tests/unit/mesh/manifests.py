"""Manifests as users write them."""

from __future__ import annotations

from typing import Final

__all__ = ["MESH", "SERVICE"]

SERVICE: Final = """\
apiVersion: scone/5.8
kind: genservice

environment:
  local:
    - name: SCONE_HEAP
      value: 760M
    - name: SCONE_ALLOW_DLOPEN
      value: 1
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
    - name: EXCLAIM
      value: "!#what!$#"   # a comment and signs of the shell
    - name: NOTE
      value: $$SCONE::note$$
    - name: PLACE
      value: {{HOST}}:{{PORT}}
  global:
    - name: API_USER
    - name: GREETING
      value: hello
    - name: NOTHING
      value: ""

secrets:
  global:
  - name: password
    kind: ascii
    size: 10
  - name: note
    kind: ascii
    value: |+2
          of several lines
       with $, # and "

  import: [OTHER_CERTIFICATE]

injection_files:
  - path: /etc/ca.crt
    content: $$SCONE::OTHER_CERTIFICATE.chain$$
  - path: /etc/resolv.conf
    content: |
      nameserver {{DNS}}

build:
  name: python-hello-user
  kind: python
  to: registry.example.com/demo/hello:1
  pwd: /python
  command: python3 print_env.py
  requirements: requirements.txt
  copy:
    - print_env.py
  signature:
    sign: true
  run:
    - >
     echo "one command"
     && echo "of two lines"
    - echo "another"
"""

MESH: Final = """\
apiVersion: scone/5.8.0
kind: mesh

cas:
  - name: cas
    alias: ["image", "security"]
    cas_url: cas.scone-system
    cas_key:
    tolerance: "-C -G -S"
    mode: EncryptedManifest

policy:
  namespace: demo-1/apps
  tolerate: "outdated-tcb, hyperthreading,debug"
  ignore_advisories: "*"

env:
  - service: global
    env:
      - name: API_USER
        value: everybody
      - name: PORT
        value: 443
  - service: helm
    env:
      - name: PORT
        value: 444
      - name: imagePullSecrets
        value: registry
  - service: first
    env:
      - name: API_USER
        value: me
  - name: LATE
    value: "yes"

services:
  - name: first
    image: registry.example.com/demo/hello:1
    image_secrets: secrets.yaml
  - image: registry.example.com/demo/other:2
"""
