package node

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/wire"
)

// errTokensFile means that the tokens file cannot be used.
var errTokensFile = errors.New("auth.tokens_file")

// tokensFile has the tokens that a node knows before the first one is in the log.
type tokensFile struct {
	rows []api.TokenRecord // in the order of the file
	byID map[string]int
}

// readTokensFile reads lines of "id role sha256 expiry [name]". # begins a comment, the expiry is RFC 3339 or
// never, and a missing name is the role. It refuses a file that others than its owner can change.
func readTokensFile(path string) (tokensFile, error) {
	f := tokensFile{byID: map[string]int{}}
	if path == "" {
		return f, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return f, fmt.Errorf("%w: %s has mode %#o: others could add tokens; chmod 600", errTokensFile, path, mode)
	}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		row, err := parseTokenLine(strings.Fields(text))
		if _, twice := f.byID[row.ID]; err == nil && twice {
			err = errors.New("the id is there twice")
		}
		if err != nil {
			return f, fmt.Errorf("%w: %s line %d: %w", errTokensFile, path, n, err)
		}
		f.byID[row.ID] = len(f.rows)
		f.rows = append(f.rows, row)
	}
	if err := lines.Err(); err != nil {
		return f, fmt.Errorf("%w: %w", errTokensFile, err)
	}
	return f, nil
}

// CheckTokensFile reads a tokens file as a node does and returns the number of tokens in it.
func CheckTokensFile(path string) (int, error) {
	f, err := readTokensFile(path)
	return len(f.rows), err
}

func parseTokenLine(fields []string) (api.TokenRecord, error) {
	var t api.TokenRecord
	if len(fields) != 4 && len(fields) != 5 {
		return t, errors.New("want: id role sha256 expiry [name]")
	}
	t = api.TokenRecord{ID: fields[0], Role: wire.Role(fields[1]), Name: fields[1]}
	if len(fields) == 5 {
		t.Name = fields[4]
	}
	sum, err := hex.DecodeString(fields[2])
	switch {
	case !wire.ValidTokenID(t.ID):
		return t, errors.New("the id must be 16 characters of a-z and 2-7")
	case !t.Role.Valid():
		return t, fmt.Errorf("role %q is none of %v", t.Role, wire.Roles())
	case err != nil || len(sum) != 32:
		return t, errors.New("sha256 must be 64 hex digits, the digest of the whole token")
	case !wire.ValidActor(t.Name):
		return t, errors.New("the name must be 1 to 64 letters, digits, . _ @ -")
	}
	t.SHA256 = [32]byte(sum)
	if fields[3] != "never" {
		at, err := wire.ParseTime(fields[3])
		if err != nil {
			return t, fmt.Errorf("expiry %q is neither an RFC 3339 date-time nor never", fields[3])
		}
		t.ExpiresAt = at.UnixNano()
	}
	return t, nil
}

// Token returns a token of the log or of this node's file.
func (n ledger) Token(id string) (api.TokenRecord, bool) {
	control := n.derived.Control()
	_, revoked := control.TokenRevoked(id)
	if row, ok := control.Token(id); ok {
		return api.TokenRecord{
			ID:        id,
			Name:      row.Name,
			Role:      wire.Role(row.Role),
			SHA256:    row.SHA256,
			ExpiresAt: row.ExpiresAt,
			Revoked:   revoked,
		}, true
	}
	i, ok := n.tokensFile.byID[id]
	if !ok {
		return api.TokenRecord{}, false
	}
	row := n.tokensFile.rows[i]
	row.Revoked = revoked
	return row, true
}

// CertificateRevoked reports whether a client certificate was revoked by its serial number.
func (n ledger) CertificateRevoked(serial string) bool {
	_, revoked := n.derived.Control().TokenRevoked(event.CertificatePrefix + serial)
	return revoked
}

// Current waits for everything that was acknowledged before.
func (n ledger) Current(ctx context.Context) error { return n.ops.current(ctx) }

// Tokens lists the tokens of the log and those of this node's file.
func (n ledger) Tokens(context.Context) ([]wire.TokenAnswer, error) {
	now, out := n.clock.now(), []wire.TokenAnswer{}
	for _, row := range n.derived.Control().Tokens() {
		out = append(out, n.reader.loggedToken(row, now))
	}
	for _, row := range n.tokensFile.rows {
		out = append(out, n.reader.fileToken(row, now))
	}
	return out, nil
}

