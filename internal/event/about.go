package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// freezeScopes are the words for the scopes of freezes and thaws.
var freezeScopes = [...]string{"all", "shard", "key"}

// Members is a message for reading: bytes in hex, as everywhere else, and scopes in words.
func Members(m proto.Message) (map[string]any, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	r := m.ProtoReflect()
	for fields, i := r.Descriptor().Fields(), 0; i < fields.Len(); i++ {
		if f := fields.Get(i); f.Kind() == protoreflect.BytesKind && !f.IsList() {
			out[string(f.Name())] = hex.EncodeToString(r.Get(f).Bytes())
		}
	}
	if s, ok := m.(interface{ GetScope() uint32 }); ok && int(s.GetScope()) < len(freezeScopes) {
		out["scope"] = freezeScopes[s.GetScope()]
	}
	switch m := m.(type) { // both are text
	case *GenesisV1:
		out["policy"] = string(m.Policy)
	case *PolicyPublishedV1:
		out["policy"], out["source"] = string(m.Policy), string(m.Source)
	}
	return out, nil
}

// About returns the content of an operator's event except its actor and reason. For a policy that is the id.
func About(m any) (map[string]any, error) {
	switch m := m.(type) {
	case *PolicyPublishedV1:
		id := sha256.Sum256(m.Policy)
		return map[string]any{"policy": hex.EncodeToString(id[:])}, nil
	case proto.Message:
		about, err := Members(m)
		delete(about, "op")
		return about, err
	}
	return nil, ErrPayload
}
