// What people do in a browser, and what a foreign page tries. Each scenario gets
// a browser's context of its own, without cookies, and the settings: site, plain
// (the same with an identity alone), neighbour (another origin of the same
// site), stranger (another site's page) and provider are origins. It returns
// what it saw; whether that is right is for the Go test to say.

const plan = '/members/plan.html'
const secretText = 'Only members read this.'

// control tells the provider something and returns what it has counted.
async function control({ provider }, command = {}) {
  const answer = await fetch(`${provider}/control`, { method: 'POST', body: JSON.stringify(command) })
  return answer.json()
}

const isAt = origin => url => url.origin === origin

// chooses a person at the provider and waits for the site that asked.
async function choose(page, { provider }, person, site) {
  await page.waitForURL(isAt(provider))
  await page.getByRole('button', { name: person }).click()
  await page.waitForURL(isAt(site))
}

// signedIn opens a page of the site and signs in on the way.
async function signedIn(context, settings, { person = 'Alice', site = settings.site, path = plan } = {}) {
  const page = await context.newPage()
  await page.goto(site + path)
  await choose(page, settings, person, site)
  return page
}

const showsSecret = async page => (await page.content()).includes(secretText)

// In the page: fetches and tells what the page may see of the answer.
const fetched = (page, path) =>
  page.evaluate(async path => {
    const answer = await fetch(path)
    return { status: answer.status, redirected: answer.redirected, type: answer.headers.get('Content-Type'), body: await answer.text() }
  }, path)

const whoami = async page => (await fetched(page, '/api/me')).body

// untilExpired waits until the page's access or ID token has expired, and has
// the provider count from then on.
async function untilExpired(page, settings) {
  const { expires_at: expiresAt } = JSON.parse((await fetched(page, '/.logto/session')).body)
  await control(settings, { ttl: 3600 })
  await page.waitForFunction(at => Date.now() > at, Date.parse(expiresAt) || expiresAt * 1000, { polling: 50 })
  await control(settings, { reset: true })
}

// statusOf notes the statuses of a path's answers, whoever asks.
function statusOf(context, path) {
  const statuses = []
  context.on('response', answer => {
    if (new URL(answer.url()).pathname === path) statuses.push(answer.status())
  })
  return statuses
}

// submitted has a page send a form to an address, and tells what it got.
async function submitted(page, action) {
  const [answer] = await Promise.all([
    page.waitForResponse(answer => answer.url() === action),
    page.waitForURL(action),
    page.evaluate(action => {
      const form = document.createElement('form')
      form.method = 'POST'
      form.action = action
      document.body.append(form)
      form.submit()
    }, action),
  ])
  return answer.status()
}

// shuffled is an order that no tab would come back in by itself.
const shuffled = [7, 2, 9, 0, 5, 1, 8, 3, 6, 4]

const tab = number => `${plan}?tab=${number}`

// everyTab opens ten tabs and then lets all of them go at once.
async function everyTab(context, run) {
  const tabs = await Promise.all(shuffled.map(() => context.newPage()))
  await Promise.all(tabs.map(run))
  return tabs
}

const scenario = run => ({ run })

// onSite makes two scenarios of one: on the site with an audience, and on the
// one with an identity alone.
const deepLink = site => async (context, settings) => {
  const origin = settings[site]
  const path = `${plan}?week=47&q=a%20b&next=//x`
  await control(settings, { reset: true })
  const page = await context.newPage()
  await page.goto(origin + path)
  const asked = new URL(page.url()).origin === settings.provider
  await choose(page, settings, 'Alice', origin)
  const { newestRequest } = await control(settings)
  const seen = { asked, at: page.url().replace(origin, ''), secret: await showsSecret(page), person: await whoami(page), newestRequest }
  await page.goto(`${origin}/members/`)
  seen.other = page.url().replace(origin, '')
  const { authorizations, logins, codes } = await control(settings)
  return { ...seen, counts: { authorizations, logins, codes } }
}

const expired = site => async (context, settings) => {
  await control(settings, { ttl: 3 })
  const page = await signedIn(context, settings, { site: settings[site] })
  await untilExpired(page, settings)
  const [first, second] = [await page.reload(), await page.reload()]
  const { authorizations, refreshes } = await control(settings)
  return { statuses: [first.status(), second.status()], secret: await showsSecret(page), person: await whoami(page), counts: { authorizations, refreshes } }
}

const signOutAndBack = async (context, settings) => {
  await control(settings, { reset: true })
  const page = await signedIn(context, settings)
  const old = await context.newPage()
  await old.goto(settings.site + tab('old'))
  await old.goto(`${settings.site}/members/`)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(`${settings.site}/.logto/signed-out`)
  const { revocations, signOuts } = await control(settings)
  const cookies = (await context.cookies(settings.site)).map(({ name }) => name)
  const { status: oldFetch } = await fetched(old, '/api/me')
  await old.reload()
  const asked = new URL(old.url()).origin === settings.provider
  return { revocations, signOuts, cookies, oldFetch, asked, back: [...await backFrom(page), ...await backFrom(old)] }
}

