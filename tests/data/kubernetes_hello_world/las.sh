cat > las.yaml << EOF
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: local-attestation
  labels:
    k8s-app: local-attestation
spec:
  selector:
    matchLabels:
      k8s-app: local-attestation
  template:
    metadata:
      labels:
        k8s-app: local-attestation
    spec:
      hostNetwork: true
      containers:
        - name: local-attestation
          image: sconecuratedimages/kubernetes:las-scone4.2
          resources:
            limits:
              sgx.k8s.io/sgx: 1
          ports:
          - containerPort: 18766
            hostPort: 18766
EOF
