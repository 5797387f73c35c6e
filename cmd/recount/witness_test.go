package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	server "github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/witness"
)

// TestWitnessCommand runs a witness with its own key, takes a cosignature, and shows the fork that it refused.
func TestWitnessCommand(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	made := run(t, "", "witness", "key", "create", "--name", "witness.example", "--out", at("key"))
	if made.code != exitOK || run(t, "", "witness", "key", "show", at("key")).out != made.out {
		t.Fatalf("%+v", made)
	}
	public, err := evidence.ParseWitnessKey(strings.TrimSpace(made.out))
	if err != nil {
		t.Fatal(err)
	}
	if again := run(t, "", "witness", "key", "create", "--name", "x", "--out", at("key")); again.code != exitUsage {
		t.Errorf("%+v", again)
	}
	_, ledger, err := evidence.NewSecretKey("recount/c")
	if err != nil {
		t.Fatal(err)
	}
	write(t, at("ledger.pub"), "# nobody yet\n"+mustLedger(t).String()+"\n")
	url, errs, stop := startWitness(t, at)
	note := func(root byte) []byte {
		msg, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: "recount/c", Size: 3, Root: [32]byte{root}}, ledger)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	if _, code := addCheckpoint(t, url, witness.Request{Note: note(1)}); code != http.StatusNotFound {
		t.Errorf("an unknown ledger: %d", code)
	}
	write(t, at("ledger.pub"), ledger.Public().String()+"\n")
	lines, code := addCheckpoint(t, url, witness.Request{Note: note(1)})
	list, err := evidence.Cosignatures(append(note(1), lines...), public)
	if code != http.StatusOK || err != nil || len(list) != 1 {
		t.Fatalf("%d %s, %v", code, lines, err)
	}
	write(t, at("ledger.pub"), "no key\n")
	if _, code := addCheckpoint(t, url, witness.Request{Old: 3, Note: note(2)}); code != http.StatusConflict {
		t.Errorf("a fork: %d", code)
	}
	write(t, at("other.pub"), mustLedger(t).String()+"\n")
	if second := run(t, "", "witness", "serve", "--key-file", at("key"), "--ledger", at("other.pub"), "--dir", at("w")); second.code != exitUsage {
		t.Errorf("%+v", second)
	}
	stop()
	if text := errs.String(); !strings.Contains(text, "contradicts the one seen") || !strings.Contains(text, "cannot be read again") {
		t.Errorf("it says nothing: %s", text)
	}
	write(t, at("ledger.pub"), ledger.Public().String()+"\n")
	write(t, at("witness.pub"), public.String()+"\n")
	shown := run(t, "", "witness", "list", "--dir", at("w"), "--key", at("ledger.pub"), "--witness", at("witness.pub"))
	if shown.code != exitVerify || !regexp.MustCompile(`recount/c +3 +20\d\d-[0-9-]+T[0-9:]+Z +1 +0`).MatchString(shown.out) {
		t.Errorf("%+v", shown)
	}
	if other := run(t, "", "witness", "list", "--dir", at("w"), "--key", at("other.pub")); other.code != exitFailed {
		t.Errorf("signed by another key: %+v", other)
	}
	if none := run(t, "", "witness", "list", "--dir", at("none")); none.code != exitUsage {
		t.Errorf("%+v", none)
	}
}

func mustLedger(t *testing.T) evidence.PublicKey {
	t.Helper()
	_, k, err := evidence.NewSecretKey("recount/other")
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// startWitness runs a witness on a free port, and returns its address, what it prints, and a way to stop it.
func startWitness(t *testing.T, at func(string) string) (url string, errs *said, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	errs, ended := &said{}, make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: &said{}, err: errs, env: noEnv}
		ended <- a.run(ctx, []string{"witness", "serve", "--key-file", at("key"), "--ledger", at("ledger.pub"), "--dir", at("w"),
			"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"})
	}()
	address := regexp.MustCompile(`(?m)^witness .* at (http://[0-9.:]+)$`)
	await(t, "the witness", func() bool { return address.MatchString(errs.String()) })
	metrics := regexp.MustCompile(`http://[0-9.:]+/metrics`).FindString(errs.String())
	if text := scrapeBackup(t, metrics); !strings.Contains(text, `flk_witness_requests_total{result="cosigned"} 0`) {
		t.Errorf("metrics: %s", text)
	}
	return address.FindStringSubmatch(errs.String())[1], errs, func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("exit %d", code)
		}
	}
}

