// A script is never redirected to Logto: it gets 401 when the session has ended,
// and sends the person to sign in. They come back to the page they were on.
function signIn() {
  const here = location.pathname + location.search
  location = '/.logto/sign-in?return_to=' + encodeURIComponent(here)
}

async function call(path, options) {
  const answer = await fetch(path, options)
  if (answer.status === 401) signIn()
  return answer
}

const session = await call('/.logto/session')
if (session.ok) {
  const { sub, session_expires_at } = await session.json()
  document.querySelector('#who').textContent = `Signed in as ${sub} until ${session_expires_at}`
  const orders = await call('/api/orders')
  document.querySelector('#orders').textContent = await orders.text()
}
