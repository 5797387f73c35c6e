package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// banner prints where the cluster is and what to type next. Scripts get the JSON line.
func (d *devCluster) banner(w io.Writer) {
	r := d.ready()
	tool := "recount"
	if self, err := os.Executable(); err == nil {
		if near := filepath.Join(filepath.Dir(self), "recount"); isFile(near) {
			tool = near
		}
	}
	fmt.Fprintf(w, "%d nodes serve: %s\n\n", d.nodes, strings.Join(r.API, " "))
	fmt.Fprintf(w, "In another terminal:\n  export RECOUNT_DEV=%s\n\n", shellWord(d.dir))
	if demo := filepath.Join(d.dir, "keys", "demo-hmac.key"); isFile(demo) {
		fmt.Fprintf(w, "  demo key   %s  (sign --key-file)\n", demo)
	}
	fmt.Fprintf(w, "  tokens     %s/ROLE.token  (RECOUNT_DEV finds them)\n", filepath.Join(d.dir, "tokens"))
	fmt.Fprintf(w, "  authority  %s\n", r.CA)
	fmt.Fprintf(w, "  proofs     %s  (proof verify --key)\n", filepath.Join(d.dir, publicKeyName))
	if d.sample {
		fmt.Fprintln(w, "  The worthless test keys of testdata/keys.json are trusted: everybody can sign with them.")
	}
	tool = shellWord(tool)
	fmt.Fprintf(w,
		"\nNext:\n  %s cluster status\n  %s keygen ed25519 --out me\n  %s key add --ed25519-pub me.pub "+
			"--owner me\n\nCtrl-C stops the nodes.\n",
		tool, tool, tool)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// shellWord quotes a text for a shell if necessary.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("/._-+:@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// lastWords finds the reason in the log of a node, after an offset, why the node exited.
func lastWords(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	for _, line := range slices.Backward(lines) {
		if rest, ok := bytes.CutPrefix(line, []byte("recount-node: ")); ok {
			return string(rest)
		}
	}
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}

// ended reports why a node exited before all served, with the node's own last error if there is one.
func (d *devCluster) ended(i int, log string, from int64, err error) error {
	why := lastWords(log, from)
	if why == "" {
		if why = "without a word"; err != nil {
			why = err.Error()
		}
	}
	if strings.Contains(why, "address already in use") {
		why += "; choose another --base-port"
	}
	return fmt.Errorf("%s ended at its start: %s", d.nodeID(i), why)
}

// perNode returns the settings of the environment that dev writes into the settings file of each node, each
// with its own name or port.
func (d *devCluster) perNode(i int) (string, error) {
	var b strings.Builder
	for _, section := range []string{"metrics", "debug"} {
		listen, err := d.ownPort("RECOUNT_"+strings.ToUpper(section)+"_LISTEN", i)
		if err != nil {
			return "", err
		}
		if listen != "" {
			fmt.Fprintf(&b, "%s:\n  listen: %q\n", section, listen)
		}
	}
	file, most, keep := os.Getenv("RECOUNT_AUDIT_LOG_FILE"), os.Getenv("RECOUNT_AUDIT_LOG_MAX_BYTES"),
		os.Getenv("RECOUNT_AUDIT_LOG_KEEP")
	if file+most+keep == "" {
		return b.String(), nil
	}
	fmt.Fprintln(&b, "audit_log:")
	if file != "" {
		abs, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "  file: %q\n", abs+"."+d.nodeID(i))
	}
	if most != "" {
		fmt.Fprintf(&b, "  max_bytes: %s\n", most)
	}
	if keep != "" {
		fmt.Fprintf(&b, "  keep: %q\n", keep)
	}
	return b.String(), nil
}

// ownPort returns the address of node i for a variable that has the address of the first node, "" for none.
func (d *devCluster) ownPort(env string, i int) (string, error) {
	listen := os.Getenv(env)
	if listen == "" {
		return "", nil
	}
	host, text, err := net.SplitHostPort(listen)
	port, bad := strconv.Atoi(text)
	if err := errors.Join(err, bad); err != nil || port < 1 || port+10*i > 65535 {
		return "", &usageError{fmt.Errorf("%s: %q is not host:port with room for %d nodes, ten apart", env, listen,
			d.nodes)}
	}
	return net.JoinHostPort(host, strconv.Itoa(port+10*i)), nil
}

// warnUnused lists the settings of the environment that dev overrides for each node.
func warnUnused(w io.Writer) {
	for _, s := range settings {
		used := slices.Contains([]string{"auth.required", "auth.two_person", "auth.failures", "token_rate",
			"pcs_profiles", "ballast"}, s.key) ||
			strings.HasPrefix(s.key, "audit_log.") || strings.HasPrefix(s.key, "metrics.") || s.key == "debug.listen" ||
			strings.HasPrefix(s.key, "pcs_")
		if value := os.Getenv(s.env); value != "" && !used && ownSetting(s.key) {
			fmt.Fprintf(w, "recount-node: %s is not used: dev gives every node its own %s\n", s.env, s.key)
		}
	}
}
