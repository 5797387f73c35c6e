// Package backup keeps copies of the log of a ledger outside of its cluster. A target, such as a directory on another
// machine, has files by the hash of their content, and one signed manifest for each backup:
//
//	files/9f/9f86d081...        a file of the log
//	manifests/20261130T135317042Z-k3x7qab2.manifest
//	lock                        held while a backup, or a removal of old ones, is under way
//
// Tables of the log never change. So a later backup sends only the tables that are new and some small files, and the
// two share the rest. A manifest comes last. Without one, files are what an interrupted backup has left, which the next
// one uses and Prune removes.
//
// The package checks that the files are those of the manifest, and that a trusted key signed it. Whether they are a
// sound log is for package restore, which opens and folds it.
package backup

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// Format is the version of manifests that this release writes and reads.
const Format = 1

var (
	// ErrManifest means that a manifest is not as the format says.
	ErrManifest = errors.New("backup: damaged manifest")
	// ErrSignature means that the trusted key did not sign a manifest.
	ErrSignature = errors.New("backup: the manifest is not signed by the trusted key")
	// ErrDamaged means that a file of a backup is missing or has other bytes than its manifest says.
	ErrDamaged = errors.New("backup: damaged file")
	// ErrAbsent means that a target has no object of that name.
	ErrAbsent = errors.New("backup: not there")
)

// Manifest describes one backup. Times are RFC 3339, hashes lower-case hex.
type Manifest struct {
	Format    int               `json:"format"`
	ID        string            `json:"id"`
	ClusterID string            `json:"cluster_id"`
	Node      string            `json:"node"` // whose log it is
	CreatedAt string            `json:"created_at"`
	Tool      string            `json:"tool"`               // program and version
	Previous  string            `json:"previous,omitempty"` // the newest backup of the target before
	Position  wire.CopyPosition `json:"position"`           // where the log ends
	Digest    wire.CopyDigest   `json:"digest"`             // there
	Bytes     int64             `json:"bytes"`              // of all files
	NewBytes  int64             `json:"new_bytes"`          // of those that the target did not have before
	Files     []wire.CopyFile   `json:"files"`              // by name
}

// signature is the second line of a manifest file.
type signature struct {
	Key       string `json:"key"`       // public key, base64
	Signature string `json:"signature"` // base64
}

// signedPrefix stands in front of the first line in the text that a key signs.
const signedPrefix = "recount backup manifest\n"

var idForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{9}Z-[a-z2-7]{8}$`)

// newID returns an id that begins with the time, in milliseconds.
func newID(at time.Time) string {
	return strings.Replace(at.UTC().Format("20060102T150405.000Z"), ".", "", 1) + "-" + strings.ToLower(rand.Text()[:8])
}

// CheckID returns an error unless id has the form of the id of a backup.
func CheckID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("%q is no id of a backup, such as 20261130T135317042Z-k3x7qab2", id)
	}
	return nil
}

// encode returns the two lines of a manifest file.
func (m *Manifest) encode(key ed25519.PrivateKey) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return sign(line, key)
}

// sign adds the line with the signature to the line of a manifest.
func sign(line []byte, key ed25519.PrivateKey) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("backup: no Ed25519 key")
	}
	sig, err := json.Marshal(signature{
		Key:       base64.StdEncoding.EncodeToString(public),
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(key, append([]byte(signedPrefix), line...))),
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(line, []byte("\n"), sig, []byte("\n")), nil
}

// decode parses a manifest file and checks its signature. trusted is the key that must have signed it, or nil for any.
// It returns the key that did.
func decode(raw []byte, trusted ed25519.PublicKey) (*Manifest, ed25519.PublicKey, error) {
	line, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok {
		return nil, nil, fmt.Errorf("%w: it has no signature", ErrManifest)
	}
	var sig signature
	if err := strict(rest, &sig); err != nil {
		return nil, nil, fmt.Errorf("%w: signature: %w", ErrManifest, err)
	}
	// one spelling only: names in other cases, and bits that base64 ignores, would be read as well
	if again, err := json.Marshal(sig); err != nil || !bytes.Equal(rest, append(again, '\n')) {
		return nil, nil, fmt.Errorf("%w: signature: another spelling than this program writes", ErrManifest)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(sig.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("%w: it names no public key", ErrManifest)
	}
	if trusted != nil && !bytes.Equal(key, trusted) {
		return nil, nil, fmt.Errorf("%w, but by %s", ErrSignature, sig.Key)
	}
	by, err := base64.StdEncoding.Strict().DecodeString(sig.Signature)
	if err != nil || !ed25519.Verify(key, append([]byte(signedPrefix), line...), by) {
		return nil, nil, fmt.Errorf("%w: the signature of %s does not fit", ErrSignature, sig.Key)
	}
	m := &Manifest{}
	if err := m.checkFormat(line); err != nil { // a later format may have members that this one does not know
		return nil, nil, err
	}
	if err := strict(line, m); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, key, m.check()
}

func strict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// checkFormat refuses a document of another format.
func (m *Manifest) checkFormat(line []byte) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if head.Format != Format {
		return fmt.Errorf("%w: format %d, this release knows %d; use the release that wrote it", ErrManifest,
			head.Format, Format)
	}
	return nil
}

// check looks for what no release writes.
func (m *Manifest) check() error {
	if err := CheckID(m.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if m.ClusterID == "" || m.Position.Index == 0 || m.Position.Seq == 0 || len(m.Files) == 0 {
		return fmt.Errorf("%w: a member is missing", ErrManifest)
	}
	for i, f := range m.Files {
		if f.Name == "" || path.Base(f.Name) != f.Name || strings.HasPrefix(f.Name, ".") || strings.ContainsAny(f.Name, "/\\\x00") ||
			i > 0 && m.Files[i-1].Name >= f.Name || f.Size < 0 || !isHash(f.SHA256) {
			return fmt.Errorf("%w: file %q", ErrManifest, f.Name)
		}
	}
	return nil
}

func isHash(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && strings.ToLower(s) == s
}

const manifestSuffix = ".manifest"

func manifestName(id string) string { return "manifests/" + id + manifestSuffix }

func fileName(hash string) string { return "files/" + hash[:2] + "/" + hash }
