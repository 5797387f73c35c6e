package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/version"
	"github.com/recount-ledger/recount/wire"
)

// devCluster is DIR/endpoints.json, the line that recount-node dev prints when it is ready.
type devCluster struct {
	API []string `json:"api"`
	CA  string   `json:"ca"`
}

// connect makes the client from flags, environment and --dev, in this order.
func (a *app) connect() (*client.Client, error) {
	cfg := client.Config{Endpoints: a.endpoints, UserAgent: "recount/" + version.Version, MaxConns: 1024}
	if len(cfg.Endpoints) == 0 {
		cfg.Endpoints = strings.FieldsFunc(a.env("RECOUNT_ENDPOINTS"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
	}
	caFile := first(a.caFile, a.env("RECOUNT_CA"))
	if a.devDir != "" {
		dev, err := readDev(a.devDir)
		if err != nil {
			return nil, err
		}
		caFile = first(caFile, dev.CA)
		if len(cfg.Endpoints) == 0 {
			cfg.Endpoints = dev.API
		}
	}
	if len(cfg.Endpoints) == 0 {
		return nil, &codedError{exitUsage, errors.New("no endpoint given"),
			"Give --endpoint https://host:port (or RECOUNT_ENDPOINTS), or --dev DIR for a cluster started with recount-node dev."}
	}
	var err error
	if cfg.CA, err = readSetting("--ca", caFile); err != nil {
		return nil, err
	}
	certFile := first(a.certFile, a.env("RECOUNT_CERT"))
	if cfg.Cert, err = readSetting("--cert", certFile); err != nil {
		return nil, err
	}
	if cfg.CertKey, err = readSetting("--cert-key", first(a.certKey, a.env("RECOUNT_CERT_KEY"))); err != nil {
		return nil, err
	}
	tokenFile := first(a.tokenFile, a.env("RECOUNT_TOKEN_FILE"))
	if own := filepath.Join(a.devDir, "tokens", "operator.token"); tokenFile == "" && certFile == "" && a.devDir != "" && exists(own) {
		tokenFile = own
	}
	token, err := readSetting("--token-file", tokenFile)
	if err != nil {
		return nil, err
	}
	cfg.Token = strings.TrimSpace(string(token))
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, usagef("--token-file %s: must hold one token on one line", tokenFile)
	}
	if a.local {
		cfg.Consistency = wire.ConsistencyLocal
	}
	return client.New(cfg)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func readDev(dir string) (*devCluster, error) {
	text, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &codedError{exitUsage, fmt.Errorf("--dev %s: no endpoints.json there", dir),
			"Start the cluster with \"recount-node dev --dir " + dir + "\" and wait until it says that it is ready."}
	}
	if err != nil {
		return nil, usagef("--dev: %w", err)
	}
	dev := &devCluster{}
	if err := json.Unmarshal(text, dev); err != nil {
		return nil, usagef("--dev: %s/endpoints.json: %w", dir, err)
	}
	// The directory may have been moved or mounted elsewhere: its own ca.pem goes first.
	if own := filepath.Join(dir, "ca.pem"); exists(own) {
		dev.CA = own
	}
	return dev, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readSetting(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, usagef("%s: %s is empty", flag, path)
	}
	return b, nil
}

// ask connects and makes one call under --timeout.
func ask[T any](ctx context.Context, a *app, call func(context.Context, *client.Client) (T, error)) (v T, err error) {
	c, err := a.connect()
	if err != nil {
		return v, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return call(ctx, c)
}

// askAct is ask for the act of an operator. The client repeats it under one op_id; without it a second command would be a
// second act.
func askAct[T any](ctx context.Context, a *app, call func(context.Context, *client.Client) (T, error)) (T, error) {
	v, err := ask(ctx, a, call)
	if errors.Is(err, client.ErrOutcomeUnknown) {
		err = &codedError{exitUnknown, err, "It may or may not be done. Give the same command again with --op-id " + a.opID + ": it is done once."}
	}
	return v, err
}
