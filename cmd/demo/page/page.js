// Sends what is picked and shows what comes back. All of it is shown as text.
const form = document.getElementById('try')
const show = (id, text) => {
  document.getElementById(id).textContent = text || '–'
}

form.addEventListener('submit', async event => {
  event.preventDefault()
  const { method, host, path } = form.querySelector('input[name=request]:checked').dataset
  const waiting = document.getElementById('waiting')
  try {
    const response = await fetch('/demo/send', {
      method: 'POST',
      body: new URLSearchParams({ method, host, path, token: form.elements.token.value }),
    })
    if (!response.ok) throw new Error(await response.text())
    const answer = await response.json()
    show('status', `${answer.status} ${answer.text}`)
    document.getElementById('status').className = answer.status < 400 ? 'admitted' : 'refused'
    for (const id of ['body', 'challenge', 'reason', 'hint', 'curl']) show(id, answer[id])
    waiting.hidden = true
    document.getElementById('answer').hidden = false
  } catch (error) {
    document.getElementById('answer').hidden = true
    waiting.hidden = false
    waiting.textContent = `The demo does not answer. Was it stopped? (${error.message})`
  }
})

// Another pick, or what happened to Alice, makes the old answer misleading.
const forget = () => {
  document.getElementById('answer').hidden = true
  document.getElementById('waiting').hidden = false
  document.getElementById('waiting').textContent = 'Not sent yet.'
}
form.addEventListener('change', forget)

for (const button of document.querySelectorAll('[data-press]')) {
  button.addEventListener('click', async () => {
    button.disabled = true
    try {
      show('told', await (await fetch(button.dataset.press, { method: 'POST' })).text())
      forget()
    } catch (error) {
      show('told', `The demo does not answer. Was it stopped? (${error.message})`)
    }
    button.disabled = false
  })
}
