package backup

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
)

var (
	// ErrCredentials means that a store has no access key from us, or refuses it.
	ErrCredentials = errors.New("backup: no access to the store")
	// ErrNoBucket means that a store has no bucket of that name.
	ErrNoBucket = errors.New("backup: the store has no such bucket")
	// ErrClock means that this machine and a store disagree about the time.
	ErrClock = errors.New("backup: the clocks of this machine and of the store differ too much")
	// ErrStore means that a store failed, or could not be reached, also after some tries.
	ErrStore = errors.New("backup: the store failed")
	// ErrLockLost means that the store could not be told for too long that a backup still works on it.
	ErrLockLost = errors.New("backup: the lock of the target was lost")
)

// fail puts the kind of an error of the store in front of it: one of the errors above, ErrAbsent, or that of ctx.
func (s *S3) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	doing += " at " + s.endpoint.Host
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case minio.NoSuchKey, "NotFound":
		return fmt.Errorf("%s: %w", doing, ErrAbsent)
	case minio.NoSuchBucket:
		return fmt.Errorf("%s: %w: %q", doing, ErrNoBucket, s.bucket)
	case "RequestTimeTooSkewed", "RequestExpired":
		return fmt.Errorf("%s: %w: %w", doing, ErrClock, err)
	case "XAdminUserNotFound": // of the gateway of Versity
		return fmt.Errorf("%s: %w: %w", doing, ErrCredentials, err)
	case "SignatureDoesNotMatch":
		if s.known {
			return fmt.Errorf("%s: %w: it got other bytes than were sent: %w", doing, ErrStore, err)
		}
	}
	if answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %w: %s: %w", doing, ErrCredentials, answer.Code, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrStore, err)
}
