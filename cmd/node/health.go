package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/term"
)

// healthTimeout bounds the question of health.
const healthTimeout = 5 * time.Second

// healthBytes bounds what is read of an answer.
const healthBytes = 64 << 10

// errUnhealthy ends health when the node does not answer, or says no.
var errUnhealthy = errors.New("unhealthy")

func healthCommand() *cobra.Command {
	var path string
	var ready bool
	cmd := &cobra.Command{
		Use:   "health [--config FILE] [--ready]",
		Short: "Ask the node of this machine or container whether it is well",
		Long: `Ask the node that runs with these settings, at its own address for clients, whether its process answers (/livez). With --ready, ask
whether it serves: it has a leader, room on its disk and the newest events (/readyz). An orchestrator must not restart a node that
is not ready, because a node without a majority is well and waits for the others.

The command needs no shell, no token and no other program, so an image without anything else can check itself. It takes the address
from the settings (api.listen), asks there over loopback when the node listens at all addresses, sends no secret, and does not check
the certificate.

Exit codes: 0 the node is well, 1 it is not, 2 wrong usage or settings.`,
		Example: `  recount-node health --config /etc/recount/config.yaml
  RECOUNT_API_LISTEN=127.0.0.1:9440 recount-node health --ready`,
		Args: cli.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := ownAddress(path, os.LookupEnv)
			if err != nil {
				return wrong(err)
			}
			question := "/livez"
			if ready {
				question = "/readyz?verbose"
			}
			text, err := askOwn(cmd.Context(), "https://"+at+question)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), term.Visible(text))
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "settings file of the node, YAML")
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether the node serves, not only whether it lives")
	return cmd
}

// ownAddress returns the host:port at which the node of the settings answers this machine. Problems of other settings
// do not matter here: the node runs with what it read.
func ownAddress(path string, env func(string) (string, bool)) (string, error) {
	v, err := load(path, serveCommand().Flags(), env)
	if v.unread {
		return "", problems(err)
	}
	at := v.text["api.listen"]
	host, port, splitErr := net.SplitHostPort(at)
	if at == "" || splitErr != nil {
		return "", fmt.Errorf("api.listen: %q is not host:port; give the settings with --config", at)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() { // :: listens at the addresses of IPv4, too
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// askOwn returns the answer of the node on this machine. The certificate is not checked: the names in it are those that
// clients use, and a node whose certificate has ended must be told apart from one that hangs.
func askOwn(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnhealthy, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, healthBytes))
	if err != nil || resp.StatusCode != http.StatusOK {
		text := strings.TrimSpace(string(body))
		return "", fmt.Errorf("%w: %s: %s", errUnhealthy, resp.Status, term.Visible(cmp.Or(text, fmt.Sprint(err))))
	}
	return string(body), nil
}
