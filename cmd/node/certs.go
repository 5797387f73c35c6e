package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/when"
)

// certsRun holds the flags and results that the commands of `certs` share.
type certsRun struct {
	force    bool
	output   string
	validity string
	out      io.Writer
	lines    []certFile
}

// certFile describes one written file in the output.
type certFile struct {
	File    string   `json:"file"`
	Kind    string   `json:"kind"` // certificate or key; of join also signing request, settings and others
	Subject string   `json:"subject,omitempty"`
	Names   []string `json:"names,omitempty"` // hosts, addresses and URIs
	// lower-case hex; "cert:" and the serial identify a client certificate in recount token revoke
	Serial   string     `json:"serial,omitempty"`
	NotAfter *time.Time `json:"not_after,omitempty"`
}

func certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "certs", Short: "Make authorities and certificates for nodes and clients",
		Long: `Make the files for the two TLS ports. The commands contact nothing, and no node needs to run.

A cluster has three authorities, and none may do the work of another:
  peer    signs nodes and nothing else, because a holder of one of its certificates takes part in consensus
  api     signs the certificates that clients see
  client  signs client certificates, if the API accepts them (api.client_ca_file)

BASE names a pair of files, BASE.crt and BASE.key. Keys are readable by their owner only. Keep the keys of the authorities
off the nodes. Existing files are not changed without --force.`,
		Example: `  # authorities, once
  recount-node certs create-ca pki/peer-ca   --name "Recount peer CA"
  recount-node certs create-ca pki/api-ca    --name "Recount API CA"
  recount-node certs create-ca pki/client-ca --name "Recount client CA"

  # one node: pki/node-1/peer.crt, peer.key, api.crt, api.key
  recount-node certs create-node --cluster ledger --node node-1 --host recount.internal --host 10.0.0.1 \
    --peer-ca pki/peer-ca --api-ca pki/api-ca --out pki/node-1

  # sign what recount-node join has made on the machine of a new node
  recount-node certs sign-node --cluster ledger --node node-4 --host recount.internal --host 10.0.0.4 \
    --csr node-4 --peer-ca pki/peer-ca --api-ca pki/api-ca --out node-4

  # one client
  recount-node certs create-client --cluster ledger --role auditor --name anna --ca pki/client-ca --out pki/anna`,
	}
	cmd.AddCommand(createCACommand(), createNodeCommand(), signNodeCommand(), createClientCommand())
	return cmd
}

// flags adds the flags that every command of `certs` has.
func (c *certsRun) flags(cmd *cobra.Command, validity string) {
	cmd.Flags().StringVar(&c.validity, "validity", validity, "how long it is valid, such as 90d or 12h")
	cmd.Flags().BoolVar(&c.force, "force", false, "replace files that exist")
	c.outputFlag(cmd)
}

// outputFlag adds --output.
func (c *certsRun) outputFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.output, "output", "o", "table", "table or json")
	cli.Closed(cmd, "output", "table", "json")
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { c.out = cmd.OutOrStdout() }
}

func createCACommand() *cobra.Command {
	var c certsRun
	var name string
	cmd := &cobra.Command{
		Use: "create-ca BASE", Short: "Make an authority: BASE.crt and BASE.key", Args: exactly("BASE"),
		Long: `Make a self-signed authority that can sign end certificates only. To replace one that is in use, make the new one under
another name and follow docs/tls-mtls.md, because --force deletes the old key.`,
		Example: `  recount-node certs create-ca pki/peer-ca --name "Recount peer CA"
  recount-node certs create-ca pki/client-ca-2027 --name "Recount client CA 2027" --validity 1095d`,
		RunE: func(_ *cobra.Command, args []string) error { return c.createCA(args[0], name) },
	}
	cmd.Flags().StringVar(&name, "name", "Recount CA", "common name")
	c.flags(cmd, "3650d")
	return cmd
}

// exactly requires one argument and names it in the error.
func exactly(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &usageError{fmt.Errorf("%s needs exactly one argument, %s, not %d", cmd.CommandPath(), what,
				len(args))}
		}
		return nil
	}
}

func (c *certsRun) createCA(base, name string) error {
	validity, err := parseValidity(c.validity)
	if err != nil {
		return &usageError{err}
	}
	if err := c.mayWrite(base+".crt", base+".key"); err != nil {
		return err
	}
	ca, err := certs.NewCAFor(name, validity)
	if err != nil {
		return err
	}
	if err := ca.Save(filepath.Dir(base), filepath.Base(base)); err != nil {
		return err
	}
	return errors.Join(c.wrotePair(base), c.print())
}