// backFrom presses the back button until there is nothing before, and tells what
// each page shows.
async function backFrom(page) {
  const seen = []
  while (page.url() !== 'about:blank') {
    // What the browser has kept as it was does not load again.
    await page.goBack({ waitUntil: 'commit' })
    await page.waitForFunction(() => document.readyState === 'complete')
    seen.push({ at: page.url(), secret: await showsSecret(page) })
  }
  return seen
}

export const scenarios = {
  'deep link': scenario(deepLink('site')),
  'deep link, identity alone': scenario(deepLink('plain')),
  'reload after the access token expired': scenario(expired('site')),
  'reload after the ID token expired, identity alone': scenario(expired('plain')),

  'two tabs reload at once after the access token expired': scenario(async (context, settings) => {
    await control(settings, { ttl: 3 })
    const first = await signedIn(context, settings)
    const second = await context.newPage()
    await second.goto(settings.site + tab(2))
    await untilExpired(first, settings)
    const answers = await Promise.all([first.reload(), second.reload()])
    const { authorizations, refreshes } = await control(settings)
    return { statuses: answers.map(answer => answer.status()), secret: await showsSecret(second), counts: { authorizations, refreshes } }
  }),

  'two tabs sign in at once': scenario(async (context, settings) => {
    const tabs = await Promise.all([1, 2].map(async number => {
      const page = await context.newPage()
      await page.goto(settings.site + tab(number))
      return page
    }))
    for (const page of tabs) await choose(page, settings, 'Alice', settings.site)
    return { at: tabs.map(page => page.url().replace(settings.site, '')), secrets: await Promise.all(tabs.map(showsSecret)) }
  }),

  'ten tabs come back out of order': scenario(async (context, settings) => {
    const tabs = await everyTab(context, (page, number) => page.goto(settings.site + tab(number)))
    for (const number of shuffled) await choose(tabs[number], settings, 'Alice', settings.site)
    return { at: tabs.map(page => page.url().replace(settings.site, '')), secrets: await Promise.all(tabs.map(showsSecret)) }
  }),

  'ten restored tabs load at once': scenario(async (context, settings) => {
    // Signed in at the provider, and at the site no more.
    await (await signedIn(context, settings)).close()
    await context.clearCookies({ domain: new URL(settings.site).hostname })
    await control(settings, { reset: true })
    const tabs = await everyTab(context, async (page, number) => {
      await page.goto(settings.site + tab(number))
      await page.waitForURL(isAt(settings.site))
    })
    const { authorizations, logins } = await control(settings)
    return { at: tabs.map(page => page.url().replace(settings.site, '')), secrets: await Promise.all(tabs.map(showsSecret)), authorizations, logins }
  }),

  'fetch gets 401 and goes on after sign-in': scenario(async (context, settings) => {
    await control(settings, { reset: true })
    const page = await context.newPage()
    await page.goto(`${settings.site}/public/`)
    const before = await fetched(page, '/api/me')
    const { authorizations } = await control(settings)
    // The page stays open while another tab signs in.
    await (await signedIn(context, settings)).close()
    return { before, authorizations, after: await fetched(page, '/api/me') }
  }),

  'the session cookie is out of reach of scripts': scenario(async (context, settings) => {
    const page = await signedIn(context, settings)
    const cookies = await context.cookies(settings.site)
    const session = cookies.filter(({ name }) => name.endsWith('logto-session'))
    return {
      cookies: session.map(({ name, httpOnly, secure, sameSite, path, domain }) => ({ name, httpOnly, secure, sameSite, path, domain })),
      readable: await page.evaluate(() => document.cookie),
      elsewhere: (await context.cookies([settings.neighbour, settings.plain])).map(({ name }) => name),
      // What a script of the page, or of a sibling, writes under the name.
      planted: await page.evaluate(async name => {
        for (const more of ['', '; Domain=example.com', '; Path=/members']) document.cookie = `${name}=planted; Secure; Path=/${more}`
        return document.cookie
      }, session[0]?.name),
      person: await whoami(page),
    }
  }),

  'sign-out, then the back button and an old tab': { forgets: true, run: signOutAndBack },
  'sign-out, then the back button to pages that the browser kept': scenario(signOutAndBack),

  'another person signs in after a sign-out': scenario(async (context, settings) => {
    const page = await signedIn(context, settings)
    const people = [await whoami(page)]
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(`${settings.site}/.logto/signed-out`)
    const page2 = await signedIn(context, settings, { person: 'Bob' })
    return { people: [...people, await whoami(page2)] }
  }),

  'signing in again from the signed-out page': scenario(async (context, settings) => {
    const page = await signedIn(context, settings)
    await page.goto(`${settings.site}/.logto/sign-out`) // as typed into the address bar
    await page.waitForURL(`${settings.site}/.logto/signed-out`)
    await page.getByRole('link').first().click()
    await choose(page, settings, 'Bob', settings.site)
    return { at: page.url().replace(settings.site, ''), person: await whoami(page) }
  }),

  'sign-out by a foreign page': scenario(async (context, settings) => {
    await control(settings, { reset: true })
    const page = await signedIn(context, settings)
    const signOut = `${settings.site}/.logto/sign-out`
    const seen = {}
    for (const name of ['neighbour', 'stranger']) {
      const foreign = await context.newPage()
      await foreign.goto(settings[name])
      const post = await submitted(foreign, signOut)
      await foreign.goto(settings[name])
      await foreign.evaluate(address => { location.href = address }, signOut)
      await foreign.waitForURL(signOut)
      const button = await foreign.getByRole('button').count()
      await foreign.goto(settings[name])
      // What a page can have loaded without leaving.
      await foreign.evaluate(address => new Promise(resolve => {
        const image = new Image()
        image.onload = image.onerror = resolve
        image.src = address
      }), signOut)
      seen[name] = { post, button, person: await whoami(page) }
    }
    const { revocations, signOuts } = await control(settings)
    // The button is of the site itself, so it works.
    const foreign = await context.newPage()
    await foreign.goto(settings.neighbour)
    await foreign.evaluate(address => { location.href = address }, signOut)
    await foreign.waitForURL(signOut)
    await foreign.getByRole('button').click()
    await foreign.waitForURL(`${settings.site}/.logto/signed-out`)
    return { ...seen, revocations, signOuts, after: (await fetched(page, '/api/me')).status }
  }),

  'iframe, image and prefetch are not redirected': scenario(async (context, settings) => {
    await control(settings, { reset: true })
    const framed = statusOf(context, plan)
    const loaded = statusOf(context, '/members/picture.svg')
    const page = await context.newPage()
    await page.goto(`${settings.site}/public/`)
    const frame = await page.evaluate(path => new Promise(resolve => {
      const frame = document.createElement('iframe')
      frame.onload = () => resolve(frame.contentDocument?.body.textContent ?? 'another site')
      frame.src = path
      document.body.append(frame)
    }), plan)
    await page.evaluate(() => new Promise(resolve => {
      const image = new Image()
      image.onload = image.onerror = resolve
      image.src = '/members/picture.svg'
    }))
    const prefetched = page.waitForResponse(answer => answer.url().endsWith('?prefetch'))
    await page.evaluate(path => {
      const link = document.createElement('link')
      link.rel = 'prefetch'
      link.href = `${path}?prefetch`
      document.head.append(link)
    }, plan)
    const prefetch = (await prefetched).status()
    const { authorizations } = await control(settings)
    return { framed: framed[0], frame, loaded: loaded[0], prefetch, authorizations }
  }),

  'a service worker script is not redirected': scenario(async (context, settings) => {
    await control(settings, { reset: true })
    const register = page => page.evaluate(async () => {
      try {
        const registration = await navigator.serviceWorker.register('/worker.js')
        return `registered for ${new URL(registration.scope).pathname}`
      } catch (error) {
        return String(error)
      }
    })
    const page = await context.newPage()
    await page.goto(`${settings.site}/public/`)
    const before = await register(page)
    const { authorizations } = await control(settings)
    await (await signedIn(context, settings)).close()
    return { before, authorizations, after: await register(page) }
  }),

  'a grant that was revoked at the tenant': scenario(async (context, settings) => {
    await control(settings, { ttl: 3 })
    const page = await signedIn(context, settings)
    await untilExpired(page, settings)
    await control(settings, { revoke: true })
    const api = await fetched(page, '/api/me')
    await page.reload()
    // Still signed in at the provider, so nobody is asked.
    return { api, at: page.url().replace(settings.site, ''), secret: await showsSecret(page), person: await whoami(page) }
  }),

  'cookies are blocked': {
    blocked: true,
    run: async (context, settings) => {
      await control(settings, { reset: true })
      const callbacks = statusOf(context, '/.logto/callback')
      const page = await context.newPage()
      await page.goto(settings.site + plan)
      await page.waitForURL(isAt(settings.provider))
      await page.getByRole('button', { name: 'Alice' }).click()
      await page.waitForURL(url => url.origin === settings.site && callbacks.length > 0 && callbacks.at(-1) !== 302)
      await page.waitForLoadState()
      const { authorizations, logins, codes } = await control(settings)
      const cookies = (await context.cookies(settings.site)).map(({ name }) => name)
      return { callbacks, text: await page.locator('body').innerText(), cookies, counts: { authorizations, logins, codes } }
    },
  },
}
