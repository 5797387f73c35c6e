// Package release holds the making of releases against what docs/releases.md promises: what stands in CHANGELOG.md,
// whose signature is taken, which workflows may do what, and, by make release-test, that two builds give the same
// files. It has no code besides its tests.
package release
