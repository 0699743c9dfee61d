// A resource server that verifies tokens with jose 6. Takes lines of a name and a token.
import { createInterface } from 'node:readline'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { JITNEY_URL: issuer, JITNEY_AUDIENCE: audience } = process.env

// shown in docs/clients.md
const keys = createRemoteJWKSet(new URL(`${issuer}/oauth2/jwks`))

async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    algorithms: ['ES256'],
    typ: 'at+jwt',
    requiredClaims: ['exp', 'sub', 'scope'],
  })
  return payload
}
// end

for await (const line of createInterface({ input: process.stdin })) {
  const [name, token] = line.split(' ')
  const outcome = await verify(token).then(
    (claims) => ({ accepted: true, claims }),
    (error) => ({ accepted: false, error: `${error.name}: ${error.message}` }),
  )
  console.log(JSON.stringify({ name, ...outcome }))
}
