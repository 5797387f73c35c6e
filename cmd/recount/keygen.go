package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/verify"
)

// newKey describes a new key. -o json prints it.
type newKey struct {
	KeyID       string            `json:"key_id"`
	Alg         string            `json:"alg"`
	Files       []string          `json:"files"`
	Environment map[string]string `json:"environment"`
}

func (a recordCommands) keygenCommand() *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:       "keygen hmac|ed25519",
		Short:     "Make a signing key and print the settings for the nodes",
		Args:      exactArgs("hmac|ed25519"),
		ValidArgs: []string{"hmac", "ed25519"},
		Long: `keygen writes a new key with permissions 0600 and prints the environment settings that make a node trust it.

hmac     NAME.key holds a secret text of 32 random bytes in base64. The bytes of the text are the key, and the nodes need it too.
ed25519  NAME.key holds the private key (PKCS #8, PEM) and stays with the signer, NAME.pub the public key (base64).`,
		Example: `  recount keygen hmac --out agent
  recount keygen ed25519 --out keys/agent-7 > node.env`,
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := generate(args[0], out, force)
			if err != nil {
				return err
			}
			a.notef("key %s written to %s", k.KeyID, strings.Join(k.Files, " and "))
			a.notef("%s", k.next())
			if a.format != formatTable {
				return a.printJSON(k)
			}
			for _, name := range []string{"PCS_SIGN_ALG", "PCS_HMAC_KEY_FILE", "PCS_ED25519_PUB_B64"} {
				if value, ok := k.Environment[name]; ok {
					fmt.Fprintf(a.out, "%s=%s\n", name, value)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "recount", "path of the files, without .key")
	cmd.Flags().BoolVar(&force, "force", false, "replace existing files")
	return cmd
}

// next returns the steps by which running nodes come to trust the key. A secret goes into their settings, never through
// the API.
func (k *newKey) next() string {
	if len(k.Files) > 1 {
		return fmt.Sprintf("Next: recount key add --ed25519-pub %s --owner NAME", shellWord(k.Files[1]))
	}
	return "Next: give every node the settings printed here (docs/secrets.md: running nodes read a key file " +
		"again), then recount key list"
}

func generate(kind, out string, force bool) (*newKey, error) {
	switch kind {
	case "hmac":
		return generateHMAC(out, force)
	case "ed25519":
		return generateEd25519(out, force)
	}
	return nil, usagef("unknown kind of key %q; known are hmac and ed25519", kind)
}

func generateHMAC(out string, force bool) (*newKey, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(random)
	k, err := verify.NewHMACKey([]byte(text))
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(out + ".key")
	if err != nil {
		return nil, err
	}
	if err := vacant(force, path); err != nil {
		return nil, err
	}
	env := map[string]string{"PCS_SIGN_ALG": "hmac", "PCS_HMAC_KEY_FILE": path}
	return &newKey{k.ID, k.Alg.String(), []string{path}, env}, writeKey(path, []byte(text+"\n"), force)
}

func generateEd25519(out string, force bool) (*newKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	k, err := verify.NewEd25519Key(public)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	if err := vacant(force, base+".key", base+".pub"); err != nil {
		return nil, err
	}
	if err := writeKey(base+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		force); err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(public)
	env := map[string]string{"PCS_SIGN_ALG": "ed25519", "PCS_ED25519_PUB_B64": text}
	return &newKey{k.ID, k.Alg.String(), []string{base + ".key", base + ".pub"}, env},
		writeKey(base+".pub", []byte(text+"\n"), force)
}

// vacant refuses names that are taken, all of them before the first is written.
func vacant(force bool, paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil && !force {
			return &codedError{exitUsage, fmt.Errorf("--out: %s is there already; nothing was written", path),
				"Choose another --out, or --force to replace the key for good."}
		}
	}
	return nil
}

// writeKey makes a file that only its owner can read. An existing one is replaced as a whole or not at all.
func writeKey(path string, content []byte, force bool) error {
	if force {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usagef("--out: %w", err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
