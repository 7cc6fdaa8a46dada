package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// keySource is where a key set gets its keys from: a tenant or a file.
type keySource interface {
	// fetch returns the keys as they are now. If unconditional, they come in
	// full from the source, not as the word that nothing has changed. It is
	// called by one goroutine at a time and ends with the context.
	fetch(ctx context.Context, unconditional bool) (*fetched, error)
}

// fetched is an accepted answer of a source.
type fetched struct {
	*jwks
	jwksURI   string
	unchanged bool // confirmed by a 304
}

// tenantSource fetches keys over HTTP.
type tenantSource struct {
	cfg    Config
	client *http.Client

	jwksURI string   // where the keys are, once known
	last    *fetched // of the last 200
	etag    string   // of last; empty before it and after a failure
}

// fetch asks for the discovery document when it is not known yet, and again
// when the keys cannot be had, so that keys that have moved are found.
func (s *tenantSource) fetch(ctx context.Context, unconditional bool) (*fetched, error) {
	known := s.jwksURI
	if known == "" {
		if err := s.discover(ctx); err != nil {
			return nil, err
		}
	}
	if unconditional {
		s.etag = ""
	}
	got, err := s.fetchKeys(ctx)
	if err == nil || known == "" || ctx.Err() != nil {
		return got, err
	}
	if discoveryErr := s.discover(ctx); discoveryErr != nil {
		return nil, fmt.Errorf("%w; then %w", err, discoveryErr)
	}
	if s.jwksURI == known {
		return nil, err
	}
	return s.fetchKeys(ctx)
}

// discover finds out where the keys are, and that the tenant is the one that
// was asked for.
func (s *tenantSource) discover(ctx context.Context) error {
	if !s.cfg.discovers() {
		s.jwksURI = s.cfg.JWKSURI
		return nil
	}
	document, err := get(ctx, s.client, s.cfg.Endpoint+discoveryPath, "")
	if err != nil {
		return fmt.Errorf("fetching the discovery document: %w", err)
	}
	jwksURI, err := parseDiscovery(document.body, s.cfg)
	if err != nil {
		return err
	}
	s.jwksURI = jwksURI
	return nil
}

// fetchKeys asks for the key set. A 304 means the copy that this process got
// with a 200 from the same address: any failure, which a move begins with,
// makes the next request unconditional.
func (s *tenantSource) fetchKeys(ctx context.Context) (*fetched, error) {
	etag := s.etag
	s.etag = ""
	got, err := get(ctx, s.client, s.jwksURI, etag)
	if err != nil {
		return nil, fmt.Errorf("fetching the keys: %w", err)
	}
	if got.notModified {
		s.etag = etag
		return &fetched{jwks: s.last.jwks, jwksURI: s.jwksURI, unchanged: true}, nil
	}
	set, err := parseJWKS(got.body)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of %s: %w", s.jwksURI, err)
	}
	s.last, s.etag = &fetched{jwks: set, jwksURI: s.jwksURI}, got.etag
	return s.last, nil
}

// fileSource reads keys from a file. It has no state, so it may also be read
// beside the refresher.
type fileSource struct{ path string }

func (s fileSource) fetch(context.Context, bool) (*fetched, error) {
	document, err := readBounded(s.path)
	if err != nil {
		return nil, failure(failureFile, fmt.Errorf("jwks_file %s: %w", s.path, err))
	}
	set, err := parseJWKS(document)
	if err != nil {
		return nil, fmt.Errorf("jwks_file %s: %w", s.path, err)
	}
	return &fetched{jwks: set}, nil
}

// readBounded reads a regular file of at most 1 MiB; anything else (a pipe, a
// device) could keep a reload waiting for ever.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	document, err := io.ReadAll(io.LimitReader(file, maxResponseBody+1))
	if err != nil {
		return nil, err
	}
	if len(document) > maxResponseBody {
		return nil, errors.New("larger than 1 MiB")
	}
	return document, nil
}
