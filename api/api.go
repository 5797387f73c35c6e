// Package api embeds the contract of the HTTP API. It holds no code beside it.
package api

import _ "embed"

// OpenAPI is the OpenAPI 3.1 document of every route, served at /openapi.yaml, and without anchors at /openapi.json.
//
//go:embed openapi.yaml
var OpenAPI []byte
