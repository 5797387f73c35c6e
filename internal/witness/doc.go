// Package witness cosigns the checkpoints of ledgers that only grow. It implements C2SP tlog-witness: a server, run by
// somebody other than the operator of the ledger, that remembers the newest checkpoint of each ledger.
//
//	POST /add-checkpoint
//	old 300                          the size that the witness has seen, says the sender
//	<hash in base64>                 a consistency proof from there
//	…
//
//	recount/ledger                   the new checkpoint, signed by the ledger
//	340
//	CsUYapGGPo4dkMgIAUqom/Xajj7h…
//
//	— recount/ledger Az3grlgtzPICa5OS8npVmf1Myq/5IZni…
//
// The answer, and what the witness does, in this order:
//
//	404  it does not know the ledger
//	403  no key of the ledger that it trusts signed the checkpoint
//	400  the request is malformed
//	409  it has seen another size, which is the answer, or another root at this size: a fork
//	422  the proof does not lead from what it has seen to the new checkpoint
//	200  it wrote the checkpoint to its disk, and the answer is its cosignature
//
// A witness never cosigns two checkpoints that are not of one growing tree, also after a power loss: it answers 200
// only after the file of the ledger is durable. A failure to write it is 500, and the witness goes on with the
// checkpoint before.
//
// A checkpoint that the ledger signed and that contradicts what the witness has seen is kept with what it contradicts,
// in a file that anybody can check. Nothing else can make that file: the signature of the ledger is on both.
//
// Files of the directory:
//
//	LOCK              held while a witness runs
//	ledgers/<id>.note the newest checkpoint of a ledger, cosigned by this witness
//	forks/<id>-<digest>.json
//
// The id is the SHA-256 of the origin in hex. A start renames files that have the first 16 digits of it only.
package witness
