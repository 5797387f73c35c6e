package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// verify is the command of docs/releases.md. TestPage holds the two together.
const verify = "ssh-keygen -Y verify -f signers -I releases@recount-ledger.example -n recount-release " +
	"-s SHA256SUMS.sig <SHA256SUMS"

// signed is a directory with two files, their SHA256SUMS, its signature by a new key, and the list of that key.
type signed struct {
	dir, key string
}

// newKey makes a private key and returns its file, and the line of the list of signers.
func newKey(t *testing.T) (path, line string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "key")
	if out, err := sh(".", "ssh-keygen -q -t ed25519 -N '' -C '' -f "+path); err != nil {
		t.Fatal(out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return path, `releases@recount-ledger.example namespaces="recount-release" ` + string(public)
}

// sh runs a command line in the directory.
func sh(dir, line string, env ...string) (string, error) {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", line)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func newSigned(t *testing.T) signed {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not on this machine (Debian: apt install openssh-client)")
	}
	key, line := newKey(t)
	s := signed{dir: t.TempDir(), key: key}
	file(t, s.dir, "signers", line)
	file(t, s.dir, "one", "1\n")
	file(t, s.dir, "two", "2\n")
	if out, err := sh(s.dir, "sha256sum one two >SHA256SUMS"); err != nil {
		t.Fatal(out)
	}
	if out, err := s.sign(t, key); err != nil {
		t.Fatal(out)
	}
	return s
}

// sign calls the script of the release.
func (s signed) sign(t *testing.T, key string) (string, error) {
	t.Helper()
	return sh(s.dir, script(t, "sign-release.sh")+" SHA256SUMS", "RELEASE_KEY_FILE="+key, "RELEASE_SIGNERS=signers")
}

// check does what docs/releases.md says.
func (s signed) check() (string, error) {
	return sh(s.dir, verify+" && sha256sum --check --strict --ignore-missing SHA256SUMS")
}

// TestSignature: a signed release verifies, whole and in part. A changed file, a changed list of checksums, a broken
// signature, another key and a signature for another purpose do not.
func TestSignature(t *testing.T) {
	s := newSigned(t)
	if out, err := s.check(); err != nil || !strings.Contains(out, `Good "recount-release" signature`) {
		t.Fatalf("%v: %s", err, out)
	}
	other, otherLine := newKey(t)
	const again = "ssh-keygen -q -Y sign -n recount-release -f "
	for what, change := range map[string]string{
		"a changed file":           `echo 3 >two`,
		"a changed checksum":       `echo 3 >two && sha256sum one two >SHA256SUMS`,
		"a checksum less":          `sed -i 1d SHA256SUMS`,
		"no signature":             `rm SHA256SUMS.sig`,
		"an empty signature":       `: >SHA256SUMS.sig`,
		"half a signature":         `head -c 100 SHA256SUMS.sig >half && mv half SHA256SUMS.sig`,
		"another character in it":  `sed -i '2s/^./A/; 3s/^./B/' SHA256SUMS.sig`,
		"another key":              `rm SHA256SUMS.sig && ` + again + other + ` SHA256SUMS`,
		"a list with another key":  `echo '` + strings.TrimSpace(otherLine) + `' >signers`,
		"an empty list":            `: >signers`,
		"the key for git":          `rm SHA256SUMS.sig && ssh-keygen -q -Y sign -n git -f ` + s.key + ` SHA256SUMS`,
		"a key that has ended":     `sed -i 's/namespaces=/valid-before="20200101",namespaces=/' signers`,
		"a key for other purposes": `sed -i 's/recount-release/git/' signers`,
	} {
		s := s.copied(t)
		if out, err := sh(s.dir, change); err != nil {
			t.Fatalf("%s: %s", what, out)
		}
		if out, err := s.check(); err == nil {
			t.Errorf("%s is taken:\n%s", what, out)
		}
	}
}

// copied is another directory with the same files.
func (s signed) copied(t *testing.T) signed {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return signed{dir: dir, key: s.key}
}

// TestSigningRefusesStrangeKeys: nobody signs a release with a key that users would refuse, and no signature is left
// then.
func TestSigningRefusesStrangeKeys(t *testing.T) {
	s := newSigned(t)
	other, _ := newKey(t)
	for key, why := range map[string]string{other: "does not name the key", filepath.Join(s.dir, "none"): "none",
		"": "RELEASE_KEY_FILE"} {
		out, err := s.sign(t, key)
		if err == nil || !strings.Contains(out, why) {
			t.Errorf("%q: %v: %s", key, err, out)
		}
	}
	if _, err := s.sign(t, other); err == nil {
		t.Error("signed by another key")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "SHA256SUMS.sig")); !os.IsNotExist(err) {
		t.Errorf("a signature is left: %v", err)
	}
	if out, err := s.sign(t, s.key); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := s.check(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
