package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recount-ledger/recount/client"
)

// place names a cluster by its endpoints and holds the credentials to ask it with. All of it comes from one
// source, so that no credential meant for one cluster is shown to another.
type place struct {
	Source    string   `json:"source"`            // where it comes from, for people
	Context   string   `json:"context,omitempty"` // name of the context, which Source ends with
	Endpoints []string `json:"endpoints"`
	CA        string   `json:"ca,omitempty"`         // file
	TokenFile string   `json:"token_file,omitempty"` // file
	Cert      string   `json:"cert,omitempty"`       // file
	CertKey   string   `json:"cert_key,omitempty"`   // file
	mark
}

// The environment variables that name a cluster or a credential.
const (
	envEndpoints = "RECOUNT_ENDPOINTS"
	envCA        = "RECOUNT_CA"
	envTokenFile = "RECOUNT_TOKEN_FILE"
	envCert      = "RECOUNT_CERT"
	envCertKey   = "RECOUNT_CERT_KEY"
	envDev       = "RECOUNT_DEV"
	envContext   = "RECOUNT_CONTEXT"
	envConfig    = "RECOUNT_CONFIG"
)

// find decides which cluster is asked: that of the command line, else that of the environment, else the current
// context. A credential of the command line (--token-file, --cert) completes any of them. Nothing else is
// mixed.
func (a *app) find() (p place, err error) {
	switch {
	case a.devDir != "" || a.contextName != "" || len(a.endpoints) > 0:
		p, err = a.fromFlags()
	case a.fromEnvironment():
		p, err = a.environment()
	case a.caFile != "":
		return p, usagef("--ca names an authority for no endpoint: give --endpoint too")
	default:
		p, err = a.currentContext()
	}
	if err != nil {
		return p, err
	}
	if a.tokenFile != "" || a.certFile != "" || a.certKey != "" {
		p.TokenFile, p.Cert, p.CertKey = a.tokenFile, a.certFile, a.certKey
	}
	return p, nil
}

// given reports whether anything names a cluster.
func (a *app) given() bool {
	_, err := a.find()
	return !errors.Is(err, errNoEndpoint)
}

var errNoEndpoint = errors.New("no endpoint given")

// fromFlags is the cluster that the command line names. --endpoint beside --dev or --context asks some of its
// nodes only.
func (a *app) fromFlags() (p place, err error) {
	switch {
	case a.devDir != "" && a.contextName != "":
		return p, usagef("--dev and --context both name a cluster; give one of them")
	case a.devDir != "":
		p, err = devPlace("--dev", a.devDir)
	case a.contextName != "":
		p, err = a.contextPlace("--context", a.contextName)
	default:
		return a.plainFlags()
	}
	if err != nil {
		return p, err
	}
	if a.caFile != "" {
		return p,
			usagef("--ca %s: %s has its own authority; leave --ca out, or name the nodes with --endpoint alone",
				a.caFile, p.Source)
	}
	for _, e := range a.endpoints {
		if !slices.Contains(p.Endpoints, strings.TrimRight(e, "/")) {
			return p, usagef("--endpoint %s is no node of %s (%s); give one or the other", e, p.Source,
				strings.Join(p.Endpoints, " "))
		}
	}
	if len(a.endpoints) > 0 {
		p.Endpoints = a.endpoints
	}
	return p, nil
}

// plainFlags is --endpoint with --ca and a credential. What is not given stays away, and is refused if the
// environment has it: it may belong to another cluster.
func (a *app) plainFlags() (p place, err error) {
	var others []string
	if a.caFile == "" && a.env(envCA) != "" {
		others = append(others, envCA)
	}
	if a.tokenFile == "" && a.certFile == "" {
		for _, name := range []string{envTokenFile, envCert} {
			if a.env(name) != "" {
				others = append(others, name)
			}
		}
	}
	if len(others) > 0 {
		return p, &codedError{exitUsage,
			fmt.Errorf("--endpoint comes from the command line and %s from the environment: they may belong to "+
				"different clusters, so nothing was asked",
				strings.Join(others, " and ")),
			"Give --ca and --token-file on the command line too, or all in the environment; a context keeps " +
				"them together (recount context add)."}
	}
	return place{Source: "the command line", Endpoints: a.endpoints, CA: a.caFile}, nil
}

// fromEnvironment reports whether the environment names a cluster.
func (a *app) fromEnvironment() bool {
	return a.env(envEndpoints) != "" || a.env(envDev) != "" || a.env(envContext) != ""
}

