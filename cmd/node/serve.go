package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/logqueue"
	"github.com/recount-ledger/recount/internal/node"
)

// stopTimeout bounds an orderly stop. Afterwards the process ends anyway, which loses nothing.
const stopTimeout = 15 * time.Second

// flushLimit bounds the time for which the end of the process waits for the reader of its log.
const flushLimit = time.Second

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "serve --config FILE", Short: "Run one node until SIGTERM or Ctrl-C",
		Long: `Run one node. Settings come from flags, then the environment, then the file, then defaults. An unknown
setting is refused. Every secret may also be given as a file: NAME_FILE in the environment, name_file in the file.

The node polls the certificates, keys and authorities of both ports. It uses changed files for new connections within a few
seconds, and at once after SIGHUP. It rejects invalid files with a warning in the log and keeps the previous ones.`,
		Example: `  recount-node serve --config /etc/recount/config.yaml
  PCS_HMAC_KEYS_FILE=/run/secrets/hmac recount-node serve --config node.yaml --token-rate 500`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, c, err := loadConfig(path, cmd.Flags(), os.LookupEnv)
			if err != nil {
				return wrong(problems(err))
			}
			return serve(cmd.Context(), c, v.text["pid_file"], unread())
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "settings file, YAML")
	addFlags(cmd.Flags())
	return cmd
}

// onHangup calls f for every SIGHUP in the channel until the returned function is called.
func onHangup(hangups <-chan os.Signal, f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangups:
				f()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

func serve(ctx context.Context, c node.Config, pidFile string, warnings []string) error {
	total, unknown := machineMemory()() // before hideMemory, as the next line
	own := logFile()                    // before hideMemory, because afterwards a process may not reopen its own files
	if err := hideMemory(); err != nil {
		return fmt.Errorf("keep secrets out of core dumps: %w", err)
	}
	signal.Ignore(syscall.SIGPIPE) // the node must survive the exit of the reader of its log
	lines := logqueue.New(own, logqueue.DefaultBytes)
	defer lines.Flush(flushLimit)
	log := slog.New(slog.NewJSONHandler(lines, nil)).With("node", c.NodeID)
	slog.SetDefault(log) // libraries print to the same log
	if err := boundMemory(func() (uint64, error) { return total, unknown }, log); err != nil {
		log.Warn("the heap has no limit", "error", err)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	c.LogDropped = lines.Dropped
	c.Exit = func(code int) {
		lines.Flush(flushLimit)
		os.Exit(code)
	}
	// An orderly stop may hang on a stuck disk, and so may a start. Ending the process loses nothing that was
	// acknowledged.
	late := func() *time.Timer {
		return time.AfterFunc(stopTimeout+5*time.Second, func() {
			log.Error("the stop takes too long; the process ends here")
			c.Exit(1)
		})
	}
	defer context.AfterFunc(ctx, func() { late() })()
	hangups := make(chan os.Signal, 1) // before anything else, because SIGHUP ends a process without a receiver
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	told := newSupervised(log)
	go told.watch(ctx)
	return again(ctx, rebuildPause, log, func() error { return run(ctx, c, pidFile, told, hangups, late) })
}

// Folding is limited to a few attempts, so that a disk that damages derived/ repeatedly is not worn out.
const (
	rebuildLimit = 4
	rebuildPause = 5 * time.Second
)

// again reopens a node whose derived/ has to be folded again, a few times at most, and one that has copied the log of a
// member.
func again(ctx context.Context, pause time.Duration, log *slog.Logger, run func() error) error {
	for opened := 1; ; opened++ {
		err := run()
		if errors.Is(err, node.ErrSeeded) {
			if ctx.Err() != nil {
				return nil // the next start goes on from there
			}
			log.Info("the node opens again", "because", err)
			opened--
			continue
		}
		if !errors.Is(err, node.ErrRebuild) || ctx.Err() != nil {
			return err
		}
		if opened > rebuildLimit {
			return fmt.Errorf("damaged again after %d openings; examine the disk: %w", opened, err)
		}
		log.Warn("the node opens again", "in", pause, "because", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// run runs the node once. late ends the process if its stop takes too long.
func run(ctx context.Context, c node.Config, pidFile string, told *supervised, hangups <-chan os.Signal,
	late func() *time.Timer) error {
	n, err := node.Open(ctx, c, told.log)
	if err != nil {
		return err
	}
	// Only now, because a second start of a running node fails above and must not remove its pid file.
	if pidFile != "" {
		if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return errors.Join(fmt.Errorf("pid_file: %w", err), n.Close(ctx))
		}
		defer os.Remove(pidFile)
	}
	defer onHangup(hangups, func() {
		n.Reopen()
		n.ReloadCertificates()
	})()
	told.serving(n, c.API.Listen)
	runErr := n.Run(ctx)
	told.closing(ctx)
	defer late().Stop()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(runErr, n.Close(stop))
}
