package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// TestRules: each rule over metrics finds what it is for and nothing in a healthy node.
func TestRules(t *testing.T) {
	healthy := "# HELP flk_leader 1\nflk_disk_free_bytes 1e+11\nflk_disk_needed_bytes 3e+08\nflk_clock_ok 1\n" +
		"flk_clock_offset_seconds 0.2\nflk_tls_certificate_expiry_seconds{certificate=\"api\"} 9e+06\n" +
		"flk_ballast_missing_bytes 0\nflk_fold_lag_entries 12\nflk_log_scrubs_total 1\nflk_wal_errors 0\nno number\n\n"
	if f := judgeNode(&facts{id: "n", asked: true, samples: parseSamples(healthy)}, noon); len(f) > 0 {
		t.Errorf("a healthy node: %+v", f)
	}
	for line, want := range map[string]string{
		"flk_disk_free_bytes 1e+08":                                                 "disk critical",
		"flk_disk_free_bytes 1.1e+09":                                               "disk warning",
		"flk_ballast_missing_bytes 1e+09":                                           "ballast warning",
		"flk_clock_offset_seconds -1.5":                                             "clock warning",
		"flk_clock_ok 0":                                                            "clock critical",
		"flk_fold_lag_entries 1001":                                                 "lag warning",
		"flk_refused_by_members 1":                                                  "member critical",
		"flk_key_files_failed 1":                                                    "secrets critical",
		`flk_tls_certificate_expiry_seconds{certificate="peer"} 1.8e+06`:            "certificate warning",
		`flk_tls_certificate_expiry_seconds{certificate="peer"} 600000`:             "certificate critical",
		`flk_tls_certificate_expiry_seconds{certificate="peer"} -5`:                 "certificate critical",
		`flk_tls_reloads_total{certificate="peer",result="refused"} 1`:              "certificate warning",
		"flk_wal_errors 1":                                                          "store critical",
		"flk_damaged_stores_total 2":                                                "store warning",
		"flk_log_scrubs_total 0\nprocess_start_time_seconds 1.764e+09":              "scrub warning",
		"flk_log_lines_dropped_total 7":                                             "lines warning",
		"flk_audit_dropped_total 7":                                                 "lines critical",
		"flk_false_facts_total 1":                                                   "facts critical",
		"flk_yielding 1":                                                            "yield warning",
		`flk_tls_reloads_total{certificate="peer",result="loaded"} 1`:               "",
		"flk_log_scrubs_total 0\nprocess_start_time_seconds 1.7673e+09":             "",
		"flk_log_scrubs_total 0\nflk_disk_needed_bytes 3e+08\nflk_fold_lag_entries": "",
	} {
		got := ""
		for _, f := range judgeNode(&facts{id: "n", asked: true, samples: parseSamples(line + "\n" + healthy)}, noon) {
			got = f.Check + " " + f.Severity
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestReadinessIsToldOnce: what /readyz says is not said again by a metric, and a check that this release does not know
// is a finding, too.
func TestReadinessIsToldOnce(t *testing.T) {
	f := &facts{id: "n", asked: true, failing: []failed{{"disk", "short"}, {"tide", "is out"}},
		samples: parseSamples("flk_disk_free_bytes 1\nflk_disk_needed_bytes 2\n")}
	got := judgeNode(f, noon)
	if len(got) != 2 || got[0].Check != "disk" || got[1].Check != "ready" || got[0].On != "n" {
		t.Errorf("%+v", got)
	}
	if got := judgeNode(&facts{id: "n", err: errors.New("not ready"), failing: f.failing[:1]}, noon); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func view(id, cluster, version, leader string, states ...string) *facts {
	f := &facts{id: id, endpoint: "https://" + id, version: &wire.VersionAnswer{Node: id, ClusterID: cluster, Version: version},
		cluster: &wire.ClusterAnswer{Leader: leader}}
	for i, s := range states {
		name := "n" + string(rune('1'+i))
		f.cluster.Members = append(f.cluster.Members, wire.Member{ID: name, API: "https://" + name, Suffrage: "voter", State: s})
	}
	return f
}

func words(all []Finding) (out string) {
	for _, f := range all {
		out += f.Check + " " + f.Severity + "; "
	}
	return out
}

// TestClusterAsAWhole: builds, clusters, leaders and voters are compared over all endpoints.
func TestClusterAsAWhole(t *testing.T) {
	up := []string{"leader", "follower", "follower"}
	for name, c := range map[string]struct {
		all  []*facts
		want string
	}{
		"well":           {[]*facts{view("n1", "c", "v1", "n1", up...), view("n2", "c", "v1", "n1", up...)}, ""},
		"two builds":     {[]*facts{view("n1", "c", "v1", "n1", up...), view("n2", "c", "v2", "n1", up...)}, "versions warning; "},
		"two clusters":   {[]*facts{view("n1", "c", "v1", "n1", up...), view("n1", "d", "v1", "n1", up...)}, "cluster critical; "},
		"no leader":      {[]*facts{view("n1", "c", "v1", "", up...)}, "leader critical; "},
		"one away":       {[]*facts{view("n1", "c", "v1", "n1", "leader", "follower", "unreachable")}, "answer warning; voters warning; "},
		"two away":       {[]*facts{view("n1", "c", "v1", "n1", "leader", "unreachable", "unreachable")}, "answer warning; answer warning; voters critical; "},
		"even":           {[]*facts{view("n1", "c", "v1", "n1", "leader", "follower", "follower", "follower")}, "voters note; "},
		"four, one away": {[]*facts{view("n1", "c", "v1", "n1", "leader", "follower", "follower", "unreachable")}, "answer warning; voters warning; "},
		"five, one away": {[]*facts{view("n1", "c", "v1", "n1", "leader", "follower", "follower", "follower", "unreachable")}, "answer warning; "},
	} {
		got := words(judgeCluster(c.all))
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	silent := &facts{endpoint: "https://n2", err: errors.New("gone")}
	all := []*facts{view("n1", "c", "v1", "n1", up...), silent}
	if name(all); silent.node() != "n2" {
		t.Errorf("the silent endpoint is %s", silent.node())
	}
}

// TestLearners: a learner that takes no entries or does not answer is a warning, one that catches up or could vote a
// note, and each has its next command.
func TestLearners(t *testing.T) {
	for _, c := range []struct {
		state      string
		l          wire.LearnerProgress
		want, next string
	}{
		{"follower", wire.LearnerProgress{Lacks: 5000, Why: "w", StalledS: 29}, "learner note; ", "recount cluster status"},
		{"follower", wire.LearnerProgress{Lacks: 5000, Why: "w", StalledS: 30}, "learner warning; ", "systemctl status recount-node"},
		{"unreachable", wire.LearnerProgress{Lacks: 1, Why: "w"}, "learner warning; ", "systemctl status recount-node"},
		{"follower", wire.LearnerProgress{Promotable: true}, "learner note; ", `recount cluster promote n4 --reason "it keeps up"`},
	} {
		f := view("n1", "c", "v1", "n1", "leader", "follower", "follower")
		f.cluster.Members = append(f.cluster.Members, wire.Member{ID: "n4", Suffrage: "nonvoter", State: c.state, Learner: &c.l})
		got := judgeCluster([]*facts{f})
		if words(got) != c.want || got[0].Next != c.next || got[0].Node != "n4" {
			t.Errorf("%+v: %+v", c.l, got)
		}
	}
}

// TestUpgradeWithoutItsEnd: an upgrade whose last step is missing is a note, unless somebody cannot tell.
func TestUpgradeWithoutItsEnd(t *testing.T) {
	known := func(v uint32) *uint32 { return &v }
	for _, c := range []struct {
		active uint32
		know   [3]*uint32
		want   string
	}{
		{2, [3]*uint32{known(2), known(2), known(2)}, ""},
		{2, [3]*uint32{known(3), known(2), known(3)}, ""},
		{2, [3]*uint32{known(3), nil, known(3)}, ""},
		{2, [3]*uint32{known(3), known(4), known(3)}, "upgrade note; "},
		{0, [3]*uint32{known(3), known(3), known(3)}, ""}, // the endpoint is of a release before versions
	} {
		f := view("n1", "c", "v1", "n1", "leader", "follower", "follower")
		f.cluster.ClusterVersion = c.active
		for i := range f.cluster.Members {
			f.cluster.Members[i].KnowsVersion = c.know[i]
		}
		got := judgeCluster([]*facts{f})
		if words(got) != c.want || c.want != "" && !strings.Contains(got[0].Text, "version 3, and the cluster is at 2") {
			t.Errorf("%d: %+v", c.active, got)
		}
	}
}

// TestDifferentDigests: each of the three digests is compared, outcomes only within one generation.
func TestDifferentDigests(t *testing.T) {
	all := []*facts{{id: "n1"}, {id: "n2"}}
	same := wire.DigestAnswer{Seq: 7, Log: "l", State: "s", Control: "c", Generation: 1}
	for _, c := range []struct {
		change func(*wire.DigestAnswer)
		want   string
	}{
		{func(*wire.DigestAnswer) {}, ""},
		{func(d *wire.DigestAnswer) { d.Log = "x" }, "digest of the log at event 7"},
		{func(d *wire.DigestAnswer) { d.Control = "x" }, "digest of the control state"},
		{func(d *wire.DigestAnswer) { d.State = "x" }, "digest of the outcomes"},
		{func(d *wire.DigestAnswer) { d.State, d.Generation = "x", 2 }, ""},
	} {
		other := same
		c.change(&other)
		got := judgeDigests(all, map[int]*wire.DigestAnswer{0: &same, 1: &other})
		if (c.want == "") != (len(got) == 0) || len(got) > 0 && (!strings.Contains(got[0].Text, c.want) || got[0].Severity != Critical) {
			t.Errorf("%q: %+v", c.want, got)
		}
	}
}

// TestKeysByAge: ended, ending and old keys are told apart, and those that are no longer active are left out.
func TestKeysByAge(t *testing.T) {
	at := func(days int) string { return wire.Time(noon.AddDate(0, 0, days)) }
	got := judgeKeys([]wire.KeyAnswer{
		{KeyID: "fine", Status: wire.KeyActive, At: at(-80), NotAfter: at(20)},
		{KeyID: "ended", Status: wire.KeyActive, At: at(-80), NotAfter: at(-1)},
		{KeyID: "ending", Status: wire.KeyActive, At: at(-80), NotAfter: at(13)},
		{KeyID: "old", Status: wire.KeyActive, At: at(-91)},
		{KeyID: "gone", Status: wire.KeyRevoked, At: at(-91)},
	}, noon)
	if words(got) != "key note; key warning; key note; " || !strings.Contains(got[1].Text, "ending ends in 13 days") {
		t.Errorf("%+v", got)
	}
	short := judgeTokens([]wire.TokenAnswer{
		{ID: "a", State: "active", CreatedAt: at(-10), ExpiresAt: at(3)}, {ID: "b", State: "expired", CreatedAt: at(-30), ExpiresAt: at(-3)},
		{ID: "c", State: "active", ExpiresAt: at(3)}, {ID: "d", State: "active"},
	}, noon)
	if len(short) != 1 || !strings.Contains(short[0].Text, "token c") {
		t.Errorf("%+v", short)
	}
}

// TestPageOfFindings: docs/doctor.md has a row for every check, with its sentence, and every page that a finding leads to
// is there.
func TestPageOfFindings(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for check, sentence := range Checks() {
		if !strings.Contains(string(text), "| `"+check+"` | "+sentence+" |") {
			t.Errorf("docs/doctor.md has no row: | `%s` | %s |", check, sentence)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(Checks()) {
		t.Errorf("%d rows, %d checks", len(rows), len(Checks()))
	}
	for _, r := range rules {
		if Checks()[r.check] == "" || r.next == "" {
			t.Errorf("%+v", r)
		}
	}
	leads := 0
	for _, dir := range []string{".", "../stopped"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"([a-z/-]+\.md)(#[a-z0-9-]+)?"`).FindAllStringSubmatch(string(code), -1) {
				leads++
				checkAnchor(t, filepath.Join("../../docs", m[1]), m[2])
			}
		}
	}
	if leads < 20 {
		t.Errorf("only %d pages", leads)
	}
}

// checkAnchor wants a page, and in it the heading that the anchor stands for.
func checkAnchor(t *testing.T, path, anchor string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(string(text), -1) {
		heading := regexp.MustCompile("[^a-z0-9 -]").ReplaceAllString(strings.ToLower(m[1]), "")
		if anchor == "" || anchor == "#"+strings.ReplaceAll(heading, " ", "-") {
			return
		}
	}
	t.Errorf("%s has no heading %s", path, anchor)
}
