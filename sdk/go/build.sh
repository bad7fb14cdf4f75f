#!/bin/sh
# Renders protos/ for Go and builds the programs of sdk/go, from Debian's packages alone and without a network:
#   sdk/go/build.sh PYTHON OUT      (OUT gets provost-conformance)
# PYTHON is one with grpcio-tools, which brings protoc. tests/system/packages.txt names the Debian packages.
set -eu
python=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
protos=$here/../../protos
src=$out/go/src/provost
mkdir -p "$src/gen"

files=$(cd "$protos" && find . -name '*.proto' | sed 's|^\./||' | LC_ALL=C sort)
places=
for file in $files; do # provost/policy/v1/policy.proto is rendered into provost/gen/policy/v1
	places="$places,M$file=provost/gen/$(dirname "${file#provost/}")"
done
"$python" -m grpc_tools.protoc -I "$protos" \
	--go_out="$out/go/src" --go_opt="${places#,}" --go-grpc_out="$out/go/src" --go-grpc_opt="${places#,}" $files

ln -sfn "$here/provost" "$src/sdk"
export GOPATH="$out/go:/usr/share/gocode" GO111MODULE=off GOFLAGS= GOCACHE="${GOCACHE:-$out/cache}"
ln -sfn "$here/conformance" "$src/conformance"
go vet provost/sdk provost/conformance
go test provost/sdk
go build -o "$out/provost-conformance" provost/conformance
