package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cluster is a fake cluster of one node, which notes the credential of every request.
type cluster struct {
	*node
	dir, ca, token string
	asked          []string
}

func newCluster(t *testing.T, token string) *cluster {
	t.Helper()
	c := &cluster{node: newNode(t)}
	c.dir = dev(t, c.node)
	c.ca = filepath.Join(c.dir, "ca.pem")
	c.token = write(t, filepath.Join(t.TempDir(), "token"), token+"\n")
	if err := os.Mkdir(filepath.Join(c.dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.dir, "tokens", "operator.token"), token+"-operator\n")
	c.override = func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/events/") { // get asks there too when it has a credential
			c.asked = append(c.asked, r.Header.Get("Authorization"))
		}
		return false
	}
	return c
}

// TestOneSourceNamesTheCluster: what the command line names is asked with its own credential whatever the
// environment says, and no credential of one source goes to a cluster of another.
func TestOneSourceNamesTheCluster(t *testing.T) {
	prod, try := newCluster(t, "prod"), newCluster(t, "try")
	home := t.TempDir()
	inEnv := map[string]string{
		"RECOUNT_ENDPOINTS":  prod.server.URL,
		"RECOUNT_CA":         prod.ca,
		"RECOUNT_TOKEN_FILE": prod.token,
	}
	own := write(t, filepath.Join(t.TempDir(), "alice"), "alice\n")
	kept := map[string]string{"HOME": home}
	for _, args := range [][]string{{"context", "add", "prod", "--endpoint", prod.server.URL, "--ca", prod.ca,
		"--token-file", prod.token}, {"context", "add", "try", "--dev", try.dir}} {
		if r := runEnv(t, kept, "", args...); r.code != exitOK {
			t.Fatalf("%v: %+v", args, r)
		}
	}
	plus := func(m map[string]string, more ...string) map[string]string {
		all := map[string]string{"HOME": home}
		for k, v := range m {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	for name, c := range map[string]struct {
		env   map[string]string
		args  string
		asks  *cluster // nil: refused, and nobody is asked
		token string   // or part of the refusal
	}{
		"--dev beats the environment":     {inEnv, "--dev " + try.dir, try, "try-operator"},
		"--context beats the environment": {plus(inEnv), "--context try", try, "try-operator"},
		"a credential completes --dev":    {inEnv, "--dev " + try.dir + " --token-file " + own, try, "alice"},
		"one node of --dev": {inEnv, "--dev " + try.dir + " --endpoint " + try.server.URL, try,
			"try-operator"},
		"the command line alone": {nil, "--endpoint " + try.server.URL + " --ca " + try.ca, try, ""},
		"all on the command line": {inEnv,
			"--endpoint " + try.server.URL + " --ca " + try.ca + " --token-file " + own, try, "alice"},
		"the environment":                    {inEnv, "", prod, "prod"},
		"a credential completes it":          {inEnv, "--token-file " + own, prod, "alice"},
		"the environment beats the context":  {plus(nil, "RECOUNT_DEV", try.dir), "", try, "try-operator"},
		"the current context":                {plus(nil), "", prod, "prod"},
		"a credential completes the context": {plus(nil), "--token-file " + own, prod, "alice"},
		"RECOUNT_CONTEXT":                    {plus(nil, "RECOUNT_CONTEXT", "try"), "", try, "try-operator"},

		"a token of the environment": {inEnv, "--endpoint " + try.server.URL + " --ca " + try.ca, nil,
			"--endpoint comes from the command line and RECOUNT_TOKEN_FILE from the environment"},
		"an authority of the environment": {inEnv, "--endpoint " + try.server.URL + " --token-file " + own,
			nil, "RECOUNT_CA from the environment"},
		"--ca and endpoints of the env": {inEnv, "--ca " + try.ca, nil,
			"--ca comes from the command line and RECOUNT_ENDPOINTS from the environment"},
		"--dev and --context": {plus(nil), "--context prod --dev " + try.dir, nil,
			"--dev and --context both name a cluster"},
		"--dev and a node of another one": {nil, "--dev " + try.dir + " --endpoint " + prod.server.URL, nil,
			"is no node of --dev"},
		"--dev and another authority": {nil, "--dev " + try.dir + " --ca " + prod.ca, nil,
			"has its own authority"},
		"RECOUNT_DEV beside a token": {plus(nil, "RECOUNT_DEV", try.dir, "RECOUNT_TOKEN_FILE",
			prod.token), "", nil, "RECOUNT_DEV names a whole cluster"},
		"RECOUNT_DEV and RECOUNT_ENDPOINTS": {plus(inEnv, "RECOUNT_DEV", try.dir), "", nil, "Unset all but one"},
		"a context that does not exist":     {plus(nil), "--context prd", nil, `did you mean "prod"?`},
		"nothing":                           {nil, "", nil, "--context NAME"},
		"an authority without an endpoint":  {nil, "--ca " + try.ca, nil, "for no endpoint"},
		"a certificate without its key":     {inEnv, "--cert " + own, nil, "both of --cert and --cert-key"},
		"a file of contexts for all to write": {plus(nil, "RECOUNT_CONFIG", openFile(t)), "", nil,
			"can be written by others"},
	} {
		prod.asked, try.asked = nil, nil
		r := runEnv(t, c.env, "", append([]string{"get", someID}, strings.Fields(c.args)...)...)
		if c.asks == nil {
			if r.code != exitUsage || !strings.Contains(r.err, c.token) || len(prod.asked)+len(try.asked) != 0 {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		want := strings.TrimSuffix("Bearer "+c.token, "Bearer ")
		if r.code != exitOK || len(prod.asked)+len(try.asked) != 1 || len(c.asks.asked) != 1 ||
			c.asks.asked[0] != want {
			t.Errorf("%s: %+v, prod was sent %q, try %q", name, r, prod.asked, try.asked)
		}
	}
}

func openFile(t *testing.T) string {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "config.yaml"), "contexts: {}\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContexts(t *testing.T) {
	c, home := newCluster(t, "secret-text"), t.TempDir()
	env := map[string]string{"XDG_CONFIG_HOME": home}
	path := filepath.Join(home, "recount", "config.yaml")
	for _, x := range []struct {
		args string
		code int
		says string // part of stdout and stderr
	}{
		{"context list", exitOK, "There is none in " + path},
		{"context add prod --endpoint " + c.server.URL + " --ca " + c.ca + " --token-file " + c.token, exitOK,
			"prod is the current context"},
		{"context add prod --dev " + c.dir, exitUsage, "there is a context \"prod\" already"},
		{"context add try --dev " + c.dir, exitOK, "recount context use try"},
		{"context add b@d/name --dev " + c.dir, exitUsage, "a name has at most 64"},
		{"context add x", exitUsage, "a context is a cluster"},
		{"context add x --endpoint ledger-1:9440", exitUsage, "https://ledger-1:9440"},
		{"context add x --endpoint https://a --token-file nowhere", exitUsage, "--token-file"},
		{"context add x --dev " + home, exitUsage, "no endpoints.json"},
		{"context add x --dev " + c.dir + " --ca " + c.ca, exitUsage, "whole cluster"},
		{"context use tyr", exitUsage, `did you mean "try"?`},
		{"context use try", exitOK, c.dir},
		{"context show", exitOK, c.dir},
		{"context show prod", exitOK, c.token},
		{"context show none", exitUsage, "there is prod, try"},
		{"context list", exitOK, "*  try"},
		{"context add prod --replace --endpoint " + c.server.URL, exitOK, c.server.URL},
		{"context remove try", exitOK, "was the current context"},
		{"context show", exitUsage, "no such context"},
		{"context remove try", exitUsage, "no such context"},
		{"audit", exitUsage, "no endpoint given"},
	} {
		r := runEnv(t, env, "", strings.Fields(x.args)...)
		if said := strings.Join(strings.Fields(r.out+r.err), " "); r.code != x.code ||
			!strings.Contains(said, strings.Join(strings.Fields(x.says), " ")) {
			t.Errorf("%s: %+v", x.args, r)
		}
	}
	info, err := os.Stat(path)
	text, readErr := os.ReadFile(path)
	if err != nil || readErr != nil || info.Mode().Perm() != 0o600 || strings.Contains(string(text), "secret-text") {
		t.Errorf("%v %v %v\n%s", err, readErr, info, text)
	}
	for _, bad := range []string{"contexts: [", "contexts: {}\nsecret: x\n", "contexts: {}\n---\ncontexts: {}\n",
		"current: gone\ncontexts: {}\n"} {
		write(t, path, bad)
		if r := runEnv(t, env, "", "context", "list"); r.code != exitUsage || !strings.Contains(r.err, path) {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

// TestOperationsNameTheirCluster: on stderr, so that JSON stays whole, and not with -q.
func TestOperationsNameTheirCluster(t *testing.T) {
	c := newCluster(t, "x")
	c.override = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/freezes" {
			_, _ = w.Write([]byte(`{"scope":"all","seq":7,"at":"2026-01-02T03:04:05Z","reason":"r"}`))
			return true
		}
		return false
	}
	args := []string{"freeze", "--reason", "r", "-o", "json", "--dev", c.dir}
	r := run(t, "", args...)
	if r.code != exitOK || !json.Valid([]byte(r.out)) || r.err != "cluster dev, node-1 (--dev "+c.dir+")\n" {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", append(args, "-q")...); r.code != exitOK || r.err != "" {
		t.Errorf("%+v", r)
	}
}
