// What pages of several origins can do to an API: node browser.mjs <settings>,
// a JSON object with the browser's path (empty: an installed Chrome), a token,
// and the addresses of the API, of the app, and of foreign pages by name. It
// prints what came of each attempt, as one line of JSON.
import { chromium } from 'playwright-core'

const { executablePath, token, api, app, foreign } = JSON.parse(process.argv[2])

const browser = await chromium.launch({
  ...(executablePath ? { executablePath } : { channel: 'chrome' }),
  chromiumSandbox: process.getuid?.() !== 0, // root has no sandbox
})
const context = await browser.newContext()
// The cookie of a careless site: the browser adds it to requests from anywhere.
await context.addCookies([{ name: 'session', value: token, domain: new URL(api).hostname, path: '/', sameSite: 'None', secure: true }])
const page = await context.newPage()

// In the page: fetches and tells what the page may see of the answer.
const fetched = (url, options) =>
  page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options)
        return [answer.type, answer.status, await answer.text(), answer.headers.get('WWW-Authenticate')].join(' ')
      } catch (error) {
        return String(error)
      }
    },
    [url, options],
  )

// In the page: opens a WebSocket and tells the first message.
const socket = () =>
  page.evaluate(
    url =>
      new Promise(resolve => {
        const socket = new WebSocket(url)
        socket.onmessage = ({ data }) => resolve(data)
        socket.onerror = () => resolve('error')
      }),
    api.replace('http', 'ws') + '/socket',
  )

const bearer = { authorization: `Bearer ${token}` }
const results = {}

await page.goto(app)
results['app: token in a header'] = await fetched(api + '/orders', { headers: bearer })
results['app: write with a token in a header'] = await fetched(api + '/orders', { method: 'DELETE', headers: bearer })
results['app: no token'] = await fetched(api + '/orders')
results['app: bad token'] = await fetched(api + '/orders', { headers: { authorization: 'Bearer a.b.c' } })
results['app: write with the cookie'] = await fetched(api + '/orders', { method: 'POST', credentials: 'include' })
results['app: WebSocket with the cookie'] = await socket()

for (const [name, address] of Object.entries(foreign)) {
  await page.goto(address)
  results[`${name}: token in a header`] = await fetched(api + '/orders', { headers: bearer })
  results[`${name}: read with the cookie`] = await fetched(api + '/orders', { credentials: 'include' })
  results[`${name}: write with the cookie`] = await fetched(api + '/orders', { method: 'POST', credentials: 'include', mode: 'no-cors' })
  results[`${name}: WebSocket with the cookie`] = await socket()
  const [answer] = await Promise.all([
    page.waitForResponse(response => response.url() === api + '/form'),
    page.evaluate(url => {
      const form = document.createElement('form')
      form.method = 'POST'
      form.action = url
      document.body.append(form)
      form.submit()
    }, api + '/form'),
  ])
  results[`${name}: form with the cookie`] = `${answer.status()} ${await answer.text()}`
}

await page.goto(api + '/page')
results['own: write with the cookie'] = await fetched(api + '/orders', { method: 'POST' })
results['own: WebSocket with the cookie'] = await socket()

console.log(JSON.stringify(results))
await browser.close()
