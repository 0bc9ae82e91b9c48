# What the session has beside what sconify_image writes: a CA, and the certificate of the service by it. Source this file.
SECRETS=$(cat <<'PART'
secrets:
- name: api_ca_key
  kind: private-key
- name: api_ca_cert
  kind: x509-ca
  export_public: true
  private_key: api_ca_key
- name: flask_key
  kind: private-key
- name: flask
  kind: x509
  private_key: flask_key
  issuer: api_ca_cert
  dns:
  - api
PART
)
INJECTED_FILES=$(cat <<'PART'
injection_files:
- path: "/tls/flask.crt"
  content: $$SCONE::flask.crt$$
- path: "/tls/flask.key"
  content: "$$SCONE::flask.key$$"
PART
)
export SECRETS INJECTED_FILES
