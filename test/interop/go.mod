module github.com/recount-ledger/recount/test/interop

go 1.26.0

require (
	filippo.io/torchwood v0.9.0
	github.com/recount-ledger/recount v0.0.0
	github.com/transparency-dev/formats v0.1.1
	github.com/transparency-dev/merkle v0.0.2
	golang.org/x/mod v0.42.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sync v0.19.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/recount-ledger/recount => ../..
