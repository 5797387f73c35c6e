// Package corpus reads the corpora of testdata: one JSON line with a request, byte for byte, and the response that it
// must get. testdata/README.md explains the members. A Checker compares responses with them.
//
// The command recount submit --check and the end-to-end tests share it, so that both read a corpus alike.
package corpus

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"github.com/recount-ledger/recount/nano"
)

// Line is one line of a corpus.
type Line struct {
	ID      string            `json:"id"`
	Rule    string            `json:"rule"`  // names the first status in rules.json
	Group   string            `json:"group"` // lines of one group keep their order
	Body    *string           `json:"body"`
	Parts   []Part            `json:"parts"` // the body, if it is no text or very long
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Chunked bool              `json:"chunked"`
	Expect  *Expect           `json:"expect"`

	// PCSID and ShardID are set if the line is a record and not a line of a corpus.
	PCSID   string `json:"pcs_id"`
	ShardID string `json:"shard_id"`
}

// Part is a piece of a body: a text or bytes in base64, Count times. Without Count it is there once.
type Part struct {
	Text  string `json:"text"`
	B64   string `json:"b64"`
	Count *int   `json:"count"`
}

// Expect is the response that a line must get.
type Expect struct {
	Status     []int       `json:"status"` // acceptable ones, the preferred one first
	Class      string      `json:"class"`  // reason code, or "ok", "replay", "http"
	Accepted   *bool       `json:"accepted"`
	PCSID      string      `json:"pcs_id"`
	DHat       []nano.Nano `json:"d_hat"`       // least and greatest value
	Budget     []nano.Nano `json:"budget"`      // one of these
	SameAs     string      `json:"same_as"`     // id of the line whose response comes again
	MaxSeconds float64     `json:"max_seconds"` // 0: no bound
}

// MaxBody bounds the body that one line can grow to, in bytes.
const MaxBody = 64 << 20

// Bytes returns the exact body of the line. Wrong base64, a negative count and a body above MaxBody are errors.
func (l *Line) Bytes() ([]byte, error) {
	if l.Body != nil {
		return []byte(*l.Body), nil
	}
	var out []byte
	for _, p := range l.Parts {
		piece, count := []byte(p.Text), 1
		if p.B64 != "" {
			raw, err := base64.StdEncoding.DecodeString(p.B64)
			if err != nil {
				return nil, err
			}
			piece = raw
		}
		if p.Count != nil {
			count = *p.Count
		}
		if count < 0 || len(piece) > 0 && count > (MaxBody-len(out))/len(piece) {
			return nil, fmt.Errorf("parts make more than %d bytes", MaxBody)
		}
		out = append(out, bytes.Repeat(piece, count)...)
	}
	return out, nil
}

// Load reads a file of lines. An error names the line.
func Load(path string) ([]Line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Line
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, len(out)+1, err)
		}
		out = append(out, l)
	}
	return out, lines.Err()
}
