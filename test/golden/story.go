package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/test/harness"
	"github.com/recount-ledger/recount/wire"
)

// story is the life of a ledger: submissions of all kinds, policies, generations, keys, tokens and freezes.
type story struct {
	ctx     context.Context
	c       *client.Client
	cluster *harness.Cluster
	root    string
	source  *harness.Source
	digests []wire.DigestAnswer
}

func newStory(ctx context.Context, cluster *harness.Cluster, root string) (*story, error) {
	ca, err := os.ReadFile(filepath.Join(cluster.Dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(cluster.Dir, "tokens", "operator.token"))
	if err != nil {
		return nil, err
	}
	source, err := harness.NewSource(root)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Endpoints: cluster.API, CA: ca, Token: strings.TrimSpace(string(token))})
	return &story{ctx: ctx, c: c, cluster: cluster, root: root, source: source}, err
}

func (s *story) play() error {
	for _, step := range []func() error{
		s.records, s.digest, s.restart,
		s.applied, s.more, s.digest,
		s.keys, s.freezes, s.more, s.digest,
		func() error { return s.generation("kernel-2", 0, true) }, s.more, s.digest,
		func() error { return s.generation("tighter-tolerance", 100, true) }, s.more, s.digest,
		s.rollback, s.more, s.digest,
		func() error { return s.generation("escalate-shards", 0, false) }, s.tokens, s.more, s.digest,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// restart stops and starts the node whose log is kept, so that the log has a table beside its write-ahead log.
func (s *story) restart() error {
	if err := s.cluster.Kill(0); err != nil {
		return err
	}
	if err := s.cluster.Restart(0); err != nil {
		return err
	}
	return s.cluster.AwaitReady(s.ctx, 0)
}

// records sends a part of the published records, good and bad.
func (s *story) records() error {
	if err := s.cluster.AwaitReady(s.ctx, 0, 1, 2); err != nil {
		return err
	}
	web := s.cluster.HTTP(1)
	defer web.CloseIdleConnections()
	for _, name := range []string{"good-hmac", "good-ed25519", "bad-input"} {
		cases, err := harness.Load(filepath.Join(s.root, "testdata", name+".ndjson"))
		if err != nil {
			return err
		}
		for i := 0; i < len(cases); i += 3 {
			if len(cases[i].Parts) > 0 { // large bodies of one letter
				continue
			}
			if _, err := cases[i].Send(s.ctx, web, s.cluster.API[i%len(s.cluster.API)]); err != nil {
				return fmt.Errorf("%s: %w", cases[i].ID, err)
			}
		}
	}
	return nil
}

// more sends fresh records of three shards.
func (s *story) more() error {
	for i := range 12 {
		body, err := s.source.Next(fmt.Sprintf("lab-%d", i%3))
		if err == nil {
			_, err = s.c.Submit(s.ctx, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// digest writes down what all nodes say at the head.
func (s *story) digest() error {
	head, err := s.c.Digest(s.ctx, 0)
	if err != nil {
		return err
	}
	for i := range s.cluster.API {
		d, err := s.c.At(i).Digest(s.ctx, head.Seq)
		if err != nil {
			return err
		}
		if d.State != head.State || d.Log != head.Log || d.Control != head.Control {
			return fmt.Errorf("the nodes differ: %+v, %+v", d, head)
		}
	}
	s.digests = append(s.digests, *head)
	return nil
}

func (s *story) policy(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.root, "testdata", "policies", name+".yaml"))
	if err != nil {
		return "", err
	}
	p, err := s.c.PublishPolicy(s.ctx, wire.PolicyRequest{Op: why(name), Document: string(text)})
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

func why(what string) wire.Op { return wire.Op{Reason: "golden: " + what} }

func (s *story) applied() error {
	id, err := s.policy("late-epochs")
	if err == nil {
		_, err = s.c.ApplyPolicy(s.ctx, id, wire.ApplyRequest{Op: why("apply")})
	}
	return err
}

func (s *story) keys() error {
	private := ed25519.NewKeyFromSeed([]byte("the seed of a golden ledger, 32b"))
	public := base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	k, err := s.c.AddKey(s.ctx, wire.KeyRequest{Op: why("key"), Alg: "ed25519", Public: public, Owner: "lab",
		Scope: []string{"lab-*"}})
	if err != nil {
		return err
	}
	if _, err = s.c.AddKnownShards(s.ctx, wire.KnownShardsRequest{Op: why("shards"), Patterns: []string{"lab-*"}}); err != nil {
		return err
	}
	_, err = s.c.RevokeKey(s.ctx, k.KeyID, wire.RevokeRequest{Op: why("leak")})
	return err
}

func (s *story) freezes() error {
	f := wire.FreezeRequest{Op: why("freeze"), Scope: wire.FreezeShard, Subject: "lab-0"}
	if _, err := s.c.Freeze(s.ctx, f); err != nil {
		return err
	}
	body, err := s.source.Next("lab-0")
	if err != nil {
		return err
	}
	if r, err := s.c.At(0).Once(s.ctx, client.Request{Method: "POST", Path: client.SubmitPath, Body: body}); err != nil || r.Status != 503 {
		return fmt.Errorf("a frozen shard answers %+v, %w", r, err)
	}
	f.Op = why("thaw")
	_, err = s.c.Thaw(s.ctx, f)
	return err
}

// generation builds one and activates it, or drops it.
func (s *story) generation(name string, from uint64, activate bool) error {
	id, err := s.policy(name)
	if err != nil {
		return err
	}
	g, err := s.c.StartGeneration(s.ctx, wire.GenerationRequest{Op: why(name), Policy: id, From: from})
	if err != nil {
		return err
	}
	if err := s.built(g.Generation); err != nil {
		return err
	}
	if !activate {
		_, err = s.c.DropGeneration(s.ctx, g.Generation, why("not needed"))
		return err
	}
	d, err := s.c.Diff(s.ctx, g.Generation, 0)
	if err == nil {
		_, err = s.c.Activate(s.ctx, g.Generation, wire.ActivateRequest{Op: why(name), Diff: d.Digest})
	}
	return err
}

func (s *story) built(number uint32) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		g, err := s.c.Generation(s.ctx, number)
		if err != nil || g.State == wire.GenerationReady {
			return err
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return fmt.Errorf("generation %d is not built: %w", number, s.ctx.Err())
		}
	}
}

func (s *story) rollback() error {
	_, err := s.c.Rollback(s.ctx, wire.RollbackRequest{Op: why("too strict")})
	return err
}

func (s *story) tokens() error {
	text, id, err := wire.NewToken(wire.RoleAuditor)
	if err != nil {
		return err
	}
	_, err = s.c.CreateToken(s.ctx, wire.TokenRequest{Op: why("auditor"), ID: id, Name: "alice", Role: wire.RoleAuditor,
		Digest: wire.TokenDigest(text), ExpiresAt: time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	_, err = s.c.RevokeToken(s.ctx, id, wire.TokenRevokeRequest{Op: why("gone")})
	return err
}
