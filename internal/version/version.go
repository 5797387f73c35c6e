// Package version names the build. It refuses to know anything else.
package version

// Version is set by the linker to the output of `git describe`; a plain `go build` leaves the default.
var Version = "dev"
