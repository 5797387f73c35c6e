//go:build !unix

package backup

import (
	"errors"
	"os"
)

// lockFile fails: this system has no lock that ends with its process.
func lockFile(*os.File) error {
	return errors.New("backup: this system has no file locks; run the command on Linux or macOS")
}
