MRENCLAVE=`docker run -i --rm -e "SCONE_HASH=1" $IMAGE`
