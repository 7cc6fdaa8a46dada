// A browser for the tests: node browser.mjs <settings>, a JSON object that
// scenarios.mjs describes. Each line of standard input is a scenario's name as
// JSON; the answer is what came of it, {"seen": …} or {"error": …}.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { chromium } from 'playwright-core'

import { scenarios } from './scenarios.mjs'

const settings = JSON.parse(process.argv[2])

const options = {
  ...(settings.executablePath ? { executablePath: settings.executablePath } : { channel: 'chrome' }),
  chromiumSandbox: process.getuid?.() !== 0, // root has no sandbox
  args: [
    // The sites have their real names and no port in their addresses.
    `--host-resolver-rules=MAP *.example.com ${settings.address}`,
    `--ignore-certificate-errors-spki-list=${settings.trustedKey}`,
  ],
}

// The back button shows pages that the browser has kept as they were, as it does
// for people; playwright would have it load them again.
const keepsPages = { ...options, ignoreDefaultArgs: ['--disable-back-forward-cache'] }

// A browser of its own, in whose settings the sites may keep no cookies: its
// context, which does not outlive its profile.
async function withoutCookies() {
  const profile = mkdtempSync(join(tmpdir(), 'profile-'))
  mkdirSync(join(profile, 'Default'))
  writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({
    profile: { content_settings: { exceptions: { cookies: { '[*.]example.com,*': { setting: 2 } } } } },
  }))
  const context = await chromium.launchPersistentContext(profile, keepsPages)
  // Some of its processes may still write.
  context.on('close', () => rmSync(profile, { recursive: true, force: true, maxRetries: 20 }))
  return context
}

// A browser of its own that keeps no pages.
async function withoutPages() {
  const browser = await chromium.launch(options)
  const context = await browser.newContext()
  context.on('close', () => browser.close())
  return context
}

const browser = await chromium.launch(keepsPages)

function contextFor({ blocked, forgets }) {
  if (blocked) return withoutCookies()
  return forgets ? withoutPages() : browser.newContext()
}

// What a page waits for itself knows no other limit.
const limit = 60_000

async function inTime(seen) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came of it in ${limit / 1000} s`)), limit)
  })
  return Promise.race([seen, late]).finally(() => clearTimeout(timer))
}

for await (const line of createInterface({ input: process.stdin })) {
  const name = JSON.parse(line)
  let context
  try {
    const scenario = scenarios[name]
    context = await contextFor(scenario)
    context.setDefaultTimeout(20_000)
    console.log(JSON.stringify({ seen: await inTime(scenario.run(context, settings)) }))
  } catch (error) {
    const pages = context?.pages().map(page => page.url()) ?? []
    console.log(JSON.stringify({ error: `${error.stack}\nits pages: ${pages.join(' ')}` }))
  } finally {
    await context?.close()
  }
}
await browser.close()
