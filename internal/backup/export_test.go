package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// LeaveParts begins an object of several parts, as a process that is killed then does.
func (s *S3) LeaveParts(t *testing.T, name string) {
	t.Helper()
	id, err := s.core.NewMultipartUpload(t.Context(), s.bucket, s.prefix+name, minio.PutObjectOptions{})
	if err == nil {
		_, err = s.core.PutObjectPart(t.Context(), s.bucket, s.prefix+name, id, 1, strings.NewReader("part"), 4,
			minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// SetLife makes a lock lapse sooner.
func (s *S3) SetLife(d time.Duration) { s.life = d }

// Uploads lists the objects of which only parts are there.
func (s *S3) Uploads(t *testing.T) (names []string) {
	t.Helper()
	for u := range s.core.Client.ListIncompleteUploads(t.Context(), s.bucket, s.prefix, true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		names = append(names, u.Key)
	}
	return names
}