func (rd *reader) loggedToken(row projections.TokenRow, now time.Time) wire.TokenAnswer {
	return rd.tokenState(wire.TokenAnswer{
		ID:        row.ID,
		Name:      row.Name,
		Role:      wire.Role(row.Role),
		Source:    "log",
		CreatedAt: wire.TimeNS(row.LogTime),
		CreatedBy: row.Op.Actor,
		Seq:       row.Seq,
		Reason:    row.Op.Reason,
		Ticket:    row.Op.Ticket,
	}, row.ExpiresAt, now)
}

func (rd *reader) fileToken(row api.TokenRecord, now time.Time) wire.TokenAnswer {
	return rd.tokenState(wire.TokenAnswer{ID: row.ID, Name: row.Name, Role: row.Role, Source: "file"},
		row.ExpiresAt, now)
}

// tokenState adds the fields of a token that change.
func (rd *reader) tokenState(a wire.TokenAnswer, expires int64, now time.Time) wire.TokenAnswer {
	a.State = "active"
	if expires != 0 {
		a.ExpiresAt = wire.TimeNS(expires)
		if now.UnixNano() >= expires {
			a.State = "expired"
		}
	}
	if r, ok := rd.derived.Control().TokenRevoked(a.ID); ok {
		a.State, a.RevokedSeq, a.RevokedBy = "revoked", r.Seq, r.Op.Actor
	}
	return a
}

// CreateToken registers the digest of a token.
func (n ledger) CreateToken(ctx context.Context, r wire.TokenRequest, meta api.Meta) (*wire.TokenAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(r.Digest)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeBadRequest, "digest: not hex").WithField("digest")
	}
	expires, err := wire.ParseTime(r.ExpiresAt)
	if err != nil {
		return nil, wire.NewProblem(wire.CodeBadRequest, "expires_at: not a date-time").WithField("expires_at")
	}
	taken := stale("the id %s is taken; make another token", r.ID)
	if _, inFile := n.tokensFile.byID[r.ID]; inFile {
		return nil, taken
	}
	m := &event.TokenCreatedV1{
		Id:        r.ID,
		Name:      r.Name,
		Role:      string(r.Role),
		Sha256:    sum,
		ExpiresAt: expires.UnixNano(),
		Op:        n.ops.op(r.Op, meta),
	}
	if _, err := n.ops.actOnce(ctx, event.TokenCreated, m, taken); err != nil {
		return nil, err
	}
	row, ok := n.derived.Control().Token(r.ID)
	if !ok {
		return nil, taken
	}
	a := n.reader.loggedToken(row, n.clock.now())
	return &a, nil
}

// RevokeToken ends the use of a token or a client certificate. A second revocation changes nothing.
func (n ledger) RevokeToken(ctx context.Context, id string, r wire.TokenRevokeRequest,
	meta api.Meta) (*wire.TokenAnswer, error) {
	if err := n.ops.current(ctx); err != nil {
		return nil, err
	}
	_, known := n.Token(id)
	serial, cert := strings.CutPrefix(id, event.CertificatePrefix)
	if !known && !cert {
		return nil, api.ErrNotFound
	}
	if _, _, err := n.ops.act(ctx, event.TokenRevoked, &event.TokenRevokedV1{
		Id: id,
		Op: n.ops.op(r.Op, meta),
	}); err != nil {
		return nil, err
	}
	if _, ok := n.derived.Control().TokenRevoked(id); !ok {
		return nil, stale("the op_id %q was used for something else", r.OpID)
	}
	now := n.clock.now()
	if row, ok := n.derived.Control().Token(id); ok {
		a := n.reader.loggedToken(row, now)
		return &a, nil
	}
	if i, ok := n.tokensFile.byID[id]; ok {
		a := n.reader.fileToken(n.tokensFile.rows[i], now)
		return &a, nil
	}
	a := n.reader.tokenState(wire.TokenAnswer{ID: id, Name: serial, Source: "certificate"}, 0, now)
	return &a, nil
}
