//go:build !unix

package osfile

import (
	"errors"
	"os"
)

// Lock fails: this system has no lock that ends with its process.
func Lock(*os.File) error {
	return errors.New("this system has no file locks; run the command on Linux or macOS")
}