func addCheckpoint(t *testing.T, url string, r witness.Request) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/add-checkpoint", bytes.NewReader(r.Text()))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), resp.StatusCode
}

// TestWitnessServeRefuses: a command line that would not run a witness is wrong usage, and says why.
func TestWitnessServeRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if made := run(t, "", "witness", "key", "create", "--name", "w", "--out", at("key")); made.code != exitOK {
		t.Fatalf("%+v", made)
	}
	write(t, at("pub"), mustLedger(t).String())
	good := []string{"witness", "serve", "--key-file", at("key"), "--ledger", at("pub"), "--dir", at("w")}
	for want, args := range map[string][]string{
		"are required":                good[:6],
		"other machines can reach":    append(good[:8:8], "--listen", ":9460"),
		"other machines can reach 0.": append(good[:8:8], "--listen", "0.0.0.0:9460"),
		"go together":                 append(good[:8:8], "--tls-cert", at("pub")),
		"the pair of files":           append(good[:8:8], "--tls-cert", at("pub"), "--tls-key", at("key")),
		"--listen":                    append(good[:8:8], "--listen", "127.0.0.1"),
		"--metrics-listen":            append(good[:8:8], "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:x"),
		"not a secret key":            {"witness", "serve", "--key-file", at("pub"), "--ledger", at("pub"), "--dir", at("w")},
	} {
		if r := run(t, "", args...); r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", want, r)
		}
	}
}

// TestWitnessedReceipt: a node has its checkpoints cosigned by a witness, and proof verify demands that.
func TestWitnessedReceipt(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text, key, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, at("ledger.pub"), key.Public().String()+"\n")
	if err := os.WriteFile(at("checkpoint.key"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := run(t, "", "witness", "key", "create", "--name", "w", "--out", at("key"))
	other := run(t, "", "witness", "key", "create", "--name", "x", "--out", at("other"))
	write(t, at("mine.pub"), mine.out)
	write(t, at("both.pub"), mine.out+other.out)
	url, _, stop := startWitness(t, at)
	defer stop()
	write(t, at("witnesses"), "witness w "+strings.TrimSpace(mine.out)+" "+url+"\nquorum w\n")
	c := nodetest.Start(t, 1, func(cfg *server.Config) {
		cfg.CheckpointKeyFile, cfg.WitnessFile = at("checkpoint.key"), at("witnesses")
	})
	r := nodetest.Record{Shard: "s", Epoch: 3, Root: "r"}
	if _, err := c.Client.Submit(t.Context(), nodetest.NewRecords(t).Sign(r)); err != nil {
		t.Fatal(err)
	}
	verify := func(receipt []byte, more ...string) ran {
		return run(t, string(receipt), append([]string{"proof", "verify", "--key", at("ledger.pub")}, more...)...)
	}
	var receipt []byte
	await(t, "a cosigned receipt", func() bool {
		receipt, err = client.EvidenceOf(c.Client).Receipt(t.Context(), r.ID(), 0)
		return err == nil && verify(receipt, "--witness", at("mine.pub")).code == exitOK
	})
	if one := verify(receipt, "--witness", at("both.pub"), "--quorum", "1"); one.code != exitOK || !strings.Contains(one.out, "ok  the witness w+") {
		t.Errorf("%+v", one)
	}
	for want, args := range map[string][]string{
		"1 of 2 witnesses cosigned": {"--witness", at("both.pub")},
		"needs --witness":           {"--quorum", "1"},
		"has 2 witnesses":           {"--witness", at("both.pub"), "--quorum", "3"},
		"no public key":             {"--witness", at("ledger.pub")},
	} {
		code := exitUsage
		if strings.Contains(want, "cosigned") {
			code = exitFailed
		}
		if v := verify(receipt, args...); v.code != code || !strings.Contains(v.err, want) {
			t.Errorf("%v: %+v", args, v)
		}
	}
}
