package backup

import (
	"context"
	"strings"
)

// OpenTarget returns the target at a location that has backups: a directory, or s3://BUCKET/PREFIX (see S3).
func OpenTarget(ctx context.Context, location string) (Target, error) {
	if !isS3(location) {
		return asTarget(OpenDir(location))
	}
	return asTarget(OpenS3(ctx, location))
}

// CreateTarget returns the target at a location, for a first or a later backup. It makes a directory, and no bucket. It
// refuses a place that has other things.
func CreateTarget(ctx context.Context, location string) (Target, error) {
	if !isS3(location) {
		return asTarget(CreateDir(location))
	}
	return asTarget(CreateS3(ctx, location))
}

func isS3(location string) bool { return strings.HasPrefix(location, s3Scheme+"://") }

// asTarget keeps a nil pointer from becoming a target that is not nil.
func asTarget[T Target](t T, err error) (Target, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}
