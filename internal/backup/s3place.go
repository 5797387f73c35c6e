package backup

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const s3Scheme = "s3"

// headerTimeout bounds the time until a store answers one request, behind the last byte that was sent.
const headerTimeout = time.Minute

// s3Form is shown with what is wrong with a location.
const s3Form = "write s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION&path-style=true&ca=FILE; " +
	"all behind the question mark is optional"

// s3Place has the parts of a location.
type s3Place struct {
	endpoint *url.URL
	bucket   string
	prefix   string // of all objects: empty, or ends with a slash
	region   string
	ca       string // file, empty for the authorities of the system
	style    minio.BucketLookupType
}

// parseS3 reads a location. What it leaves open comes from the variables that the tools of AWS read.
func parseS3(location string) (p s3Place, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return p, fmt.Errorf("%w; %s", err, s3Form)
	}
	if u.User != nil {
		return p, errors.New("a location has no credentials: others see the arguments of a program. Set " +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE")
	}
	if u.Host == "" || u.Port() != "" || u.Fragment != "" {
		return p, fmt.Errorf("%q names no bucket; %s", location, s3Form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, fmt.Errorf("%q: %w; %s", location, err, s3Form)
	}
	for name, values := range query {
		switch name {
		case "endpoint", "region", "path-style", "ca":
		default:
			return p, fmt.Errorf("%q is nothing that a location says; %s", name, s3Form)
		}
		if len(values) != 1 || values[0] == "" {
			return p, fmt.Errorf("%s needs one value; %s", name, s3Form)
		}
	}
	p.bucket = u.Host
	if p.prefix = strings.Trim(u.Path, "/"); p.prefix != "" {
		p.prefix += "/"
	}
	p.region = firstOf(query.Get("region"), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	p.ca = firstOf(query.Get("ca"), os.Getenv("AWS_CA_BUNDLE"))
	if text := query.Get("path-style"); text != "" {
		path, err := strconv.ParseBool(text)
		if err != nil {
			return p, fmt.Errorf("path-style is true or false, not %q", text)
		}
		if p.style = minio.BucketLookupDNS; path {
			p.style = minio.BucketLookupPath
		}
	}
	return p, p.parseEndpoint(firstOf(query.Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL_S3"),
		os.Getenv("AWS_ENDPOINT_URL")))
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (p *s3Place) parseEndpoint(text string) (err error) {
	if text == "" {
		text = "https://s3.amazonaws.com"
	} else if p.region == "" {
		p.region = "us-east-1" // what stores other than that of Amazon take by default
	}
	p.endpoint, err = url.Parse(text)
	if err != nil || p.endpoint.Host == "" || p.endpoint.Scheme != "https" && p.endpoint.Scheme != "http" ||
		strings.Trim(p.endpoint.Path, "/") != "" || p.endpoint.RawQuery != "" || p.endpoint.User != nil {
		return fmt.Errorf("endpoint %q: write https://HOST:PORT", text)
	}
	return nil
}

func (p *s3Place) String() string { return s3Scheme + "://" + p.bucket + "/" + p.prefix }

// readCredentials reads the key of the store from the environment, or else from the file of the tools of AWS.
func readCredentials() (*credentials.Credentials, error) {
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	switch {
	case id != "" && secret != "":
		return credentials.NewStaticV4(id, secret, os.Getenv("AWS_SESSION_TOKEN")), nil
	case id != "" || secret != "":
		return nil, fmt.Errorf("%w: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", ErrCredentials)
	}
	file := credentials.NewFileAWSCredentials("", "")
	got, err := file.GetWithContext(nil)
	if err == nil && (got.AccessKeyID == "" || got.SecretAccessKey == "") {
		err = errors.New("the file has no key")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: no AWS_ACCESS_KEY_ID in the environment, and AWS_SHARED_CREDENTIALS_FILE: %w",
			ErrCredentials, err)
	}
	return file, nil
}

// client returns a client of the store.
func (p *s3Place) client() (*minio.Client, error) {
	creds, err := readCredentials()
	if err != nil {
		return nil, err
	}
	secure := p.endpoint.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = headerTimeout
	if transport.TLSClientConfig, err = p.tls(); err != nil {
		return nil, err
	}
	return minio.New(p.endpoint.Host, &minio.Options{Creds: creds, Secure: secure, Region: p.region,
		BucketLookup: p.style, Transport: transport})
}

func (p *s3Place) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(p.ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s has no certificate in PEM", p.ca)
	}
	return c, nil
}
