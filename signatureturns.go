package logtoauth

import (
	"context"
	"runtime"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/turns"
)

// signatureTurns are the turns at signature checks that a client can cause. One
// of ES384 takes 0.6 ms, and Go interrupts a task after 10 ms only: fifty
// connections with forged tokens would keep every processor busy, and tokens
// that are known waiting behind them. So one processor is left over, and who
// needs no check never comes here.
//
// The processors are the process's, so the turns are too. They hold on to
// nothing but the requests that wait.
var signatureTurns = turns.New[keys.Requester](processorsForSignatures, placesForSignatures)

// placesForSignatures is how many requests of one client may wait. Each takes up
// to 70 KB. net/http sees that a client of HTTP/1.1 has left only once it has
// read the body, which waits behind us: somebody who sends a thousand POSTs and
// hangs up would take as many places as there are, without a connection left.
const placesForSignatures = 1024

// processorsForSignatures is all but one, of those that the process may use now:
// Go follows the limits of a container while it runs.
func processorsForSignatures() int { return runtime.GOMAXPROCS(0) - 1 }

// verifyInTurn is verifiedBy for what is not remembered.
func (t *jws) verifyInTurn(ctx context.Context, key selectedKey, who func() keys.Requester) *Refusal {
	if !signatureTurns.Take(who, ctx.Done(), nil) {
		return refuseUndecided(ctx)
	}
	defer signatureTurns.Give()
	if !t.verifiedBy(key) {
		return refusedSignature
	}
	return nil
}
