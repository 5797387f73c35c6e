package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// TLS is a client configuration that trusts the cluster and offers no HTTP/2.
func (c *Cluster) TLS() *tls.Config {
	return &tls.Config{RootCAs: c.pool, MinVersion: tls.VersionTLS13, ServerName: "localhost"}
}

// Metrics are the samples without labels that node i exports, by name.
func (c *Cluster) Metrics(ctx context.Context, client *http.Client, i int) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.API[i]+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of node %d: status %d", i+1, resp.StatusCode)
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if f, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = f
		}
	}
	return out, lines.Err()
}
