cat > session.yaml << EOF
name: $NS~hello-k8s-scone
version: "0.2"

services:
   - name: application
     mrenclaves: [$MRENCLAVE]
     command: python3 /app/server.py
     pwd: /
     environment:
        GREETING: hello from SCONE!!!
EOF
