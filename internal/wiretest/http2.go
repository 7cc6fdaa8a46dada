package wiretest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// stream is the one request that an HTTP/2 connection of this package makes.
const stream = 1

// http2Stream is read by whoever waits for the answer, so it needs no lock. It
// may be written to beside that: answers to the server's frames are few and
// the test's own writes come after the header.
type http2Stream struct {
	connection net.Conn
	framer     *http2.Framer

	answer  Answer
	body    bytes.Buffer
	answers bool // the header of the answer is there
	ended   bool
}

func startHTTP2(tb testing.TB, server *caddytest.Server, r *Request, open bool) *http2Stream {
	tb.Helper()
	s := &http2Stream{connection: dial(tb, server, "h2")}
	if _, err := io.WriteString(s.connection, http2.ClientPreface); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	s.framer = http2.NewFramer(s.connection, s.connection)
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := s.framer.WriteSettings(); err != nil {
		tb.Fatalf("sending: %v", err)
	}
	fields := []field{{":method", r.Method}, {":authority", r.Authority}}
	if r.Path != "" {
		fields = append(fields, field{":scheme", "https"}, field{":path", r.Path})
	}
	if r.Protocol != "" {
		fields[0].value = http.MethodConnect
		fields = append(fields, field{":protocol", r.Protocol})
	}
	// A server that refuses may end the stream or the connection at any of
	// these, so what it said is what counts.
	_ = s.writeHeaders(append(fields, parseFields(r.Fields)...), r.ends() && !open)
	for i, data := range r.Body {
		last := i == len(r.Body)-1 && len(r.Trailer) == 0 && !open
		_ = s.framer.WriteData(stream, last, []byte(data))
	}
	if len(r.Trailer) > 0 {
		_ = s.writeHeaders(parseFields(r.Trailer), true)
	}
	return s
}

func (s *http2Stream) writeHeaders(fields []field, last bool) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(field.name), Value: field.value}); err != nil {
			return err
		}
	}
	return s.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Bytes(), EndStream: last, EndHeaders: true,
	})
}

// next reads one frame.
func (s *http2Stream) next() error {
	frame, err := s.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return s.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		return s.framer.WritePing(true, frame.Data)
	case *http2.GoAwayFrame:
		if frame.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("connection ended with %v", frame.ErrCode)
		}
	case *http2.RSTStreamFrame:
		s.ended = true
		// A server that has answered says so to stop a request (RFC 9113
		// section 8.1).
		if frame.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("stream ended with %v", frame.ErrCode)
		}
	case *http2.DataFrame:
		s.ended = frame.StreamEnded()
		if n := uint32(len(frame.Data())); n > 0 { //nolint:gosec // a frame is under 16 MiB
			s.body.Write(frame.Data())
			return errors.Join(s.framer.WriteWindowUpdate(0, n), s.framer.WriteWindowUpdate(stream, n))
		}
	case *http2.MetaHeadersFrame:
		return s.header(frame)
	}
	return nil
}

// header takes a header or trailer.
func (s *http2Stream) header(frame *http2.MetaHeadersFrame) error {
	s.ended = frame.StreamEnded()
	header := make(http.Header)
	for _, field := range frame.RegularFields() {
		header.Add(field.Name, field.Value)
	}
	if s.answers {
		s.answer.Trailer = header
		return nil
	}
	status, err := strconv.Atoi(frame.PseudoValue("status"))
	if err != nil {
		return err
	}
	if status >= http.StatusOK {
		s.answers, s.answer.Status, s.answer.Header = true, status, header
	}
	return nil
}

func sendHTTP2(tb testing.TB, server *caddytest.Server, r *Request) *Answer {
	tb.Helper()
	s := startHTTP2(tb, server, r, false)
	for !s.ended && s.answer.Broken == nil {
		s.answer.Broken = s.next()
	}
	s.answer.Body = s.body.String()
	return &s.answer
}

func openHTTP2(tb testing.TB, server *caddytest.Server, r *Request) *Stream {
	tb.Helper()
	s := startHTTP2(tb, server, r, true)
	for !s.answers {
		if err := s.next(); err != nil {
			tb.Fatalf("opening a stream: %v", err)
		}
	}
	return &Stream{s.answer.Status, s.answer.Header, s}
}

// Read reads the body of the answer.
func (s *http2Stream) Read(p []byte) (int, error) {
	for s.body.Len() == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	return s.body.Read(p)
}

// Write sends one DATA frame.
func (s *http2Stream) Write(p []byte) (int, error) {
	return len(p), s.framer.WriteData(stream, false, p)
}

// Close ends the connection.
func (s *http2Stream) Close() error { return s.connection.Close() }
