package event

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

// TestMembers: a message for reading has every member, bytes in hex, scopes in words and policies as their text.
func TestMembers(t *testing.T) {
	op := map[string]any{"actor": "alice", "op_id": "1"}
	for name, c := range map[string]struct {
		m    interface{ GetOp() *OpV1 }
		want map[string]any
	}{
		"bytes in hex": {&GenerationStartedV1{Policy: []byte{1, 0xab}, FromSeq: 1 << 60, Keys: 1},
			map[string]any{"policy": "01ab", "from_seq": "1152921504606846976", "keys": 1.0}},
		"empty members too": {&GenerationStartedV1{}, map[string]any{"policy": "", "from_seq": "0", "keys": 0.0}},
		"everything frozen": {&FrozenV1{}, map[string]any{"scope": "all", "subject": ""}},
		"a shard frozen":    {&FrozenV1{Scope: 1, Subject: "s"}, map[string]any{"scope": "shard", "subject": "s"}},
		"a key thawed":      {&ThawedV1{Scope: 2, Subject: "k"}, map[string]any{"scope": "key", "subject": "k"}},
		"a scope to come":   {&ThawedV1{Scope: 3}, map[string]any{"scope": 3.0, "subject": ""}},
		"a policy as text": {&PolicyPublishedV1{Policy: []byte("{}"), Source: []byte("a: 1\n")},
			map[string]any{"policy": "{}", "source": "a: 1\n"}},
		"a policy by its id": {&PolicyAppliedV1{Policy: []byte{0xff}}, map[string]any{"policy": "ff"}},
	} {
		got, err := Members(c.m.(OpMessage))
		delete(got, "op")
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v %v, want %v", name, got, err, c.want)
		}
	}
	got, err := Members(&KeyRetiredV1{KeyId: "k", Op: &OpV1{Actor: "alice", OpId: "1"}})
	members, _ := got["op"].(map[string]any)
	if err != nil || got["key_id"] != "k" || members["actor"] != op["actor"] || members["op_id"] != op["op_id"] {
		t.Errorf("%v %v", got, err)
	}
	if got, err := Members(&GenesisV1{ClusterId: "c", Policy: []byte("{}")}); err != nil || got["policy"] != "{}" ||
		got["cluster_id"] != "c" {
		t.Errorf("%v %v", got, err)
	}
	if got, err := Members(&TokenCreatedV1{Id: "\xff"}); err == nil {
		t.Errorf("a text that is none: %v", got)
	}
}

// TestAbout: the content of an operation leaves out who did it, and has a policy by its id.
func TestAbout(t *testing.T) {
	id := sha256.Sum256([]byte("{}"))
	for name, c := range map[string]struct {
		m    any
		want map[string]any
		err  error
	}{
		"a policy": {&PolicyPublishedV1{Policy: []byte("{}"), Op: sampleOp()},
			map[string]any{"policy": hex.EncodeToString(id[:])}, nil},
		"a key": {&KeyRetiredV1{KeyId: "k", Op: sampleOp()}, map[string]any{"key_id": "k"}, nil},
		"a freeze": {&FrozenV1{Scope: 1, Subject: "s", Op: sampleOp()},
			map[string]any{"scope": "shard", "subject": "s"}, nil},
		"no message": {"text", nil, ErrPayload},
		"nothing":    {nil, nil, ErrPayload},
	} {
		got, err := About(c.m)
		if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v %v, want %v", name, got, err, c.want)
		}
	}
}
