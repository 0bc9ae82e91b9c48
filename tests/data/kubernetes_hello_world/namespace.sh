export NS=HelloWorld-$RANDOM-$RANDOM
cat > namespace.yaml <<EOF
name: $NS

access_policy:
  read:
   - CREATOR
  update:
   - CREATOR
EOF
curl -v -k -s --cert conf/client.crt --key conf/client-key.key --data-binary @namespace.yaml -X POST https://$SCONE_CAS_ADDR:8081/v1/sessions
