package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/test/harness"
)

const (
	raftCluster  = "bench"
	packRecords  = 256
	packInFlight = 4
)

// raftAnswer is the response of a raft process to an order.
type raftAnswer struct {
	Led     bool
	Packs   int
	Seconds float64
	Syncs   uint64 // of this process, since its start
	Appends uint64
}

// startRaft runs three processes with this log store and nothing above it.
func startRaft(dir, root string) (nodes []*child, err error) {
	port, err := harness.FreePort(3)
	if err != nil {
		return nil, err
	}
	ca, err := makeCA(dir)
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		id := raftID(i)
		err := issue(ca, filepath.Join(dir, id), certs.Request{CommonName: id, DNS: []string{id, "localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			URIs: []string{"recount://" + raftCluster + "/node/" + id}, Server: true, Client: true})
		if err != nil {
			return nodes, err
		}
	}
	for i := range 3 {
		c, err := spawn("raft", dir, root, strconv.Itoa(i), strconv.Itoa(port))
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, c)
	}
	for _, c := range nodes {
		var ready bool
		if err := c.hear(&ready); err != nil {
			return nodes, err
		}
	}
	return nodes, nil
}

func raftID(i int) string { return "raft-" + strconv.Itoa(i+1) }

// runRaft orders every process to propose for the span; the leader does.
func runRaft(nodes []*child, span time.Duration) (a raftAnswer, err error) {
	for _, c := range nodes {
		if err := c.tell(span.String()); err != nil {
			return a, err
		}
	}
	for _, c := range nodes {
		var one raftAnswer
		if err := c.hear(&one); err != nil {
			return a, err
		}
		if one.Led {
			a.Led, a.Packs, a.Seconds = true, one.Packs, one.Seconds
		}
		a.Syncs, a.Appends = a.Syncs+one.Syncs, a.Appends+one.Appends
	}
	if !a.Led {
		return a, errors.New("the raft processes have no leader")
	}
	return a, nil
}

// sink is a state machine that only lets the log know what is committed.
type sink struct{ store *log.Store }

func (s sink) Apply(l *raft.Log) any { s.store.CommittedTo(l.Index); return nil }
func (s sink) ApplyBatch(logs []*raft.Log) []any {
	s.store.CommittedTo(logs[len(logs)-1].Index)
	return make([]any, len(logs))
}
func (sink) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("bench: no snapshots") }
func (sink) Restore(io.ReadCloser) error         { return errors.New("bench: no snapshots") }

// Meta says that nothing was applied before.
func (sink) Meta() (index, term uint64, configuration []byte, configurationIndex uint64) { return }

// Removed says that no node was removed.
func (sink) Removed(string) uint64 { return 0 }

// serveRaft is the sub-command of one raft process.
func serveRaft(dir, root, number, basePort string) error {
	i, err1 := strconv.Atoi(number)
	port, err2 := strconv.Atoi(basePort)
	src, err3 := harness.NewSource(root)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	entry, err := packOf(src)
	if err != nil {
		return err
	}
	own := filepath.Join(dir, raftID(i)+".d")
	store, err := log.Open(filepath.Join(own, "log"), log.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	cfg := cluster.Config{NodeID: raftID(i), ClusterID: raftCluster, Dir: own, NewCluster: true, PeerBind: peerAddr(port, i),
		TLS: cluster.TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, raftID(i)+".pem"), Key: filepath.Join(dir, raftID(i)+"-key.pem")}}
	for j := range 3 {
		cfg.Voters = append(cfg.Voters, cluster.Voter{ID: raftID(j), PeerAddr: peerAddr(port, j)})
	}
	c, err := cluster.Open(cfg, store, sink{store}, sink{store})
	if err != nil {
		return err
	}
	store.SetCommitSource(c.CommitIndex)
	if err := c.Start(); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	return obey(c, store, entry)
}

func peerAddr(port, i int) string { return fmt.Sprintf("127.0.0.1:%d", port+10*i+1) }

// obey waits for a leader, then carries out orders until the input ends.
func obey(c *cluster.Cluster, store *log.Store, entry []byte) error {
	deadline := time.After(30 * time.Second)
	for _, ok := c.Leader(); !ok; _, ok = c.Leader() {
		select {
		case <-c.Watch():
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			return errors.New("bench: raft elects no leader")
		}
	}
	if err := say(true); err != nil {
		return err
	}
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		span, err := time.ParseDuration(orders.Text())
		if err != nil {
			return err
		}
		var a raftAnswer
		if _, a.Led = c.IsLeader(); a.Led {
			a.Packs, a.Seconds, err = propose(c, entry, span)
		}
		a.Syncs, a.Appends = store.Syncs(), store.Packs()
		if err := errors.Join(err, say(a)); err != nil {
			return err
		}
	}
	return orders.Err()
}

// propose keeps packInFlight entries in flight for the span.
func propose(c *cluster.Cluster, entry []byte, span time.Duration) (packs int, seconds float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), span+20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	counts, errs := make([]int, packInFlight), make([]error, packInFlight)
	start := time.Now()
	for i := range packInFlight {
		wg.Go(func() {
			for time.Since(start) < span && errs[i] == nil {
				if _, errs[i] = c.Propose(entry).Wait(ctx); errs[i] == nil {
					counts[i]++
				}
			}
		})
	}
	wg.Wait()
	for _, n := range counts {
		packs += n
	}
	return packs, time.Since(start).Seconds(), errors.Join(errs...)
}

// packOf is an entry of fresh submissions as a node would propose it.
func packOf(src *harness.Source) ([]byte, error) {
	pack := event.Pack{ProposedAt: time.Now().UnixNano()}
	for range packRecords {
		body, err := src.Next("raft")
		if err != nil {
			return nil, err
		}
		payload, err := event.NewPayload([event.SaltSize]byte{1}, &event.SubmissionV1{Body: body, ReceivedAt: pack.ProposedAt, Node: "raft-1"})
		if err != nil {
			return nil, err
		}
		pack.Events = append(pack.Events, event.Event{Kind: event.Submission, Payload: payload})
	}
	return pack.Append(nil), nil
}
