// Where a browser goes, by WHATWG's URL algorithm: node whatwg.mjs <base>. Each
// line of standard input is a JSON array of references; the answer is an array
// of what they lead to from the base, as [origin, pathname], or null for what
// is no address.
import { createInterface } from 'node:readline'

import { URL } from 'whatwg-url'

const base = process.argv[2]

function resolved(reference) {
  try {
    const { origin, pathname } = new URL(reference, base)
    return [origin, pathname]
  } catch {
    return null
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(JSON.parse(line).map(resolved)))
}
