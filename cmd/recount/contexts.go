package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cli"
)

// contexts is the file of contexts. It has names of files, never what is in them.
type contexts struct {
	Current  string                    `yaml:"current,omitempty"`
	Contexts map[string]contextSetting `yaml:"contexts"`
}

// contextSetting is one cluster and who asks it: the directory of a dev cluster, or endpoints and files.
type contextSetting struct {
	Dev       string   `yaml:"dev,omitempty" json:"dev,omitempty"`
	Endpoints []string `yaml:"endpoints,omitempty" json:"endpoints,omitempty"`
	CA        string   `yaml:"ca,omitempty" json:"ca,omitempty"`
	TokenFile string   `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	Cert      string   `yaml:"cert,omitempty" json:"cert,omitempty"`
	CertKey   string   `yaml:"cert_key,omitempty" json:"cert_key,omitempty"`
	mark      `yaml:",inline"`
}

// contextLine is one context as list and show print it.
type contextLine struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	contextSetting
}

func (c contexts) unknown(path, source, name string) error {
	names := slices.Sorted(maps.Keys(c.Contexts))
	near := ""
	if n := cli.Nearest(name, names); n != "" {
		near = fmt.Sprintf(", did you mean %q?", n)
	}
	known := "there is none yet"
	if len(names) > 0 {
		known = "there is " + strings.Join(names, ", ")
	}
	return &codedError{exitUsage, fmt.Errorf("%s %q: no such context in %s%s", source, name, path, near),
		"\"recount context list\" lists them (" + known + "), \"recount context add\" makes one."}
}

// contextsPath is the name of the file, "" when the environment names no place for it.
func (a *app) contextsPath() string {
	switch {
	case a.env(envConfig) != "":
		return a.env(envConfig)
	case a.env("XDG_CONFIG_HOME") != "":
		return filepath.Join(a.env("XDG_CONFIG_HOME"), "recount", "config.yaml")
	case a.env("HOME") != "":
		return filepath.Join(a.env("HOME"), ".config", "recount", "config.yaml")
	}
	return ""
}

// readContexts reads the file. One that is not there is empty. Whoever may write to it decides where tokens go,
// so only its owner may.
func (a *app) readContexts() (c contexts, path string, err error) {
	if path = a.contextsPath(); path == "" {
		return c, path, nil
	}
	text, err := os.ReadFile(path)
	if missing(err) {
		return c, path, nil
	}
	if err != nil {
		return c, path, usagef("contexts: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return c, path, usagef("contexts: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return c, path, &codedError{exitUsage,
			fmt.Errorf("%s can be written by others, who could send your token elsewhere", path), "chmod 600 " + path}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, path, &codedError{exitUsage, fmt.Errorf("%s: %w", path, err),
			"Mend the file, or remove it and add the contexts again."}
	}
	if err := dec.Decode(&contexts{}); !errors.Is(err, io.EOF) {
		return c, path, usagef("%s: holds a second document", path)
	}
	for name, s := range c.Contexts {
		if err := s.check(); err != nil {
			return c, path, &codedError{exitUsage, fmt.Errorf("%s: context %q: %w", path, name, err), "Mend the file."}
		}
	}
	if _, known := c.Contexts[c.Current]; !known && c.Current != "" {
		return c, path, c.unknown(path, "current", c.Current)
	}
	return c, path, nil
}

// change reads the file, lets change alter it, and writes it as a whole.
func (a contextCommands) change(change func(*contexts) error) error {
	c, path, err := a.readContexts()
	switch {
	case err != nil:
		return err
	case path == "":
		return &codedError{exitUsage,
			errors.New("no place for the file of contexts: neither HOME nor XDG_CONFIG_HOME is set"),
			"Name a file with " + envConfig + "."}
	}
	if c.Contexts == nil {
		c.Contexts = map[string]contextSetting{}
	}
	if err := change(&c); err != nil {
		return err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return usagef("contexts: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // mode 0600
	if err != nil {
		return usagef("contexts: %w", err)
	}
	_, err = f.Write(append([]byte("# contexts of recount; \"recount context\" writes this file\n"), text...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

const contextHelp = `A context is a name for the address of a cluster and a credential. The file holds names of files, never a token or key:
$RECOUNT_CONFIG, else $XDG_CONFIG_HOME/recount/config.yaml, else ~/.config/recount/config.yaml.

Which cluster a command asks: that of the command line (--dev, --context, or --endpoint with --ca), else that of the environment
(RECOUNT_DEV, RECOUNT_CONTEXT, or RECOUNT_ENDPOINTS with RECOUNT_CA and RECOUNT_TOKEN_FILE), else the current context. All comes from
one of them. --token-file and --cert on the command line may replace the credential. "recount whoami" shows the result.`

// contextCommands implements recount context.
type contextCommands struct{ *app }

func (a contextCommands) command() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Short: "Name clusters, and choose the current one", Long: contextHelp,
		Example: `  recount context add prod --endpoint https://ledger-1:9440 --endpoint https://ledger-2:9440 --ca api-ca.crt --token-file alice.token
  recount context add try --dev /tmp/recount
  recount context mark prod --production
  recount context use prod
  recount audit --context try --limit 5`}
	cmd.AddCommand(a.addCommand(), a.useCommand(), a.listCommand(), a.markCommand(),
		a.showCommand(), a.removeCommand())
	return cmd
}

func (a contextCommands) addCommand() *cobra.Command {
	var replace bool
	var m mark
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Keep the cluster that the flags name as a context", Args: exactArgs("NAME"),
		Long: `add keeps --endpoint, --ca, --token-file, --cert and --cert-key, or --dev, under a name. No node is asked. The first context becomes the
current one.`,
		Example: `  recount context add prod --endpoint https://ledger-1:9440 --ca api-ca.crt --token-file alice.token --production
  recount context add try --dev /tmp/recount --mark-colour green`,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.settingOfFlags()
			if err != nil {
				return err
			}
			s.mark = m
			if err := checkContextName(args[0]); err != nil {
				return err
			}
			first := false
			err = a.change(func(c *contexts) error {
				if _, known := c.Contexts[args[0]]; known && !replace {
					return usagef("there is a context %q already; give another name, or --replace", args[0])
				}
				c.Contexts[args[0]] = s
				if first = c.Current == ""; first {
					c.Current = args[0]
				}
				return nil
			})
			if err != nil {
				return err
			}
			if first {
				a.notef("%s is the current context. \"recount whoami\" tries it.", args[0])
			} else {
				a.notef("Choose it with \"recount context use %s\", or ask it once with --context %s.", args[0],
					args[0])
			}
			return a.showContext(contextLine{args[0], first, s})
		},
	}
	m.add(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a context of this name")
	return cmd
}

func checkContextName(name string) error {
	bad := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@", r)
	}
	if len(name) > 64 || strings.ContainsFunc(name, bad) {
		return usagef("context %q: a name has at most 64 letters, digits and . _ - @", name)
	}
	return nil
}

// settingOfFlags returns the setting that add keeps, checked as far as it can be without asking a node.
func (a contextCommands) settingOfFlags() (s contextSetting, err error) {
	if a.devDir == "" && len(a.endpoints) == 0 {
		return s, usagef("give --endpoint (and --ca, --token-file), or --dev: a context is a cluster")
	}
	if a.contextName != "" ||
		a.devDir != "" && (a.caFile+a.tokenFile+a.certFile+a.certKey != "" || len(a.endpoints) > 0) {
		return s,
			usagef("--dev and --context name a whole cluster; give --endpoint, --ca and --token-file without them")
	}
	whole := func(path string) string {
		if abs, absErr := filepath.Abs(path); path != "" && absErr == nil {
			return abs
		}
		return path
	}
	s = contextSetting{
		Dev:       whole(a.devDir),
		Endpoints: a.endpoints,
		CA:        whole(a.caFile),
		TokenFile: whole(a.tokenFile),
		Cert:      whole(a.certFile),
		CertKey:   whole(a.certKey),
	}
	if s.Dev != "" {
		_, err = readDev("--dev", s.Dev)
		return s, err
	}
	p := place{Endpoints: s.Endpoints, CA: s.CA, TokenFile: s.TokenFile, Cert: s.Cert, CertKey: s.CertKey}
	cfg, err := p.config()
	if err != nil {
		return s, err
	}
	c, err := client.New(cfg)
	if err == nil {
		c.Close()
	}
	return s, err
}

func (a contextCommands) useCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Make a context the current one",
		Args:              exactArgs("NAME"),
		ValidArgsFunction: a.completeNames,
		Example:           `  recount context use prod && recount whoami`,
		RunE: func(_ *cobra.Command, args []string) error {
			var s contextSetting
			err := a.change(func(c *contexts) (err error) {
				var known bool
				if s, known = c.Contexts[args[0]]; !known {
					return c.unknown(a.contextsPath(), "context", args[0])
				}
				c.Current = args[0]
				return nil
			})
			if err != nil {
				return err
			}
			return a.showContext(contextLine{args[0], true, s})
		},
	}
}

func (a contextCommands) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Forget a context; the files that it names stay",
		Args:              exactArgs("NAME"),
		ValidArgsFunction: a.completeNames,
		Example:           `  recount context remove try`,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.change(func(c *contexts) error {
				if _, known := c.Contexts[args[0]]; !known {
					return c.unknown(a.contextsPath(), "context", args[0])
				}
				delete(c.Contexts, args[0])
				if c.Current == args[0] {
					c.Current = ""
					a.notef("%s was the current context; choose another one with \"recount context use\".", args[0])
				}
				return nil
			})
		},
	}
}

func (a contextCommands) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the contexts", Args: exactArgs(),
		Example: "  recount context list\n  recount context list -o json | jq -r '.[].name'",
		RunE: func(_ *cobra.Command, _ []string) error {
			c, path, err := a.readContexts()
			if err != nil {
				return err
			}
			l := newList(a.app, func(t *table, x contextLine) {
				mark := ""
				if x.Current {
					mark = "*"
				}
				t.row(mark, x.Name, dash(cmp.Or(x.Dev, strings.Join(x.Endpoints, " "))),
					dash(cmp.Or(x.TokenFile, x.Cert)), x.words())
			}, "", "NAME", "CLUSTER", "CREDENTIAL", "MARK")
			for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
				if err := l.add(contextLine{name, name == c.Current, c.Contexts[name]}); err != nil {
					return err
				}
			}
			if len(c.Contexts) == 0 {
				a.notef("There is none in %s; \"recount context add\" makes one.", path)
			}
			return l.end()
		},
	}
}

func (a contextCommands) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show a context, without a name the current one",
		ValidArgsFunction: a.completeNames,
		Example: `  recount context show
  recount context show prod -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("[NAME]")(cmd, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, path, err := a.readContexts()
			if err != nil {
				return err
			}
			name := c.Current
			if len(args) == 1 {
				name = args[0]
			}
			s, known := c.Contexts[name]
			if !known {
				return c.unknown(path, "context", name)
			}
			return a.showContext(contextLine{name, name == c.Current, s})
		},
	}
}

func (a contextCommands) showContext(x contextLine) error {
	return a.printFields(x, "name", x.Name, "current", x.Current, "dev directory", dash(x.Dev), "endpoints",
		dash(strings.Join(x.Endpoints, " ")), "authority", dash(x.CA), "token file", dash(x.TokenFile),
		"certificate", dash(x.Cert), "mark", x.words())
}

func (a contextCommands) completeNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, _, err := a.readContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(c.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
