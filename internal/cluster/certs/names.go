package certs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Roles are the roles that a client certificate can name. Submitters need none: their records are signed.
var Roles = []string{"auditor", "responder", "operator", "metrics"}

// NodeURI is the URI SAN of a node's peer certificate.
func NodeURI(clusterID, nodeID string) string { return "recount://" + clusterID + "/node/" + nodeID }

// RoleURI is the URI SAN of a client certificate: recount://<cluster-id>/role/<role>/<name>. The errors say
// which part is wrong.
func RoleURI(clusterID, role, name string) (string, error) {
	var errs []error
	if err := CheckID(clusterID); err != nil {
		errs = append(errs, fmt.Errorf("cluster id %q: %w", clusterID, err))
	}
	if !slices.Contains(Roles, role) {
		errs = append(errs, fmt.Errorf("role %q: one of %s", role, strings.Join(Roles, ", ")))
	}
	if err := CheckID(name); err != nil {
		errs = append(errs, fmt.Errorf("name %q: %w", name, err))
	}
	return "recount://" + clusterID + "/role/" + role + "/" + name, errors.Join(errs...)
}

// CheckID admits what stands in a URI path, a host and a handshake without escaping.
func CheckID(s string) error {
	if s == "" || len(s) > 64 {
		return errors.New("must be 1 to 64 bytes")
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if i := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(allowed, r) }); i >= 0 {
		return errors.New("only letters, digits and - _ . are allowed")
	}
	return nil
}
