// The demo's page as a person uses it: node demo.mjs <settings>, a JSON object
// with the browser's path (empty: an installed Chrome), the page's address, a
// file for a screenshot (empty: none), and what to do in turn: press a button
// (if named), then pick a request and a token. It prints what the page then shows, as one line of JSON.
import { chromium } from 'playwright-core'

const { executablePath, address, screenshot, picks } = JSON.parse(process.argv[2])

const browser = await chromium.launch({
  ...(executablePath ? { executablePath } : { channel: 'chrome' }),
  chromiumSandbox: process.getuid?.() !== 0, // root has no sandbox
})
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
const problems = []
page.on('pageerror', error => problems.push(String(error)))
page.on('console', message => message.type() === 'error' && problems.push(message.text()))
await page.goto(address)

const answers = []
for (const { press, request, token } of picks) {
  if (press) {
    const [told] = await Promise.all([page.waitForResponse(response => response.request().method() === 'POST'), page.getByRole('button', { name: press }).click()])
    await page.getByText((await told.text()).trim()).waitFor()
  }
  await page.getByRole('radio', { name: request }).check()
  await page.locator(`input[name=token][value="${token}"]`).check()
  await page.getByRole('button', { name: 'Send the request' }).click()
  await page.locator('#answer').waitFor()
  const shown = {}
  for (const id of ['status', 'body', 'challenge', 'reason', 'hint', 'curl']) shown[id] = await page.locator(`#${id}`).innerText()
  answers.push(shown)
}
if (screenshot) await page.screenshot({ path: screenshot })

await page.locator('#members').click()
await page.waitForURL(url => url.href !== address)
const members = await page.locator('h1').innerText()
await page.getByRole('link', { name: 'Try tokens' }).click()
await page.waitForURL(address)

console.log(JSON.stringify({ answers, members, problems }))
await browser.close()
