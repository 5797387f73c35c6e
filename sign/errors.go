package sign

import "errors"

// Errors of Sign, Message, Verify and the constructors. Every error of this package wraps at most one of them.
var (
	// ErrSyntax: the text is not exactly one JSON object with unique names.
	ErrSyntax = errors.New("not one JSON object with unique names")
	// ErrRecord: a node would refuse the record with status 400, whatever its signature.
	ErrRecord = errors.New("not a valid record")
	// ErrID: pcs_id is not the hash of merkle_root, epoch and shard_id. SetID computes it.
	ErrID = errors.New("pcs_id is of another record")
	// ErrNoCanonical: the record is too deep, or a number of it too long, for the canonical form of pcs/2.
	ErrNoCanonical = errors.New("no canonical form under pcs/2")
	// ErrProfile: the profile cannot write a value of the record.
	ErrProfile = errors.New("not writable in the profile")
	// ErrOptions: the options contradict each other, the key or the record.
	ErrOptions = errors.New("options do not fit")
	// ErrKey: the bytes are no usable key of that algorithm, or the key cannot sign.
	ErrKey = errors.New("not a usable key")
	// ErrSignature: none of the keys of the Verifier made the signature.
	ErrSignature = errors.New("the signature does not verify")
)

// failure is an error of one of the kinds above. It prints the detail alone, which names what is wrong.
type failure struct {
	kind, detail error
}

func fail(kind, detail error) error { return &failure{kind, detail} }

func (f *failure) Error() string   { return f.detail.Error() }
func (f *failure) Unwrap() []error { return []error{f.kind, f.detail} }
