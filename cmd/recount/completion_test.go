package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// TestCompletion: closed values and ids, which the cluster is asked for. A cluster that cannot be reached costs
// little time.
func TestCompletion(t *testing.T) {
	n := newNode(t)
	n.override = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/v1/keys":
			answer(w, wire.KeysPage{
				Items: []wire.KeyAnswer{{KeyID: "hmac-0123456789abcdef", Status: "active", Owner: "lab\n7"},
					{KeyID: "ed-0123456789abcdef"}},
			})
		case "/v1/generations":
			answer(w, wire.GenerationsPage{Items: []wire.GenerationAnswer{{Generation: 2, State: "built"}}})
		case "/v1/policies":
			answer(w, wire.PoliciesPage{Items: []wire.PolicyAnswer{{ID: strings.Repeat("ab", 32)}}})
		default:
			return false
		}
		return true
	}
	dir := dev(t, n)
	for line, want := range map[string]string{
		"audit --outcome |":                      "refused",
		"audit -o |":                             "ndjson",
		"token create --role |":                  "responder",
		"generation diff 2 --by |":               "shard",
		"audit --consistency |":                  "linearizable",
		"key revoke --dev DIR |hm":               "hmac-0123456789abcdef\tactive, lab.7",
		"audit --dev DIR --key |":                "ed-0123456789abcdef",
		"freeze --dev DIR --shard |sh":           "shard-002",
		"shard show --dev DIR |":                 "zzz",
		"policy apply --dev DIR |":               strings.Repeat("ab", 32),
		"generation start --dev DIR --policy |a": strings.Repeat("ab", 32),
		"generation drop --dev DIR |":            "2\tbuilt",
		"explain |st":                            "stale",
		"completion |":                           "fish",
	} {
		before, begun, _ := strings.Cut(line, "|")
		args := append([]string{"__complete"}, strings.Fields(strings.ReplaceAll(before, "DIR", dir))...)
		if r := run(t, "", append(args, begun)...); r.code != exitOK || !strings.Contains("\n"+r.out, "\n"+want) {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := run(t, "", "__complete", "key", "revoke", "--dev", dir, "hm"); strings.Contains(r.out, "ed-") {
		t.Errorf("not only what begins so: %+v", r)
	}
	gone := newNode(t)
	away := dev(t, gone)
	gone.server.Close()
	for _, args := range [][]string{{"--dev", away}, {"--dev", t.TempDir()}, nil} {
		began := time.Now()
		r := run(t, "", append(append([]string{"__complete", "key", "show"}, args...), "")...)
		if r.code != exitOK || !strings.HasPrefix(r.out, ":") || time.Since(began) > 20*time.Second {
			t.Errorf("%v after %s: %+v", args, time.Since(began), r)
		}
	}
}