func createNodeCommand() *cobra.Command {
	var c certsRun
	var n nodeCerts
	cmd := &cobra.Command{
		Use: "create-node --cluster ID --node ID --out DIR", Short: "Make the certificates of a node's two ports",
		Long: `Make DIR/peer.crt and DIR/peer.key (with --peer-ca) and DIR/api.crt and DIR/api.key (with --api-ca).

The peer certificate names the node as recount://<cluster-id>/node/<node-id>. Other nodes check only this name. The API
certificate carries every --host that clients and proxies use: name one that all nodes share, so that a proxy can check it.
To renew, run the same command with --force. A running node loads the new files within a few seconds.`,
		Example: `  recount-node certs create-node --cluster ledger --node node-1 --host recount.internal --host 10.0.0.1 \
    --peer-ca pki/peer-ca --api-ca pki/api-ca --out pki/node-1

  # renew the API certificate only
  recount-node certs create-node --cluster ledger --node node-1 --host recount.internal --host 10.0.0.1 \
    --api-ca pki/api-ca --validity 90d --out pki/node-1 --force`,
		RunE: func(*cobra.Command, []string) error { return c.createNode(n) },
	}
	n.flags(cmd)
	c.flags(cmd, "365d")
	return cmd
}

func createClientCommand() *cobra.Command {
	var c certsRun
	var cluster, role, name, ca, out string
	cmd := &cobra.Command{
		Use:   "create-client --cluster ID --role ROLE --name NAME --ca BASE --out BASE",
		Short: "Make a client certificate that carries a role",
		Long: `Make a certificate that names its holder as recount://<cluster-id>/role/<role>/<name>. The API accepts it if the
authority is in api.client_ca_file of the node. Roles: ` + strings.Join(certs.Roles, ", ") + `. Agents that submit need none, their records
are signed. It counts until it expires or is revoked by its serial number: recount token revoke cert:SERIAL. Keep it short.`,
		Example: `  recount-node certs create-client --cluster ledger --role auditor --name anna --ca pki/client-ca --out pki/anna
  curl --cacert pki/api-ca.crt --cert pki/anna.crt --key pki/anna.key https://recount.internal:9440/v1/audit`,
		RunE: func(*cobra.Command, []string) error {
			uri, err := certs.RoleURI(cluster, role, name)
			for _, f := range [][2]string{{"--ca", ca}, {"--out", out}} {
				if f[1] == "" {
					err = errors.Join(err, fmt.Errorf("%s is required", f[0]))
				}
			}
			validity, badValidity := parseValidity(c.validity)
			if err = errors.Join(err, badValidity); err != nil {
				return &usageError{err}
			}
			return c.issueAll(issuance{ca: ca, base: out,
				request: certs.Request{CommonName: name, URIs: []string{uri}, Client: true, Validity: validity}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&cluster, "cluster", "", "cluster id (required)")
	f.StringVar(&role, "role", "", "one of "+strings.Join(certs.Roles, ", ")+" (required)")
	cli.Closed(cmd, "role", certs.Roles...)
	f.StringVar(&name, "name", "", "who or what holds it, as it appears in events (required)")
	f.StringVar(&ca, "ca", "", "BASE of the client authority (required)")
	f.StringVar(&out, "out", "", "BASE of the new pair (required)")
	c.flags(cmd, "90d")
	return cmd
}

// mayWrite fails if a file would be replaced without --force. It runs before anything is written.
func (c *certsRun) mayWrite(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil && !c.force {
			return &usageError{fmt.Errorf("%s exists; nothing was written. Give another name, or --force "+
				"to replace it", path)}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// wrotePair adds a certificate and its key to the list of written files.
func (c *certsRun) wrotePair(base string) error {
	err := c.wrote(base + ".crt")
	c.lines = append(c.lines, certFile{File: base + ".key", Kind: "key"})
	return err
}

// wrote reads a certificate back from disk and adds it to the list of written files.
func (c *certsRun) wrote(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s: not PEM after it was written", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	c.lines = append(c.lines, certFile{path, "certificate", cert.Subject.CommonName, names,
		cert.SerialNumber.Text(16), &cert.NotAfter})
	return nil
}

func (c *certsRun) print() error {
	if c.output == "json" {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		return enc.Encode(c.lines)
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tKIND\tSUBJECT\tNAMES\tVALID UNTIL\tSERIAL")
	for _, l := range c.lines {
		subject, names, until, serial := "-", "-", "-", "-"
		if l.NotAfter != nil {
			subject, until, serial = l.Subject, l.NotAfter.UTC().Format(time.RFC3339), l.Serial
			if len(l.Names) > 0 {
				names = strings.Join(l.Names, ",")
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.File, l.Kind, subject, names, until, serial)
	}
	return w.Flush()
}

// addHosts splits --host into names and addresses.
func addHosts(r *certs.Request, hosts []string) error {
	var errs []error
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			r.IPs = append(r.IPs, ip)
			continue
		}
		if h == "" || strings.ContainsAny(h, ":/ \t@") {
			errs = append(errs, fmt.Errorf("--host %q: a host name or an address, without scheme and port", h))
			continue
		}
		r.DNS = append(r.DNS, h)
	}
	return errors.Join(errs...)
}

// parseValidity parses the validity of a certificate.
func parseValidity(text string) (time.Duration, error) {
	d, ok := parseSpan(text)
	if !ok {
		return 0, fmt.Errorf("--validity %q: a positive time such as 90d or 12h, at most 36500d", text)
	}
	return d, nil
}

// parseSpan parses a positive time such as 90d or 12h, at most 36500d.
func parseSpan(text string) (time.Duration, bool) {
	d, err := when.Span(text)
	return d, err == nil && d > 0 && d <= 36500*24*time.Hour
}
