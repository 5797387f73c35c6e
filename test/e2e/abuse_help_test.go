package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// abused is a cluster of the built binary that holds the keys of the abuse tests as well, and those who send to it.
type abused struct {
	*harness.Cluster
	t       *testing.T
	ctx     context.Context
	http    *http.Client
	records *nodetest.Records
}

func abuse(t *testing.T, nodes int, env ...string) *abused {
	t.Helper()
	c, ctx := start(t, nodes, append(abuseKeys(), env...)...)
	a := &abused{Cluster: c, t: t, ctx: ctx, records: nodetest.NewRecords(t)}
	a.http = a.from("127.0.0.1")
	return a
}

// abuseKeys are the settings with the keys of the records.
func abuseKeys() []string {
	public := base64.StdEncoding.EncodeToString(nodetest.AbusePrivate.Public().(ed25519.PublicKey))
	return []string{"PCS_HMAC_KEYS=" + harness.BenchKey + "," + nodetest.AbuseSecret, "PCS_ED25519_PUB_B64=" + public}
}

// from is a client without credentials that comes from a loopback address.
func (a *abused) from(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	tr := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: a.TLS(), MaxIdleConnsPerHost: 64}
	a.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Timeout: 30 * time.Second, Transport: tr}
}

// as is a client of the project with the token of a role.
func (a *abused) as(role wire.Role) *client.Client {
	a.t.Helper()
	ca, err := os.ReadFile(filepath.Join(a.Dir, "ca.pem"))
	a.must(err)
	token, err := os.ReadFile(filepath.Join(a.Dir, "tokens", string(role)+".token"))
	a.must(err)
	c, err := client.New(client.Config{Endpoints: a.API, CA: ca, Token: strings.TrimSpace(string(token))})
	a.must(err)
	a.t.Cleanup(c.Close)
	return c
}

func (a *abused) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// post sends a body to node i once; a status of 0 is a broken connection.
func (a *abused) post(i int, body []byte) (status int, answer wire.SubmitAnswer, problem wire.Problem) {
	a.t.Helper()
	status, text := a.postFrom(a.http, i, body)
	if status == http.StatusOK || status == http.StatusAccepted {
		a.must(json.Unmarshal(text, &answer))
	} else if status != 0 {
		a.must(json.Unmarshal(text, &problem))
	}
	return status, answer, problem
}

func (a *abused) postFrom(from *http.Client, i int, body []byte) (int, []byte) {
	req, err := http.NewRequestWithContext(a.ctx, http.MethodPost, a.API[i]+client.SubmitPath, bytes.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	resp, err := from.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, text
}

// await repeats f until it is content.
func (a *abused) await(what string, f func() bool) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			a.t.Fatalf("waited too long for %s", what)
		}
	}
}

// run calls the built tool on the cluster, reads its JSON into into unless that is nil, and fails the test when it fails.
func (a *abused) run(into any, args ...string) {
	a.t.Helper()
	cmd := exec.CommandContext(a.ctx, recountTool(a.t), append(args, "--dev", a.Dir, "-o", "json")...)
	cmd.Dir = a.t.TempDir() // an incident writes its bundle there
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		a.t.Fatalf("recount %s: %v: %s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(out, into); err != nil {
		a.t.Fatalf("recount %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// recountTool builds the tool beside the node, once.
func recountTool(t *testing.T) string {
	t.Helper()
	path, err := buildTool()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildTool = sync.OnceValues(func() (string, error) {
	tool := filepath.Join(filepath.Dir(nodeBin), "recount")
	build := exec.Command("go", "build", "-trimpath", "-o", tool, "./cmd/recount")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tool: %w: %s", err, out)
	}
	return tool, nil
})
