//go:build !unix

package term

import (
	"os"
	"testing"
)

func openTerminal(t *testing.T, _ uint16) *os.File {
	t.Skip("there are no pseudo terminals here")
	return nil
}
