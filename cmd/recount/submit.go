package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
)

// The values of --in-order.
const (
	orderGroup = "group"
	orderFile  = "file"
	orderNone  = "none"
)

type submitFlags struct {
	concurrency int
	order       string
	check       string
	keepGoing   bool
	dry         bool // ask what would be answered
}

func (a recordCommands) submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use: "submit FILE...", Short: "Submit signed records",
		Long: `submit sends the records of the files ("-" is stdin) to the endpoints in turn and repeats requests when that can help.
A file holds one JSON document, an array of them, or one a line. Each is a signed record, sent byte for byte, or a line of a
test corpus with the members body or parts (and method, path, headers, chunked, group). Invalid JSON ends the command,
and nothing after it is sent. A single record prints its answer, several print a count of each answer. Records of one corpus group, else of one shard, are sent in the order of the file,
because a later epoch must not overtake an earlier one. Records that wait share a request, and each gets its own answer.

It stops at the first record that gets no answer within --timeout, waits for those in flight, and names it. It is safe to send
the whole file again, because every record counts once. --keep-going sends the rest anyway.

Exit code: 0 all have a final answer 200 or 202, 4 some were rejected, 5 some are unavailable, 6 the outcome of some is
unknown. With --check only differences from the corpus count: 7 when there are any.
With -o ndjson every record gives one line {"line","id","status","answer"|"problem"} in the order of the answers.`,
		Example: `  recount submit --dev /tmp/recount record.json
  recount submit --dev /tmp/recount testdata/good-hmac.ndjson
  recount submit --dev /tmp/recount --check testdata/bad-input.ndjson
  recount sign --key-file agent.key < record.json | recount submit -o ndjson -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactArgs("FILE (or - for stdin)")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.submit(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.concurrency, "concurrency", 32, "requests under way at once")
	flags.StringVar(&f.order, "in-order", orderGroup,
		"group: per corpus group or shard; file: one record at a time; none")
	flags.Lookup("in-order").NoOptDefVal = orderFile
	flags.StringVar(&f.check, "check", "",
		"compare with the corpus' expectations: preferred (status) or any (acceptable status)")
	flags.Lookup("check").NoOptDefVal = "preferred"
	flags.BoolVar(&f.keepGoing, "keep-going", false, "go on after a record without an answer")
	return cmd
}

func (f submitFlags) validate() error {
	switch {
	case f.concurrency < 1 || f.concurrency > 4096:
		return usagef("--concurrency must be in 1..4096")
	case f.order != orderGroup && f.order != orderFile && f.order != orderNone:
		return usagef("--in-order=%s: must be group, file or none", f.order)
	case f.check != "" && f.check != "preferred" && f.check != "any":
		return usagef("--check=%s: must be preferred or any", f.check)
	}
	return nil
}

func (a recordCommands) submit(ctx context.Context, f submitFlags, files []string) error {
	if err := f.validate(); err != nil {
		return err
	}
	a.patient = true
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	input, total, closeAll, err := a.joinInput(ctx, files)
	if err != nil {
		return err
	}
	defer closeAll()
	// going ends when nothing more is to be sent. What is under way then still gets its answer: without one
	// nobody would know what became of it.
	going, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := newReport(a.app, f, total, stop)
	put, wait := a.sender(ctx, going, f, c, r.record)
	readErr := f.eachRequest(input, put)
	wait()
	r.close()
	if errors.Is(readErr, context.Canceled) && errors.Is(context.Cause(going), errStopped) {
		readErr = nil
	}
	if readErr != nil && r.sum.Records == 0 {
		return readErr
	}
	if err := r.print(); err != nil {
		return err
	}
	if readErr != nil {
		return readErr
	}
	return r.verdict()
}

// sender returns a function that queues a request, and one that waits until all have their results. ctx is for requests
// under way. going ends when no other one is to be sent.
func (a recordCommands) sender(ctx, going context.Context, f submitFlags, c *client.Client,
	record func(result)) (put func(request) error, wait func()) {
	if f.batches() {
		l := newLanes(going, f.concurrency, func(all []request) { a.sendAll(ctx, c, all, record) })
		return l.put, l.wait
	}
	pool := newKeyedPool(f.concurrency)
	return func(q request) error {
		return pool.put(going, q.orderKey, func() {
			if going.Err() == nil {
				record(a.send(ctx, c, q))
			}
		})
	}, pool.wait
}

// eachRequest calls fn for every request of the input, with the key of the order that the flags ask for.
func (f *submitFlags) eachRequest(input io.Reader, fn func(request) error) error {
	done := "sent"
	if f.dry {
		done = "checked"
	}
	return readRequests(input, done, func(q request) error {
		if f.dry && !q.onlyCheck() {
			return nil
		}
		switch f.order {
		case orderNone:
			q.orderKey = ""
		case orderFile:
			q.orderKey = orderFile
		}
		return fn(q)
	})
}

// joinInput joins the files and counts the records when all are regular files. Otherwise total is 0.
func (a recordCommands) joinInput(ctx context.Context, names []string) (r io.Reader, total int64, closeAll func(),
	err error) {
	var files []io.Closer
	var readers []io.Reader
	closeAll = func() {
		for _, f := range files {
			_ = f.Close() // only read from
		}
	}
	countable := true
	for _, name := range names {
		if name == "-" {
			readers, countable = append(readers, a.in), false
			continue
		}
		f, err := openInput(name)
		if err != nil {
			closeAll()
			return nil, 0, nil, err
		}
		files = append(files, f)
		readers = append(readers, f, bytes.NewReader([]byte("\n")))
		n, ok := countRecords(f)
		countable, total = countable && ok, total+n
	}
	if !countable {
		total = 0
	}
	return &interruptible{ctx: ctx, from: io.MultiReader(readers...)}, total, closeAll, nil
}

// countRecords counts the lines that begin with a brace, for the progress bar, and goes back to the start.
func countRecords(f *os.File) (n int64, ok bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	buf, begun := make([]byte, 256<<10), false
	for {
		k, err := f.Read(buf)
		for _, b := range buf[:k] {
			switch {
			case b == '\n':
				begun = false
			case b > ' ' && !begun:
				begun = true
				if b == '{' {
					n++
				}
			}
		}
		if err != nil {
			break
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return n, err == nil
}

// keyedPool runs functions with bounded concurrency. Those of one key run one after the other.
type keyedPool struct {
	slots  chan struct{} // running
	queued chan struct{} // queued and running
	mu     sync.Mutex
	busy   map[string][]func()
	all    sync.WaitGroup
}

func newKeyedPool(concurrency int) *keyedPool {
	return &keyedPool{
		slots: make(chan struct{}, concurrency), queued: make(chan struct{}, 16*concurrency),
		busy: map[string][]func(){},
	}
}

// put queues fn. It blocks while too much is queued. The key "" keeps no order.
func (p *keyedPool) put(ctx context.Context, name string, fn func()) error {
	select {
	case p.queued <- struct{}{}:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting, running := p.busy[name]; running && name != "" {
		p.busy[name] = append(waiting, fn)
		return nil
	}
	if name != "" {
		p.busy[name] = nil
	}
	p.all.Go(func() { p.drain(name, fn) })
	return nil
}

// drain runs fn and whatever has queued under its key since.
func (p *keyedPool) drain(name string, fn func()) {
	for fn != nil {
		p.slots <- struct{}{}
		fn()
		<-p.slots
		<-p.queued
		fn = p.next(name)
	}
}

func (p *keyedPool) next(name string) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.busy[name]
	if name == "" || len(waiting) == 0 {
		delete(p.busy, name)
		return nil
	}
	p.busy[name] = waiting[1:]
	return waiting[0]
}

func (p *keyedPool) wait() { p.all.Wait() }

var errStopped = errors.New("stopped after a record without an answer")

// send makes one record's request and keeps what came of it.
func (a recordCommands) send(ctx context.Context, c *client.Client, j request) result {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := c.Do(ctx, j.http)
	return newResult(j, resp, err)
}
