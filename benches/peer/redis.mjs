// Where the peer keeps what it must find again: in Redis, one key a model, gone when it expires. No more than client
// credentials need. Commands that come together go out together.
import { Redis } from 'ioredis'

const redis = new Redis(process.env.PEER_REDIS, { enableAutoPipelining: true })

export class Shelf {
  constructor(kind) {
    this.kind = kind
  }

  key(id) {
    return `peer:${this.kind}:${id}`
  }

  async upsert(id, payload, seconds) {
    await redis.set(this.key(id), JSON.stringify(payload), 'EX', seconds ?? 600)
  }

  async find(id) {
    const text = await redis.get(this.key(id))
    return text ? JSON.parse(text) : undefined
  }

  async destroy(id) {
    await redis.del(this.key(id))
  }

  async consume() {}
  async findByUid() {}
  async findByUserCode() {}
  async revokeByGrantId() {}
}
