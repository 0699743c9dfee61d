// A resource server that follows the feed of revocations with eventsource 3 and jose 6. Takes lines of a name and a token.
// shown in docs/feed.md
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { EventSource } from 'eventsource'
import { compactVerify, decodeProtectedHeader, importJWK } from 'jose'

const { JITNEY_URL: url, JITNEY_ISSUER: issuer, JITNEY_AUDIENCE: audience } = process.env
const problems = []

const SKEW = 5, SILENCE = 5, MAX_AGE = 10 // seconds: how far clocks may differ, how long a feed may be silent, how old a view is
const keys = new Map(), left = new Set()
let view = { kids: new Set(), rules: new Map(), epoch: undefined, position: 0, after: 0 }
let told = 0, heard = -Infinity, latest = 0 // what the view is as young as: by the broker's clock, by this machine's

const sha256 = (text) => createHash('sha256').update(text).digest()
const digest = (...parts) => sha256(parts.join('\0')).subarray(0, 16).toString('base64url')
const now = () => (latest = Math.max(latest, Date.now() / 1000)) // never runs back
const need = (holds, what) => {
  if (!holds) throw new Error(what)
}

async function fetchKeys() {
  const answer = await fetch(`${url}/oauth2/jwks`, { signal: AbortSignal.timeout(SILENCE * 1000) })
  for (const jwk of (await answer.json()).keys) keys.set(jwk.kid, await importJWK(jwk, 'ES256'))
}

async function openJws(text, typ) {
  const { kid, typ: own } = decodeProtectedHeader(text)
  need(own === typ && keys.has(kid) && !view.rules.has(digest('key', kid)), 'type or key')
  const { payload } = await compactVerify(text, keys.get(kid), { algorithms: ['ES256'] })
  const claims = JSON.parse(new TextDecoder().decode(payload))
  need(claims.iss === issuer, 'another issuer')
  need(claims.iat <= now() + SKEW && claims.iat >= now() - SKEW - MAX_AGE, 'made long ago, or in the future: compare the clocks')
  return { kid, claims }
}

function add(known, more) {
  for (const [, name, place, until] of more) {
    const [before, lasts] = known.get(name) ?? [0, 0]
    known.set(name, [Math.max(before, place), until === null ? Infinity : Math.max(lasts, until)])
  }
}

let incoming, count // a snapshot that is not whole yet; the rules of this connection

const take = {
  async snapshot(data, begun) {
    if (!keys.has(decodeProtectedHeader(data).kid)) await fetchKeys()
    const { kid, claims } = await openJws(data, 'revocations+jwt')
    need(claims.kids.includes(kid) && claims.audience === audience, "another's snapshot")
    need(!left.has(claims.epoch), 'an epoch that is over')
    need(claims.epoch !== view.epoch || claims.position >= view.after, 'a view does not go back')
    const rules = new Map(claims.epoch === view.epoch ? view.rules : [])
    incoming = { claims, rules, parts: [...claims.parts], before: count }
    await whole(begun)
  },
  async part(data, begun) {
    need(incoming && incoming.parts.shift() === sha256(data).toString('base64url'), 'not the next part')
    const { rules } = JSON.parse(data)
    add(incoming.rules, rules)
    count += rules.length
    await whole(begun)
  },
  async revoke(data) {
    const { after, rules } = JSON.parse(data)
    const ascend = rules.every(([, , place], at) => place > (at ? rules[at - 1][2] : after))
    need(!incoming && rules.length > 0 && after === view.after && ascend, 'a gap')
    add(view.rules, rules)
    view.after = rules.at(-1)[2]
    view.position = Math.max(view.position, view.after)
    count += rules.length
  },
  async keys(data) {
    view.kids = new Set(JSON.parse(data).kids)
    if (![...view.kids].every((kid) => keys.has(kid))) await fetchKeys()
  },
  async heartbeat(data, begun) {
    const beat = JSON.parse(data)
    need(!incoming && beat.count === count && beat.position >= view.position, 'rules are missing')
    need(beat.now / 1000 <= now() + SKEW, 'a heartbeat from the future')
    ;[view.position, told, heard] = [beat.position, Math.max(told, beat.now / 1000), begun]
    for (const [name, [, until]] of view.rules) if (until + 30 < now()) view.rules.delete(name)
  },
}

async function whole(begun) {
  if (incoming.parts.length > 0) return
  const { claims, rules, before } = incoming
  need(count - before === claims.count, 'rules are missing')
  if (claims.epoch !== view.epoch) left.add(view.epoch)
  const { epoch, position } = claims
  view = { kids: new Set(claims.kids), rules, epoch, position, after: position }
  ;[told, heard, incoming] = [Math.max(told, claims.iat), begun, undefined]
  if (![...view.kids].every((kid) => keys.has(kid))) await fetchKeys()
}

function follow() {
  const source = new EventSource(`${url}/v1/revocations?audience=${encodeURIComponent(audience)}`)
  let work = Promise.resolve() // one event after the other
  let silence
  const again = (problem) => {
    if (source.readyState === source.CLOSED && silence === null) return
    problems.push(String(problem))
    source.close()
    clearTimeout(silence)
    silence = null
    setTimeout(follow, 200) // with a snapshot: what was refused is not gone on from
  }
  const next = (step) => {
    clearTimeout(silence)
    silence = setTimeout(() => again('silence'), SILENCE * 1000)
    work = work.then(() => silence !== null && step()).catch(again)
  }
  source.addEventListener('open', () => next(() => ([incoming, count] = [undefined, 0])))
  for (const [name, step] of Object.entries(take)) {
    source.addEventListener(name, ({ data }) => {
      const begun = performance.now()
      next(() => step(data, begun))
    })
  }
  // It comes back by itself, with the last `id`, where a connection is lost; after a refusal it does not.
  source.addEventListener('error', ({ message }) => source.readyState === source.CLOSED && again(message))
}

const age = () => Math.max((performance.now() - heard) / 1000, now() - told)

async function verify(token) {
  const { kid, claims } = await openJws(token, 'at+jwt')
  const { jti, sub, aud, txn, rev, act, nbf, exp } = claims
  need(view.kids.has(kid), 'a key that does not count')
  need(aud === audience && nbf <= now() + SKEW && exp > now(), 'claims')
  const names = txn.split('/')
  const selectors = [['lease', jti], ['audience', aud], ['all'], ['workload', sub]]
  names.forEach((_, end) => selectors.push(['task', sub, names.slice(0, end + 1).join('/')]))
  for (let actor = act; actor; actor = actor.act) selectors.push(['workload', actor.sub])
  need(selectors.every((each) => (view.rules.get(digest(...each))?.[0] ?? 0) <= rev), 'revoked')
  need(age() <= MAX_AGE, 'the view is too old')
  return claims
}

follow()
// end

for await (const line of createInterface({ input: process.stdin })) {
  const [name, token] = line.split(' ')
  if (name === 'view') { // and the place that it is to reach: an epoch and a position
    const [wanted, place] = token.split(':')
    while (view.epoch !== wanted || view.position < Number(place)) await new Promise((done) => setTimeout(done, 5))
    const { epoch, position, rules } = view
    console.log(JSON.stringify({ name, epoch, position, rules: rules.size, problems }))
    continue
  }
  const outcome = await verify(token).then(
    (claims) => ({ accepted: true, claims }),
    (error) => ({ accepted: false, error: `${error.name}: ${error.message}` }),
  )
  console.log(JSON.stringify({ name, ...outcome }))
}
process.exit(0)
