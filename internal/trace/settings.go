package trace

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"unicode"

	"github.com/recount-ledger/recount/internal/secretfile"
)

// The protocols of OTLP, by their names in its specification. The third one is grpc.
const (
	ProtocolHTTP = "http/protobuf"
	ProtocolJSON = "http/json"
)

// tracesPath is the route of a collector for traces, by the specification of OTLP.
const tracesPath = "/v1/traces"

// maxClientRate bounds the setting client_rate, per second.
const maxClientRate = 1000

// Settings of the traces of a node.
type Settings struct {
	Endpoint    string  // URL of the collector, such as https://otel.example:4318. Empty: nothing is traced
	Protocol    string  // ProtocolHTTP or ProtocolJSON
	SampleRatio float64 // of the submissions that are traced, 0 to 1
	ClientRate  float64 // submissions a second that are traced because their client asks for it, 0 for none
	CAFile      string  // PEM file with the authorities of the collector, empty for those of the machine
	HeadersFile string  // secret file with a header a line, "Name: value", read for every request. Empty for none
}

// Defaults returns the settings of a node that traces nothing.
func Defaults() Settings {
	return Settings{Protocol: ProtocolHTTP, SampleRatio: 0.01, ClientRate: 10}
}

// On reports whether anything is traced.
func (s Settings) On() bool { return s.Endpoint != "" }

// Validate reports every problem of the settings, and reads no file.
func (s Settings) Validate() (bad []error) {
	add := func(format string, args ...any) { bad = append(bad, fmt.Errorf("tracing."+format, args...)) }
	if s.Protocol != ProtocolHTTP && s.Protocol != ProtocolJSON {
		add("protocol: %s or %s, not %q; a collector usually listens for them at port 4318", ProtocolHTTP, ProtocolJSON,
			s.Protocol)
	}
	if !(s.SampleRatio >= 0 && s.SampleRatio <= 1) {
		add("sample_ratio: between 0 (none) and 1 (all), not %v", s.SampleRatio)
	}
	if !(s.ClientRate >= 0 && s.ClientRate <= maxClientRate) {
		add("client_rate: between 0 (none) and %d per second, not %v", maxClientRate, s.ClientRate)
	}
	if !s.On() {
		return bad
	}
	u, err := s.url()
	switch {
	case err != nil:
		add("endpoint: %w", err)
	case u.Scheme == "http" && s.CAFile != "":
		add("ca_file: has no effect, because the endpoint is http")
	case u.Scheme == "http" && s.HeadersFile != "" && !loopback(u.Hostname()):
		add("endpoint: must be https, else the headers of headers_file cross the network in clear text")
	}
	return bad
}

// url reads the endpoint. Its host and port may stand without a path.
func (s Settings) url() (*url.URL, error) {
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" { // the text may hold a password
		return nil, errors.New("must be a URL such as https://otel.example:4318, without user, query or fragment")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u, nil
}

// Clear reports whether spans cross the network in clear text.
func (s Settings) Clear() bool {
	u, err := s.url()
	return s.On() && err == nil && u.Scheme == "http" && !loopback(u.Hostname())
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// CheckFiles reads the files, as New does.
func (s Settings) CheckFiles() (bad []error) {
	if _, err := s.tls(); err != nil {
		bad = append(bad, fmt.Errorf("tracing.ca_file: %w", err))
	}
	if _, err := s.headers(); err != nil {
		bad = append(bad, fmt.Errorf("tracing.headers_file: %w", err))
	}
	return bad
}

func (s Settings) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", s.CAFile)
	}
	return c, nil
}

// headers reads the headers. An error names a line by its number, because it may be a secret.
func (s Settings) headers() (http.Header, error) {
	if s.HeadersFile == "" {
		return nil, nil
	}
	text, err := secretfile.Read(s.HeadersFile)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || !isToken(name) || value == "" || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, fmt.Errorf("%s: line %d is not a header such as Authorization: Bearer TOKEN", s.HeadersFile, n)
		}
		h.Add(name, value)
	}
	return h, lines.Err()
}

// isToken reports whether a text can be the name of a header (RFC 9110, 5.6.2).
func isToken(name string) bool {
	return name != "" && strings.Trim(name, "!#$%&'*+-.^_`|~0123456789"+
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
