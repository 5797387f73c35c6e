package log

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func FuzzValueHeader(f *testing.F) {
	r := record{Entry: Entry{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("data")}, ext: []byte("x"), floor: 5}
	for _, at := range []time.Time{{}, time.Unix(0, 1), time.Unix(1700000000, 5)} {
		r.appended = at
		v := make([]byte, r.size())
		r.encode(v)
		f.Add(uint64(7), v)
		f.Add(uint64(2), v)
		f.Add(uint64(7), v[:headerSize])
	}
	f.Add(uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, index uint64, v []byte) {
		r, err := decodeRecord(index, v)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if r.floor > index || r.Index != index || r.size() != len(v) {
			t.Fatalf("%+v", r)
		}
		again := make([]byte, r.size())
		r.encode(again)
		if !bytes.Equal(again, v) {
			t.Fatalf("%x became %x", v, again)
		}
	})
}

// TestEntryOfTomorrow: an entry of a later format is refused for its format, with what to do.
func TestEntryOfTomorrow(t *testing.T) {
	r := record{Entry: Entry{Index: 7, Term: 1}}
	v := make([]byte, r.size())
	r.encode(v)
	if _, err := decodeRecord(7, v); err != nil {
		t.Fatal(err)
	}
	v[0] = valueFormat + 1
	if _, err := decodeRecord(7, v); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "start that one") {
		t.Errorf("%v", err)
	}
}
