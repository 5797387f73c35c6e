package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/wire"
)

// TestRolesOnBinaries tries every route of every node without credentials, with such as do not count, and with a token of
// every role.
func TestRolesOnBinaries(t *testing.T) {
	c, ctx := start(t, 3, "RECOUNT_AUTH_FAILURES=0")
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLS()}}
	defer plain.CloseIdleConnections()
	token := func(name string) string {
		b, err := os.ReadFile(filepath.Join(c.Dir, "tokens", name+".token"))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + strings.TrimSpace(string(b))
	}
	unknown, _, err := wire.NewToken(wire.RoleOperator)
	if err != nil {
		t.Fatal(err)
	}
	operator := token("operator")
	shown := map[string]string{"none": "", "malformed": "Bearer rct_operator_x", "unknown": "Bearer " + unknown, "cut": operator[:len(operator)-1],
		"another scheme": strings.Replace(operator, "Bearer", "Token", 1), "basic": "Basic b3BlcmF0b3I6eA=="}
	for _, role := range wire.Roles() {
		shown[string(role)] = token(string(role))
	}
	tried, through := 0, 0
	for _, base := range c.API {
		for name, header := range shown {
			for _, r := range api.Routes() {
				if r.Path == "/v1/generations/rollback" || r.Path == "/v1/pcs/submit" || r.Path == "/readyz" {
					continue // they would wait, or say more than the role does
				}
				status := bareRequest(t, ctx, plain, base, r, header)
				tried++
				want := 0 // neither 401 nor 403
				switch {
				case len(r.Roles) == 0:
				case !slices.Contains(wire.Roles(), wire.Role(name)):
					want = http.StatusUnauthorized
				case !slices.Contains(r.Roles, wire.Role(name)):
					want = http.StatusForbidden
				}
				if denied := status == http.StatusUnauthorized || status == http.StatusForbidden; denied != (want != 0) || denied && status != want {
					t.Errorf("%s %s %s with %s: %d, want %d", base, r.Method, r.Path, name, status, want)
				} else if !denied {
					through++
				}
			}
		}
	}
	t.Logf("%d combinations of node, credential and route; %d may, none was let through that may not", tried, through)
}

var samplePath = strings.NewReplacer("{pcs_id}", strings.Repeat("a", 64), "{seq}", "1", "{shard_id}", "s", "{policy_id}", strings.Repeat("b", 64),
	"{key_id}", "unknown", "{generation}", "9", "{token_id}", strings.Repeat("q", 16), "{slug}", "forbidden").Replace

// bareRequest sends a request that changes nothing even where it is let through.
func bareRequest(t *testing.T, ctx context.Context, client *http.Client, base string, r api.RouteRoles, header string) int {
	t.Helper()
	body := ""
	if r.Method == http.MethodPost {
		body = "{}"
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, base+samplePath(r.Path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
