package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestReplays loses a node's folded state and starts the node again with other settings and other builds; the digests, of
// the log and of the generation that was activated, must be those of the nodes that folded live. The long form adds a race build and an arm64 build under qemu-user
// (Debian: qemu-user-static).
func TestReplays(t *testing.T) {
	c, ctx := start(t, 3)
	cases, _ := corpora(t, "good-hmac", "good-ed25519", "bad-input")
	client := c.HTTP(4)
	defer client.CloseIdleConnections()
	step := 1
	if !full {
		step = 5
	}
	for i := 0; i < len(cases); i += step {
		if _, err := cases[i].Send(ctx, client, c.API[i%3]); err != nil {
			t.Fatal(err)
		}
	}
	// A second generation answers from here on; the nodes have to build both again.
	r := newRecount(t, ctx, c)
	number := r.start(r.publish("kernel: 2\nparams: {tol_d: \"0.05\"}\n" + everyProfile))
	r.await(number)
	r.activate(number)
	for i := 1; i < len(cases); i += 10 * step {
		if _, err := cases[i].Send(ctx, client, c.API[i%3]); err != nil {
			t.Fatal(err)
		}
	}
	want := sameDigest(t, ctx, c)
	if want.Generation != int(number) {
		t.Fatalf("%+v: want generation %d", want, number)
	}
	type variant struct {
		name    string
		program []string
		env     []string
	}
	variants := []variant{
		{"small steps, one processor", []string{nodeBin}, []string{"RECOUNT_FOLD_READ_BYTES=1000", "GOMAXPROCS=1"}},
		{"large steps, eight processors", []string{nodeBin}, []string{"RECOUNT_FOLD_READ_BYTES=60000000", "GOMAXPROCS=8"}},
	}
	if full {
		variants = append(variants,
			variant{"race build", []string{build(t, nil, "-race")}, nil},
			variant{"arm64", []string{qemu(t), build(t, []string{"GOARCH=arm64", "CGO_ENABLED=0"})}, nil})
	}
	for i, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			node := i % 3
			if err := c.Kill(node); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"derived", "generations"} {
				if err := os.RemoveAll(filepath.Join(c.NodeDir(node), "data", dir)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.RestartAs(node, v.program, v.env...); err != nil {
				t.Fatal(err)
			}
			ready, cancel := context.WithTimeout(ctx, 3*time.Minute)
			defer cancel()
			if err := c.AwaitReady(ready, node); err != nil {
				t.Fatal(err)
			}
			got := digestAt(t, ctx, c, node, want.Seq)
			if got != want {
				t.Errorf("replayed %+v, live %+v", got, want)
			}
		})
	}
	sameDigest(t, ctx, c)
}

func build(t *testing.T, env []string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "recount-node")
	args := append([]string{"build", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, "github.com/recount-ledger/recount/cmd/node")...)
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

func qemu(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Fatalf("%v: apt-get install qemu-user-static", err)
	}
	return path
}
