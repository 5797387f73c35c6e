package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"

	spec "github.com/recount-ledger/recount/api"
	"github.com/recount-ledger/recount/wire"
)

// readyLimit bounds all readiness checks together.
const readyLimit = 2 * time.Second

// livez reports that the process is alive. It never contacts a quorum, otherwise a healthy minority would be
// killed.
func (s *server) livez(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// health serves older clients, which look at the status only.
func (s *server) health(c echo.Context) error { return c.String(http.StatusOK, "OK") }

// readyz runs the readiness checks of the ledger. ?verbose lists them, ?exclude=NAME (repeatable) skips one.
func (s *server) readyz(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyLimit)
	defer cancel()
	query := c.QueryParams()
	for _, name := range query["exclude"] {
		if strings.TrimSpace(name) == "" {
			return badParameter("exclude", "has no value: give the name of a check, or leave the parameter out")
		}
	}
	var lines, failed strings.Builder
	for _, check := range s.Ledger.Status.Ready(ctx) {
		switch {
		case slices.Contains(query["exclude"], check.Name):
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", check.Name)
		case check.Err != nil:
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", check.Name, check.Err)
			fmt.Fprintf(&failed, "%s: %v; ", check.Name, check.Err)
		default:
			fmt.Fprintf(&lines, "[+]%s ok\n", check.Name)
		}
	}
	ready := failed.Len() == 0
	switch {
	case !query.Has("verbose") && ready:
		return c.String(http.StatusOK, "ok\n")
	case !query.Has("verbose"):
		return wire.NewProblem(wire.CodeNotReady, strings.TrimSuffix(failed.String(), "; ")).WithRetry(time.Second)
	case ready:
		return c.String(http.StatusOK, lines.String()+"readyz check passed\n")
	}
	return c.String(http.StatusServiceUnavailable, lines.String()+"readyz check failed\n")
}

func (s *server) version(c echo.Context) error {
	return writeJSON(c, http.StatusOK, s.Ledger.Status.Version())
}

func (s *server) openapi(c echo.Context) error {
	return c.Blob(http.StatusOK, wire.MediaYAML, spec.OpenAPI)
}

// contractJSON is the contract as JSON, without YAML anchors, which some client generators do not support.
var contractJSON = sync.OnceValues(func() ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(spec.OpenAPI, &document); err != nil {
		return nil, fmt.Errorf("the contract: %w", err)
	}
	return json.Marshal(document)
})

func (s *server) openapiJSON(c echo.Context) error {
	document, err := contractJSON()
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, wire.MediaJSON, document)
}

var problemTemplate = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1><p>{{.About}}</p>
<dl><dt>status</dt><dd>{{.Status}}</dd><dt>code</dt><dd><code>{{.Code}}</code></dd></dl></body></html>
`))

// problemPage explains one problem code. The type member of every problem links to it.
func (s *server) problemPage(c echo.Context) error {
	for _, info := range wire.Codes() {
		if info.Code.Slug() != c.Param("slug") {
			continue
		}
		var page bytes.Buffer
		if err := problemTemplate.Execute(&page, info); err != nil {
			return err
		}
		c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		return c.HTMLBlob(http.StatusOK, page.Bytes())
	}
	return ErrNotFound
}
