package verify

import (
	"encoding/hex"
	"testing"

	"github.com/recount-ledger/recount/internal/pcs"
)

// prepared is a scratch whose one candidate is an arbitrary message.
func prepared(msg []byte) *scratch {
	s := &scratch{buf: msg, n: 1}
	s.cands[0] = candidate{profile: pcs.F9, from: 0, to: len(msg)}
	return s
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWycheproofEd25519(t *testing.T) {
	t.Parallel()
	var file struct {
		TestGroups []struct {
			PublicKey struct{ PK string }
			Tests     []struct {
				TcID                      int
				Comment, Msg, Sig, Result string
			}
		}
	}
	dataJSON(t, "external/wycheproof-ed25519-test.json", &file)
	n := 0
	for _, g := range file.TestGroups {
		pub := unhex(t, g.PublicKey.PK)
		key, err := NewEd25519Key(pub)
		keySet := NewKeySet([]Key{key})
		for _, c := range g.Tests {
			n++
			ok := err == nil && keySet.try(prepared(unhex(t, c.Msg)), 0, 0, Raw, unhex(t, c.Sig))
			if ok != (c.Result == "valid") {
				t.Errorf("test %d (%s): %v, want %s", c.TcID, c.Comment, ok, c.Result)
			}
		}
	}
	if n != 151 {
		t.Errorf("%d tests, want 151", n)
	}
}

func TestWycheproofHMAC(t *testing.T) {
	t.Parallel()
	var file struct {
		TestGroups []struct {
			TagSize int
			Tests   []struct {
				TcID                           int
				Comment, Key, Msg, Tag, Result string
			}
		}
	}
	dataJSON(t, "external/wycheproof-hmac-sha256-test.json", &file)
	n := 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			n++
			key, err := NewHMACKey(unhex(t, c.Key))
			if err != nil {
				t.Fatal(err)
			}
			want := c.Result == "valid" && g.TagSize == 256 // a truncated tag is never accepted
			if ok := NewKeySet([]Key{key}).try(prepared(unhex(t, c.Msg)), 0, 0, Raw, unhex(t, c.Tag)); ok != want {
				t.Errorf("test %d (%s): %v, want %v", c.TcID, c.Comment, ok, want)
			}
		}
	}
	if n != 174 {
		t.Errorf("%d tests, want 174", n)
	}
}
