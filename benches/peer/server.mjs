// The peer: oidc-provider with one client, which proves itself by private_key_jwt, as a workload does to the broker. Its
// endpoints have the broker's names, so that both are sent the same bytes.
//
// PEER_ISSUER, PEER_CLIENT_JWKS (the client's public key), PEER_AUDIENCE. PEER_FORMAT is `jwt` (signed by ES256, recorded
// nowhere, which is the least it can do) or `opaque` (recorded in the Redis of PEER_REDIS, for only such tokens can it
// introspect and revoke). Says where it listens.
import { generateKeyPairSync } from 'node:crypto'
import Provider from 'oidc-provider'

const { PEER_ISSUER, PEER_CLIENT_JWKS, PEER_AUDIENCE, PEER_FORMAT } = process.env
const scope = 'orders:read'
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const provider = new Provider(PEER_ISSUER, {
  ...(PEER_FORMAT === 'opaque' && { adapter: (await import('./redis.mjs')).Shelf }),
  clients: [
    {
      client_id: 'measured',
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      id_token_signed_response_alg: 'ES256',
      jwks: JSON.parse(PEER_CLIENT_JWKS),
      scope
    }
  ],
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'peer' }] },
  routes: { token: '/oauth2/token', introspection: '/oauth2/introspect', revocation: '/oauth2/revoke' },
  scopes: [scope],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope,
        audience: PEER_AUDIENCE,
        accessTokenFormat: PEER_FORMAT,
        accessTokenTTL: 300,
        ...(PEER_FORMAT === 'jwt' && { jwt: { sign: { alg: 'ES256' } } })
      })
    }
  }
})
provider.on('server_error', (_, error) => console.error(error))
const server = provider.listen(0, '127.0.0.1', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`)
})
