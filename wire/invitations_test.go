package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func sampleJoinToken(t *testing.T) JoinToken {
	t.Helper()
	secret, err := NewJoinSecret()
	if err != nil {
		t.Fatal(err)
	}
	return JoinToken{ClusterID: "c", NodeID: "n4", PeerAddress: "h:1", APIAddress: "https://h:2", ExpiresAt: "2026-01-01T00:00:00Z",
		Secret: secret, Members: []JoinMember{{"n1", "h:3", "https://h:4"}}, Authorities: [][]byte{{1, 2, 3}}}
}

// TestJoinTokens: a token reads back, with space around it. One with any character changed or cut off is refused, and the
// text of no error and of no print has the secret.
func TestJoinTokens(t *testing.T) {
	token := sampleJoinToken(t)
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseJoinToken("\n " + text + "\n"); err != nil || !reflect.DeepEqual(got, token) {
		t.Errorf("%v", err)
	}
	for i := range text {
		changed := text[:i] + "A" + text[i+1:]
		if text[i] == 'A' {
			changed = text[:i] + "B" + text[i+1:]
		}
		for _, bad := range []string{changed, text[:i]} {
			if _, err := ParseJoinToken(bad); !errors.Is(err, ErrJoinToken) || len(err.Error()) > 120 {
				t.Fatalf("character %d of %q: %v", i, bad, err)
			}
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", token, token, token); strings.Contains(s, fmt.Sprint(token.Secret[0], token.Secret[1])) {
		t.Errorf("a print shows the secret: %s", s)
	}
}

// TestIncompleteJoinTokens: a token that lacks a part is refused, and so is one of another release.
func TestIncompleteJoinTokens(t *testing.T) {
	for name, f := range map[string]func(*JoinToken){
		"cluster": func(j *JoinToken) { j.ClusterID = "" }, "node": func(j *JoinToken) { j.NodeID = "" },
		"peer": func(j *JoinToken) { j.PeerAddress = "" }, "members": func(j *JoinToken) { j.Members = nil },
		"authorities": func(j *JoinToken) { j.Authorities = nil }, "secret": func(j *JoinToken) { j.Secret = j.Secret[1:] },
	} {
		token := sampleJoinToken(t)
		f(&token)
		text, err := token.Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseJoinToken(text); !errors.Is(err, ErrJoinToken) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	body := JoinTokenPrefix + "eyJjbHVzdGVyIjoiYyIsIm1vcmUiOjF9" // {"cluster":"c","more":1}
	if _, err := ParseJoinToken(body + "_" + checksum(body)); !errors.Is(err, ErrJoinToken) {
		t.Errorf("a part that is not known: %v", err)
	}
}

// TestJoinTokenOfAnotherFormat: a token of another version is told apart from a text that is none.
func TestJoinTokenOfAnotherFormat(t *testing.T) {
	for text, other := range map[string]bool{"rcj2_YQ_00000000": true, "rcj10_x": true, "rcj0_": true, "rcj1_YQ_00000000": false,
		"rcj_YQ": false, "rcj2": false, "rcjx_a": false, "": false, "rca1_YQ_00000000": false} {
		_, err := ParseJoinToken(text)
		if !errors.Is(err, ErrJoinToken) || strings.Contains(err.Error(), "use the release that made it") != other {
			t.Errorf("%q: %v", text, err)
		}
	}
}
