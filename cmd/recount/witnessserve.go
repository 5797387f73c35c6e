package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
)

// witnessFlags are the flags of recount witness serve.
type witnessFlags struct {
	keyFile, ledgerFile, dir, listen, metricsListen, tlsCert, tlsKey string
}

func (a witnessCommands) serveCommand() *cobra.Command {
	var f witnessFlags
	cmd := &cobra.Command{
		Use: "serve --key-file FILE --ledger FILE --dir DIR", Short: "Run a witness", Args: exactArgs(),
		Long: `serve answers POST /add-checkpoint (C2SP tlog-witness) until it is stopped. It cosigns a checkpoint only after the checkpoint is on
its disk. --ledger is a file with the public keys of the ledgers, one a line, as "recount-node checkpoint-key show" prints them. It is
read again when it changes, so a new key or a new ledger needs no restart.

Keep DIR. A witness that lost it no longer knows what it promised: give it a new key then, and a new directory.

Without a certificate it listens on this machine only. Use --tls-cert and --tls-key, or put a proxy with TLS before it, to be
reached by others. Metrics are at http://ADDRESS/metrics of --metrics-listen.`,
		Example: `  recount witness serve --key-file witness.key --ledger ledger.pub --dir /var/lib/recount-witness
  recount witness serve --key-file witness.key --ledger ledger.pub --dir /var/lib/recount-witness --listen :9460 \
    --tls-cert witness.pem --tls-key witness-tls.key --metrics-listen 127.0.0.1:9461`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with the secret key of the witness (required)")
	cmd.Flags().StringVar(&f.ledgerFile, "ledger", "", "file with the public keys of the ledgers (required)")
	cmd.Flags().StringVar(&f.dir, "dir", "", "directory of the witness, made if it is not there (required)")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:9460", "address to listen on")
	cmd.Flags().StringVar(&f.metricsListen, "metrics-listen", "", "serve metrics on this address")
	cmd.Flags().StringVar(&f.tlsCert, "tls-cert", "", "PEM file with the certificate of the witness")
	cmd.Flags().StringVar(&f.tlsKey, "tls-key", "", "PEM file with its private key")
	return cmd
}

func (a witnessCommands) serve(ctx context.Context, f witnessFlags) error {
	if f.keyFile == "" || f.ledgerFile == "" || f.dir == "" {
		return usagef("--key-file, --ledger and --dir are required")
	}
	config, err := f.tls()
	if err != nil {
		return err
	}
	secrets, err := witnessSecrets("--key-file", f.keyFile)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(a.err, nil))
	ledgers := &ledgerFile{path: f.ledgerFile, logger: logger}
	if ledgers.keys, err = ledgerKeys("--ledger", f.ledgerFile); err != nil {
		return err
	}
	w, err := witness.Open(witness.Options{Dir: f.dir, Secrets: secrets, Ledgers: ledgers.read, Now: time.Now,
		Logger: logger})
	if errors.Is(err, witness.ErrLocked) {
		return usagef("--dir: %w", err)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return usagef("--listen: %w", err)
	}
	scheme := "http"
	if config != nil {
		listener, scheme = tls.NewListener(listener, config), "https"
	}
	stopMetrics, err := a.serveMetrics(ctx, f.metricsListen, w)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stopMetrics()
	a.notef("witness %s at %s://%s", secrets[0].Public(), scheme, listener.Addr())
	return serveUntil(ctx, listener, w.Handler())
}

// serveUntil answers requests until ctx ends, and gives those that are answered then five seconds.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(last)
	<-ended
	return err
}

// tls returns the settings of --tls-cert and --tls-key, nil for none.
func (f witnessFlags) tls() (*tls.Config, error) {
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return nil, usagef("--tls-cert and --tls-key go together")
	}
	if f.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, usagef("--tls-cert: the pair of files cannot be used: %w", err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}, nil
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, usagef("--listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usagef("--listen: other machines can reach %s; give --tls-cert and --tls-key, or listen on "+
			"127.0.0.1 behind a proxy with TLS", f.listen)
	}
	return nil, nil
}

func (a witnessCommands) serveMetrics(ctx context.Context, address string, w *witness.Witness) (func(), error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, usagef("--metrics-listen: %w", err)
	}
	return a.metricsAt(listener, http.HandlerFunc(w.ServeMetrics)), nil
}

// ledgerFile reads the public keys of ledgers again and again.
type ledgerFile struct {
	path   string
	logger *slog.Logger

	mu     sync.Mutex
	keys   []evidence.PublicKey
	failed bool
}

// read returns the keys of the file. While it cannot be used, those of before stay.
func (l *ledgerFile) read() []evidence.PublicKey {
	keys, err := ledgerKeys("--ledger", l.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !l.failed {
		l.logger.Error("the keys of the ledgers cannot be read again; those of before stay", "error", err)
	}
	if l.failed = err != nil; err == nil {
		l.keys = keys
	}
	return slices.Clone(l.keys)
}
