package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// partSize is the size of the parts in which a large object is sent, in bytes. A store takes 10,000 of them. Two are in
// memory at a time.
const partSize = 16 << 20

// locksPrefix begins the names of the locks.
const locksPrefix = "locks/"

// S3 is a target in a bucket of a store that speaks the protocol of Amazon S3. Its objects have the names of the files
// of Dir, behind a prefix. Each request carries a checksum, which the store compares, and is tried again when the store
// is busy or away for some seconds. A large object is sent in parts, and is not there before its last part is.
//
// The location is s3://BUCKET/PREFIX, with what the tools of AWS know as well: endpoint, region and CA, each a query
// parameter or a variable (AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_CA_BUNDLE). The access key is never part of it. It
// comes from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from AWS_SHARED_CREDENTIALS_FILE. Errors are
// ErrCredentials, ErrNoBucket, ErrClock and ErrStore besides those of Target.
type S3 struct {
	s3Place
	core minio.Core
	life time.Duration // of a lock
	held *lease        // while we have the lock
	// known is true when the store has accepted our key, so that a signature that does not fit has another cause.
	known bool
}

func newS3(location string) (*S3, error) {
	p, err := parseS3(location)
	if err != nil {
		return nil, err
	}
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	return &S3{s3Place: p, core: minio.Core{Client: client}, life: lockLife}, nil
}

// CreateS3 returns the target at a location for a first or a later backup. The bucket must be there. It refuses a
// prefix with other things.
func CreateS3(ctx context.Context, location string) (*S3, error) {
	s, err := newS3(location)
	if err != nil {
		return nil, err
	}
	for o, err := range s.entries(ctx, "", false) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		if name != "" && !slices.Contains([]string{"files/", "manifests/", locksPrefix}, name) {
			return nil, fmt.Errorf("%s is no target of backups: it has %q in it; name an empty prefix",
				s.s3Place.String(), name)
		}
	}
	s.known = true
	return s, nil
}

// OpenS3 returns the target at a location that has backups.
func OpenS3(ctx context.Context, location string) (*S3, error) {
	s, err := newS3(location)
	if err != nil {
		return nil, err
	}
	for _, err := range s.entries(ctx, "manifests/", true) {
		s.known = err == nil
		return s, err
	}
	return nil, fmt.Errorf("%s has no backups: %w", s.s3Place.String(), fs.ErrNotExist)
}

// entries goes through the objects below a prefix of ours. Unless all, names end at their next slash.
func (s *S3) entries(ctx context.Context, prefix string, all bool) func(func(minio.ObjectInfo, error) bool) {
	return func(yield func(minio.ObjectInfo, error) bool) {
		listing, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range s.core.Client.ListObjects(listing, s.bucket,
			minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: all}) {
			if !yield(o, s.fail(ctx, "list "+s.s3Place.String()+prefix, o.Err)) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(minio.ObjectInfo{}, err)
		}
	}
}

// Put implements Target.
func (s *S3) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	ctx, end := s.held.during(ctx)
	defer end()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(out)
		if written <- err; err != nil {
			err = errWrite // whatever it was, even the end of a file, it is no end of the object
		}
		out.CloseWithError(err)
	}()
	err := s.put(ctx, name, in)
	_ = in.CloseWithError(errRefused)
	if failed := <-written; errors.Is(err, errWrite) {
		return failed
	}
	return err
}

var (
	errWrite   = errors.New("backup: the object could not be made")
	errRefused = errors.New("backup: the store took no more of the object")
)

// put sends what in has.
func (s *S3) put(ctx context.Context, name string, in io.Reader) error {
	first := make([]byte, partSize)
	n, err := io.ReadFull(in, first)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return s.putBytes(ctx, name, first[:n])
	case err != nil:
		return err
	}
	_, err = s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, io.MultiReader(bytes.NewReader(first), in), -1,
		minio.PutObjectOptions{ContentType: contentType, SendContentMd5: true, PartSize: partSize})
	if errors.Is(err, errWrite) {
		return err
	}
	return s.fail(ctx, "write "+name, err)
}

const contentType = "application/octet-stream"

func (s *S3) putBytes(ctx context.Context, name string, b []byte) error {
	_, err := s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(b), int64(len(b)),
		minio.PutObjectOptions{ContentType: contentType, SendContentMd5: true})
	return s.fail(ctx, "write "+name, err)
}

// Open implements Target.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	body, info, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fail(ctx, "read "+name, err)
	}
	return &object{s: s, ctx: ctx, name: name, body: body, left: info.Size}, nil
}

// object is the body of an answer. A connection that ends early is an error.
type object struct {
	s    *S3
	ctx  context.Context
	name string
	body io.ReadCloser
	left int64
}

func (o *object) Read(b []byte) (int, error) {
	n, err := o.body.Read(b)
	o.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if o.left > 0 {
			err = io.ErrUnexpectedEOF
		} else {
			return n, io.EOF
		}
	}
	return n, o.s.fail(o.ctx, "read "+o.name, err)
}

func (o *object) Close() error { return o.body.Close() }

// Size implements Target.
func (s *S3) Size(ctx context.Context, name string) (int64, error) {
	info, err := s.core.Client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	return info.Size, s.fail(ctx, "look for "+name, err)
}

// List implements Target.
func (s *S3) List(ctx context.Context, prefix string) (names []string, err error) {
	for o, err := range s.entries(ctx, prefix, true) {
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimPrefix(o.Key, s.prefix))
	}
	slices.Sort(names) // stores differ
	return names, nil
}

// Remove implements Target. A bucket with versions keeps the old one.
func (s *S3) Remove(ctx context.Context, name string) error {
	ctx, end := s.held.during(ctx)
	defer end()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.remove(ctx, name)
}

func (s *S3) remove(ctx context.Context, name string) error {
	err := s.core.Client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	return s.fail(ctx, "remove "+name, err)
}
