package backup

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// The ways in which a backup is verified, values of the label by.
const (
	ByCheck = "check" // the hash of every file was compared
	ByFold  = "fold"  // its log was opened and folded as well
)

// Metrics are those of one program that makes or verifies backups, for the textfile collector of the Prometheus node
// exporter, or for a scrape. What it has not done yet has no series. It may be used from several goroutines.
type Metrics struct {
	mu       sync.Mutex
	maker    bool
	made     *Manifest // the newest backup
	took     time.Duration
	failures uint64
	by       string // how one was verified, empty if none was
	verified time.Time
}

// NewMetrics returns the metrics of a program that makes backups (maker), or only verifies them.
func NewMetrics(maker bool) *Metrics { return &Metrics{maker: maker} }

// Made notes a backup, and how long it took. A backup that another run has made took 0.
func (m *Metrics) Made(b *Manifest, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made, m.took = b, took
}

// HasMade reports whether there was a backup.
func (m *Metrics) HasMade() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made != nil
}

// Failed counts a backup that failed.
func (m *Metrics) Failed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures++
}

// Verified notes a backup that was found good: ByCheck or ByFold. What counts is when it was made, so that an old
// backup that is verified again and again is still an old one.
func (m *Metrics) Verified(b *Manifest, by string) error {
	at, err := wire.ParseTime(b.CreatedAt)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verified, m.by = at, by
	return nil
}

// Text returns the metrics in the text exposition format.
func (m *Metrics) Text() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	put := func(name, kind, help, labels, value string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s%s %s\n", name, help, name, kind, name, labels, value)
	}
	if m.maker {
		put("flk_backup_failures_total", "counter", "Backups that failed since the program started.", "",
			fmt.Sprint(m.failures))
	}
	if m.made != nil {
		at, err := wire.ParseTime(m.made.CreatedAt)
		if err != nil {
			return "", err
		}
		put("flk_backup_last_success_timestamp_seconds", "gauge", "When the newest backup was begun.", "",
			fmt.Sprint(at.Unix()))
		put("flk_backup_seq", "gauge", "Last event of the newest backup.", "", fmt.Sprint(m.made.Position.Seq))
		put("flk_backup_bytes", "gauge", "Size of all files of the newest backup.", "", fmt.Sprint(m.made.Bytes))
		put("flk_backup_new_bytes", "gauge", "Size of the files that the newest backup sent.", "",
			fmt.Sprint(m.made.NewBytes))
		put("flk_backup_duration_seconds", "gauge", "Time that the newest backup took, 0 if another program made it.", "",
			fmt.Sprintf("%.3f", m.took.Seconds()))
	}
	if m.by != "" {
		put("flk_backup_last_verified_timestamp_seconds", "gauge",
			"When the newest backup that was found good was begun.", fmt.Sprintf("{by=%q}", m.by),
			fmt.Sprint(m.verified.Unix()))
	}
	return b.String(), nil
}

// WriteFile replaces a file as a whole, by renaming path.tmp.
func (m *Metrics) WriteFile(path string) error {
	text, err := m.Text()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text, err := m.Text()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the other side may have gone
}
