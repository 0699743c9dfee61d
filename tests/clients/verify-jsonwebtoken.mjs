// A resource server that verifies tokens with jsonwebtoken 9. Takes lines of a name and a token.
import { createPublicKey } from 'node:crypto'
import { createInterface } from 'node:readline'
import jwt from 'jsonwebtoken'

const { JITNEY_URL: issuer, JITNEY_AUDIENCE: audience } = process.env

// shown in docs/clients.md
let keys = new Map()

// At start, and every ten minutes from then on: jitney publishes each key at least that long before it signs.
async function fetchKeys() {
  const answer = await fetch(`${issuer}/oauth2/jwks`)
  const jwks = await answer.json()
  keys = new Map(jwks.keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: 'jwk' })]))
}

function verify(token) {
  const header = jwt.decode(token, { complete: true })?.header
  if (header?.typ !== 'at+jwt' || !keys.has(header.kid)) throw new Error('not a token of this issuer')
  return jwt.verify(token, keys.get(header.kid), { algorithms: ['ES256'], issuer, audience })
}
// end

await fetchKeys()
for await (const line of createInterface({ input: process.stdin })) {
  const [name, token] = line.split(' ')
  let outcome
  try {
    outcome = { accepted: true, claims: verify(token) }
  } catch (error) {
    outcome = { accepted: false, error: `${error.name}: ${error.message}` }
  }
  console.log(JSON.stringify({ name, ...outcome }))
}
