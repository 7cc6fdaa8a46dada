// Package devtenant is a throw-away Logto tenant as an [http.Handler], for
// tests and for the demo: discovery, JWKS, a token endpoint, tokens of the
// three permission models, key rotation, sign-in and sign-out in a browser,
// webhooks, and faults on request.
//
// It answers as a captured Logto does (testdata/logto), and it also signs what
// no Logto would, so that tests can attack the verifier. It protects nothing:
// never put it into a production build. Package devtenanttest puts it behind a
// test server or an in-memory transport.
package devtenant
