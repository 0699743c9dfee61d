// An issuer that nobody here wrote: oauth2-mock-server, over TLS. A line in is what a token shall say, a line out the token;
// `rotate` in a line puts a key of that algorithm in place of those before it.
import { createInterface } from 'node:readline'
import { OAuth2Server } from 'oauth2-mock-server'

const tell = (step, more) => console.log(JSON.stringify({ step, ...more }))

const server = new OAuth2Server(process.env.TLS_KEY_FILE, process.env.TLS_CERT_FILE)
let { kid } = await server.issuer.keys.generate('RS256')
await server.start(0, '127.0.0.1')
tell('listening', { issuer: server.issuer.url })

for await (const line of createInterface({ input: process.stdin })) {
  const { claims, rotate } = JSON.parse(line)
  if (rotate) {
    kid = (await server.issuer.keys.generate(rotate)).kid
    tell('rotated', { kid })
  } else {
    const scopesOrTransform = (_header, payload) => Object.assign(payload, claims)
    tell('token', { token: await server.issuer.buildToken({ kid, scopesOrTransform }) })
  }
}
await server.stop()
