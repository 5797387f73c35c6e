package trace

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSettings: what is refused, and with which words.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		tune func(*Settings)
		want string
	}{
		"off":                {func(s *Settings) { s.CAFile = "/none" }, ""},
		"plain":              {func(s *Settings) { s.Endpoint = "http://otel.example:4318" }, ""},
		"loopback, headers":  {func(s *Settings) { s.Endpoint, s.HeadersFile = "http://[::1]:4318", "/h" }, ""},
		"headers in clear":   {func(s *Settings) { s.Endpoint, s.HeadersFile = "http://otel:4318", "/h" }, "clear text"},
		"authority, no TLS":  {func(s *Settings) { s.Endpoint, s.CAFile = "http://otel:4318", "/c" }, "has no effect"},
		"a user":             {func(s *Settings) { s.Endpoint = "https://me:secret@otel" }, "without user"},
		"no host":            {func(s *Settings) { s.Endpoint = "https://:4318" }, "must be a URL"},
		"other protocol":     {func(s *Settings) { s.Protocol = "grpc" }, "http/protobuf or http/json"},
		"too often":          {func(s *Settings) { s.SampleRatio = 2 }, "between 0 (none) and 1"},
		"too many of a kind": {func(s *Settings) { s.ClientRate = 1e6 }, "between 0 (none) and 1000"},
	} {
		s := Defaults()
		c.tune(&s)
		err := errors.Join(s.Validate()...)
		checkError(t, name, err, c.want)
	}
	if _, err := New(Options{Settings: Settings{Endpoint: "x"}}); err == nil {
		t.Error("a tracer with bad settings")
	}
	for endpoint, path := range map[string]string{
		"https://o": "/v1/traces", "https://o/": "/v1/traces", "https://o/otlp": "/otlp",
	} {
		if u, err := (Settings{Endpoint: endpoint}).url(); err != nil || u.Path != path {
			t.Errorf("%s: %v %v", endpoint, u, err)
		}
	}
}

// TestFiles: every file is read before a start, and its content is in no message.
func TestFiles(t *testing.T) {
	open := file(t, "Authorization: Bearer secret")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s    Settings
		want string
	}{
		"none":           {Settings{}, ""},
		"no authority":   {Settings{CAFile: file(t, "secret")}, "no certificate"},
		"no file":        {Settings{CAFile: "/none/of/these"}, "ca_file"},
		"readable":       {Settings{HeadersFile: open}, "chmod 600"},
		"no header":      {Settings{HeadersFile: file(t, "# one\n\nsecret\n")}, "line 3"},
		"a bad name":     {Settings{HeadersFile: file(t, "Secret name: secret")}, "line 1"},
		"a control byte": {Settings{HeadersFile: file(t, "X: secret\x01")}, "line 1"},
		"headers":        {Settings{HeadersFile: file(t, "X: secret\r\nX: two\n")}, ""},
	} {
		err := errors.Join(c.s.CheckFiles()...)
		checkError(t, name, err, c.want)
	}
}

// checkError compares an error with a part of its text, "" for none. No text may have a secret.
func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	text := fmt.Sprint(err)
	if (err == nil) != (want == "") || !strings.Contains(text, want) || strings.Contains(text, "secret") {
		t.Errorf("%s: %v", name, err)
	}
}