// environment is the cluster that the environment names: by RECOUNT_DEV or RECOUNT_CONTEXT alone, or by the
// other variables together.
func (a *app) environment() (p place, err error) {
	var set []string
	for _, name := range []string{envDev, envContext, envEndpoints, envCA, envTokenFile, envCert, envCertKey} {
		if a.env(name) != "" {
			set = append(set, name)
		}
	}
	if (a.env(envDev) != "" || a.env(envContext) != "") && len(set) > 1 {
		return p, &codedError{exitUsage,
			fmt.Errorf("the environment has %s: %s names a whole cluster, and the others may belong to another one",
				strings.Join(set, ", "), set[0]),
			fmt.Sprintf("Unset all but one (unset %s), or say on the command line which cluster you mean.",
				strings.Join(set[1:], " "))}
	}
	if a.caFile != "" {
		return p, &codedError{exitUsage,
			fmt.Errorf("--ca comes from the command line and %s from the environment: "+
				"they may belong to different clusters, so nothing was asked", set[0]),
			"Give --endpoint and --ca on the command line, or set " + envCA + "."}
	}
	switch {
	case a.env(envDev) != "":
		return devPlace(envDev, a.env(envDev))
	case a.env(envContext) != "":
		return a.contextPlace(envContext, a.env(envContext))
	}
	return place{
		Source:    "the environment",
		CA:        a.env(envCA),
		TokenFile: a.env(envTokenFile),
		Cert:      a.env(envCert),
		CertKey:   a.env(envCertKey),
		Endpoints: strings.FieldsFunc(a.env(envEndpoints), func(r rune) bool {
			return r == ',' || r == ' ' || r == '\n'
		}),
	}, nil
}

// devPlace is a cluster of recount-node dev, with its operator's token.
func devPlace(name, dir string) (place, error) {
	dev, err := readDev(name, dir)
	if err != nil {
		return place{}, err
	}
	p := place{Source: name + " " + dir, Endpoints: dev.API, CA: dev.CA}
	if own := filepath.Join(dir, "tokens", "operator.token"); exists(own) {
		p.TokenFile = own
	}
	return p, nil
}

// currentContext returns the context that "recount context use" has chosen.
func (a *app) currentContext() (place, error) {
	c, _, err := a.readContexts()
	if err != nil {
		return place{}, err
	}
	if c.Current == "" {
		return place{}, &codedError{exitUsage, errNoEndpoint,
			"Give --endpoint https://host:port, --dev DIR for a cluster started with recount-node dev, or " +
				"--context NAME (recount context list)."}
	}
	return a.contextPlace("the current context", c.Current)
}

// contextPlace is a cluster of the file of contexts.
func (a *app) contextPlace(source, name string) (place, error) {
	c, path, err := a.readContexts()
	if err != nil {
		return place{}, err
	}
	s, known := c.Contexts[name]
	if !known {
		return place{}, c.unknown(path, source, name)
	}
	if s.Dev != "" {
		p, err := devPlace("context "+name+", dev directory", s.Dev)
		p.Source, p.Context, p.mark = source+" "+name, name, s.mark
		return p, err
	}
	return place{
		Source:    source + " " + name,
		Context:   name,
		mark:      s.mark,
		Endpoints: s.Endpoints,
		CA:        s.CA,
		TokenFile: s.TokenFile,
		Cert:      s.Cert,
		CertKey:   s.CertKey,
	}, nil
}

// config reads the files that p names.
func (p place) config() (cfg client.Config, err error) {
	cfg.Endpoints = p.Endpoints
	if cfg.CA, err = readSetting("--ca", p.CA); err != nil {
		return cfg, err
	}
	if cfg.Cert, err = readSetting("--cert", p.Cert); err != nil {
		return cfg, err
	}
	if cfg.CertKey, err = readSetting("--cert-key", p.CertKey); err != nil {
		return cfg, err
	}
	if (p.Cert == "") != (p.CertKey == "") {
		return cfg, usagef("a client certificate needs both of --cert and --cert-key")
	}
	if p.CA != "" && !x509.NewCertPool().AppendCertsFromPEM(cfg.CA) {
		return cfg, usagef("--ca %s: holds no certificate as PEM", p.CA)
	}
	if p.Cert != "" {
		if _, err := tls.X509KeyPair(cfg.Cert, cfg.CertKey); err != nil {
			return cfg, usagef("--cert %s with --cert-key %s: %s", p.Cert, p.CertKey,
				strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	token, err := readSetting("--token-file", p.TokenFile)
	if err != nil {
		return cfg, err
	}
	cfg.Token = strings.TrimSpace(string(token))
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return cfg, usagef("--token-file %s: must hold one token on one line", p.TokenFile)
	}
	return cfg, nil
}

// missing reports whether a file that p names is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
