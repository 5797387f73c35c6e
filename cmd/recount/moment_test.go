package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestDatesAlike: every flag that takes a time takes the same forms, and the node is given what was meant.
func TestDatesAlike(t *testing.T) {
	key := write(t, filepath.Join(t.TempDir(), "key"), testHMAC)
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	for text, want := range map[string]time.Time{
		"2026-01-02":           time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"yesterday":            midnight.Add(-24 * time.Hour),
		"2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"1w":                   time.Now().Add(-7 * 24 * time.Hour),
		"30d":                  time.Now().Add(-30 * 24 * time.Hour),
		"15m":                  time.Now().Add(-15 * time.Minute),
	} {
		for _, args := range []string{"audit --since", "audit --until", "operations --since", "operations --until",
			"key revoke ed-0123456789abcdef --yes --since"} {
			n := newNode(t)
			var asked string
			n.override = func(w http.ResponseWriter, r *http.Request) bool {
				var revoke wire.RevokeRequest
				switch {
				case r.URL.Path == "/v1/audit":
					asked = r.URL.Query().Get("since") + r.URL.Query().Get("until")
				case strings.HasSuffix(r.URL.Path, "/revoke"):
					decodeBody(t, r, &revoke)
					asked = revoke.Since
					answer(w, wire.RevokeAnswer{})
					return true
				case r.URL.Path == "/v1/operations":
					answer(w, wire.OperationsPage{
						Items: []wire.OperationItem{{Seq: 6, LogTime: wire.Time(want.Add(-time.Hour))},
							{Seq: 7, LogTime: wire.Time(want)}, {Seq: 8, LogTime: wire.Time(want.Add(time.Hour))}},
					})
					return true
				}
				return false
			}
			r := run(t, "", append(strings.Fields(args), text, "--dev", dev(t, n), "-o", "ndjson")...)
			if strings.HasPrefix(args, "operations") {
				if asked = wire.Time(want); r.code != exitOK || strings.Count(r.out, "\n") == 0 ||
					strings.Count(r.out, "\n") == 3 {
					t.Errorf("%s %s: %+v", args, text, r)
				}
			}
			got, err := wire.ParseTime(asked)
			if r.code != exitOK || err != nil || got.Sub(want).Abs() > time.Minute {
				t.Errorf("%s %s: asked %q, want %s; %+v", args, text, asked, want, r)
			}
		}
	}
	for _, args := range []string{"key add --hmac-key-file " + key + " --not-after",
		"token create --role auditor --name a --expires"} {
		for text, want := range map[string]time.Duration{
			"30d": 30 * 24 * time.Hour,
			"1w":  7 * 24 * time.Hour,
			"12h": 12 * time.Hour,
		} {
			n := newNode(t)
			var asked string
			n.override = func(w http.ResponseWriter, r *http.Request) bool {
				var body struct {
					ExpiresAt string `json:"expires_at"`
					NotAfter  string `json:"not_after"`
				}
				if r.Method != http.MethodPost {
					return false
				}
				decodeBody(t, r, &body)
				asked = body.ExpiresAt + body.NotAfter
				answer(w, map[string]string{})
				return true
			}
			r := run(t, "", append(strings.Fields(args), text, "--dev", dev(t, n))...)
			got, err := wire.ParseTime(asked)
			if r.code != exitOK || err != nil || time.Until(got).Round(time.Minute) != want {
				t.Errorf("%s %s: %q %v %+v", args, text, asked, err, r)
			}
		}
	}
	for _, args := range []string{"token create --role auditor --name a --expires 367d",
		"token create --role auditor --name a --expires yesterday",
		"token create --role auditor --name a --expires 0d", "audit --since never", "operations --until 2026-13-01",
		"shards --timeout 1x", "shards --timeout 0d"} {
		if r := run(t, "", append(strings.Fields(args), "--dev", dev(t, newNode(t)))...); r.code != exitUsage {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestTimesAsAsked: tables show times to the second in UTC, in the local zone, or as a span from now.
func TestTimesAsAsked(t *testing.T) {
	at := time.Now().Add(-3*time.Hour - 5*time.Second).UTC()
	for args, want := range map[string]string{
		"":                at.Format(time.RFC3339),
		"--time utc":      at.Format(time.RFC3339),
		"--time relative": "3h ago",
		"--time local":    at.In(time.Local).Format(time.RFC3339),
		"-o wide":         wire.Time(at),
	} {
		a := &app{}
		a.time, a.wide = strings.TrimPrefix(args, "--time "), args == "-o wide"
		if a.wide {
			a.time = timeUTC
		}
		if got := a.tableTime(wire.Time(at)); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	if r := run(t, "", "audit", "--time", "relative", "--dev", dev(t, newNode(t))); r.code != exitOK ||
		!strings.Contains(r.out, "d ago") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "audit", "--time", "mars", "--dev", dev(t, newNode(t))); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

func decodeBody(t *testing.T, r *http.Request, v any) {
	t.Helper()
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		t.Error(err)
	}
}
