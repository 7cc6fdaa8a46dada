package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// logIndent puts what belongs to an answer below it.
const logIndent = "           "

// checker sends the requests of sections and says of each answer, as it comes,
// whether it is the one that was expected.
type checker struct {
	stack *stack
	out   io.Writer
	paint paint

	sent, different int

	mu     sync.Mutex
	logged []entry // since the last line that was printed
}

// run checks all sections, in their order. It returns an error if an answer
// differs.
func (c *checker) run(ctx context.Context, sections []section) error {
	stop := c.stack.journal.follow(c.note)
	defer stop()
	for _, section := range sections {
		if err := c.print(c.paint.bold(section.title)); err != nil {
			return err
		}
		for _, check := range section.checks {
			if err := c.check(ctx, section.host, check); err != nil {
				return fmt.Errorf("%s: %s: %w", section.title, check.name, err)
			}
		}
	}
	if c.different > 0 {
		return fmt.Errorf("%d of %d answers differ", c.different, c.sent)
	}
	return c.print(fmt.Sprintf("All %d answers are as expected.", c.sent))
}

// check prints one line, and more only for what is out of the ordinary.
func (c *checker) check(ctx context.Context, host string, check check) error {
	if check.doing != "" {
		if err := c.print("  ..       " + check.doing); err != nil {
			return err
		}
	}
	if check.before != nil {
		if err := check.before(ctx, c.stack); err != nil {
			return err
		}
		if err := c.printLogged(); err != nil {
			return err
		}
	}
	got, err := check.do(ctx, c.stack, host)
	if err != nil {
		return err
	}
	c.sent++
	verdict := c.paint.green("ok     ")
	var more []string
	if got != check.want {
		c.different++
		verdict = c.paint.red("DIFFERS")
		more = append(wrap("want "+check.want.String(), logIndent), wrap("got "+got.String(), logIndent)...)
	}
	// The verdict is coloured: what fits is measured without it.
	line := cut(fmt.Sprintf("           %d  %s", got.status, check.name))
	if err := c.print(append([]string{"  " + verdict + line[len("  DIFFERS"):]}, more...)...); err != nil {
		return err
	}
	return c.printLogged()
}

func (c *checker) print(lines ...string) error {
	_, err := io.WriteString(c.out, strings.Join(lines, "\n")+"\n")
	return err
}

// note keeps a line of Caddy's log until the step's own line is there.
func (c *checker) note(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logged = append(c.logged, e)
}

// printLogged prints what Caddy has logged since the last time.
func (c *checker) printLogged() error {
	c.mu.Lock()
	logged := c.logged
	c.logged = nil
	c.mu.Unlock()
	for _, e := range logged {
		if err := c.print(e.lines(c.paint, logIndent)...); err != nil {
			return err
		}
	}
	return nil
}

// do sends the request of a check, or lets the visitor do what it says.
func (c check) do(ctx context.Context, s *stack, host string) (answer, error) {
	if c.visit != nil {
		return c.visit(ctx, s)
	}
	token, _ := s.wallet.token(c.token)
	if c.newToken != nil {
		token = c.newToken(s)
	}
	return send(ctx, s, host, c, token)
}

// send sends the request of a check with this token; empty is none.
func send(ctx context.Context, s *stack, host string, c check, token string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, "http://"+s.caddy+c.path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	request.Host = host
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer{
		status:    response.StatusCode,
		body:      string(body),
		challenge: strings.Join(response.Header.Values("WWW-Authenticate"), ", "),
	}, nil
}
