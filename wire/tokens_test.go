package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for _, role := range Roles() {
		text, id, err := NewToken(role)
		if err != nil || seen[id] || !strings.HasPrefix(text, "rct_"+string(role)+"_"+id+"_") {
			t.Fatalf("%s %s: %v", text, id, err)
		}
		seen[id] = true
		gotRole, gotID, err := ParseToken(text)
		if err != nil || gotRole != role || gotID != id || !ValidTokenID(id) || len(TokenDigest(text)) != 64 {
			t.Errorf("%s: %q %q %v", text, gotRole, gotID, err)
		}
		for i := range len(text) { // one wrong character anywhere is seen before anything else is looked at
			for _, c := range []byte{'_', 'a', 'b', '7', 'A', 0, '\n'} {
				if wrong := text[:i] + string(c) + text[i+1:]; wrong != text {
					if _, _, err := ParseToken(wrong); !errors.Is(err, ErrToken) {
						t.Errorf("%q: %v", wrong, err)
					}
				}
			}
		}
	}
	// The right checksum over another form.
	for _, body := range []string{"", "rct", "rct_operator_a_b", "rct_root_" + strings.Repeat("a", 16) + "_" + strings.Repeat("a", 52),
		"rct_operator_" + strings.Repeat("a", 16) + "_" + strings.Repeat("a", 53), "rct_operator_" + strings.Repeat("a", 15) + "\n_" + strings.Repeat("a", 52),
		"xct_operator_" + strings.Repeat("a", 16) + "_" + strings.Repeat("a", 52)} {
		if _, _, err := ParseToken(body + "_" + checksum(body)); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if _, _, err := NewToken("root"); !errors.Is(err, ErrToken) {
		t.Error(err)
	}
	for name, want := range map[string]bool{"": false, "alice": true, "a@b.c-d_e": true, "a b": false, "ä": false, strings.Repeat("x", 65): false, "a/b": false} {
		if ValidActor(name) != want {
			t.Errorf("%q", name)
		}
	}
}
