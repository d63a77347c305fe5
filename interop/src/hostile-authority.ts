/**
 * One authority of a local network in the hands of somebody else: its key, its address, and whatever can be said with them
 * (03-directory §18). It takes what the honest ones say from their own routes and makes its lies of that.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Network } from '@mixwright/localnet'
import { fromHex, RealClock, sleep } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  CONSENSUS_PATH,
  type Consensus,
  canonicalJson,
  consensusSchema,
  documentHash,
  documentKind,
  encodeBase58,
  identityOf,
  type SignedVote,
  scheduledStartMs,
  signHash,
  signHostInformation,
  signVote,
  type Vote,
  type VotedNode,
} from '@mixwright/wire'

/**
 * - `lies`: votes for a node of its own and against others, signs two documents, and shows clients a third.
 * - `equivocates`: shows each of the others another vote; to clients as `lies`.
 * - `lags`: votes for the epoch before, and shows the document of the day it was seized, for ever.
 * - `hangs`: accepts everything, and answers nothing.
 */
export type Scheme = 'lies' | 'equivocates' | 'lags' | 'hangs'

/** Slots of an epoch; the last is the round for the next. */
const SLOTS = 10
const RETRY_MS = 20

export class HostileAuthority {
  readonly key: string
  readonly url: string
  scheme: Scheme
  readonly #crypto: CryptoProvider
  readonly #seed: Uint8Array
  readonly #honest: readonly { readonly key: string; readonly url: string }[]
  readonly #seizedAt: Consensus
  readonly #clock = new RealClock()
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy())
  })
  #shown = 0

  private constructor(net: Network, index: number, crypto: CryptoProvider, seizedAt: Consensus, scheme: Scheme) {
    const { directory: urls, authorities: keys = [] } = net.access
    this.key = keys[index]!
    this.url = urls[index]!
    this.scheme = scheme
    this.#crypto = crypto
    this.#seizedAt = seizedAt
    this.#honest = keys.map((key, at) => ({ key, url: urls[at]! })).filter(({ key }) => key !== this.key)
    const file = join(net.stateDirectory, `authority${index + 1}`, 'directory.json')
    this.#seed = fromHex(JSON.parse(readFileSync(file, 'utf8')).identitySeed)
  }

  /** Stop authority number `index` and take its place. */
  static async seize(net: Network, index: number, crypto: CryptoProvider, scheme: Scheme): Promise<HostileAuthority> {
    const authority = net.authorities[index]!
    await authority.close()
    const hostile = new HostileAuthority(net, index, crypto, authority.authority.current!.consensus, scheme)
    const { hostname, port } = new URL(hostile.url)
    await listenOn(hostile.#server, { host: hostname, port: Number(port) })
    return hostile
  }

  /** Wait for the next round and do in it what the scheme says; resolves when all is said. */
  async attack(): Promise<void> {
    const { document } = this.#seizedAt
    const epochs = Math.floor((this.#clock.now() - document.schedule.genesis_ms) / document.schedule.duration_ms)
    const turn = scheduledStartMs(document.schedule, epochs + 1)
    await sleep(this.#clock, Math.max(0, turn - document.schedule.duration_ms / SLOTS - this.#clock.now()))
    const { vote } = await this.#honestVote(epochs + 1)
    const honest = { ...vote, authority: this.key }
    const name = { epoch_id: vote.epoch_id, round: vote.round }
    switch (this.scheme) {
      case 'lies':
        await this.#sendVotes(this.#lying(honest), this.#lying(honest))
        await this.#sendSignatures(name, ['11', '22'])
        break
      case 'equivocates':
        await this.#sendVotes(honest, this.#lying(honest))
        break
      case 'lags':
        await this.#sendVotes({ ...honest, epoch_id: epochs }, { ...honest, epoch_id: epochs })
    }
  }

  /** Gone, with all connections. May be called again. */
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What the first of the honest ones votes in the round that begins now. */
  async #honestVote(epochId: number): Promise<SignedVote> {
    const { key, url } = this.#honest[0]!
    for (;;) {
      const response = await fetch(`${url}/v1/mixwright/vote/${epochId}/0/${key}`)
      const body = await response.text()
      if (response.ok) return JSON.parse(body) as SignedVote
      await sleep(this.#clock, RETRY_MS)
    }
  }

  /** One node is not there, one has another address, one is no good, and there is one that nobody has seen. */
  #lying(vote: Vote): Vote {
    const [, moved, disliked, ...others] = vote.nodes as [VotedNode, VotedNode, VotedNode, ...VotedNode[]]
    const { host_information } = moved.descriptor
    const elsewhere = { ...host_information.data, ip_address: ['192.0.2.66'] }
    const ownSeed = new Uint8Array(32).fill(66)
    const ownKey = encodeBase58(this.#crypto.ed25519PublicKey(ownSeed))
    const own = { ...elsewhere, keys: { ...elsewhere.keys, ed25519_identity: ownKey } }
    const nodes = [
      { ...moved, descriptor: { ...moved.descriptor, host_information: { ...host_information, data: elsewhere } } },
      { ...disliked, score: 0 },
      ...others,
      {
        score: 100,
        descriptor: { ...moved.descriptor, host_information: signHostInformation(this.#crypto, own, ownSeed) },
      },
    ]
    return { ...vote, nodes: nodes.sort((a, b) => (identityOf(a.descriptor) < identityOf(b.descriptor) ? -1 : 1)) }
  }

  async #sendVotes(...votes: Vote[]): Promise<void> {
    await Promise.all(
      this.#honest.map(({ url }, index) =>
        post(`${url}/v1/mixwright/vote`, signVote(this.#crypto, votes[index]!, this.#seed).signed),
      ),
    )
  }

  /** For documents whose hashes begin like this; all of them, to everybody. */
  async #sendSignatures(name: { epoch_id: number; round: number }, beginnings: readonly string[]): Promise<void> {
    for (const beginning of beginnings) {
      const sha256 = beginning.repeat(32)
      const signature = { ...name, sha256, ...signHash(this.#crypto, documentKind(name), sha256, this.#seed) }
      await Promise.all(this.#honest.map(({ url }) => post(`${url}/v1/mixwright/signature`, signature)))
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.scheme === 'hangs') return
    request.resume()
    const path = request.url!.replace(/^\/api/, '')
    if (request.method !== 'GET') return void response.end('null')
    if (path.startsWith(CONSENSUS_PATH))
      return void response.end(canonicalJson(consensusSchema, await this.#shownConsensus()))
    const honest = await fetch(this.#honest[0]!.url + path)
    const body = await honest.text()
    response.statusCode = honest.status
    // Whoever believes it has no nodes.
    response.end(body.replace(/"data":\[.*\]/, '"data":[]'))
  }

  async #shownConsensus(): Promise<Consensus> {
    if (this.scheme === 'lags') return this.#seizedAt
    const response = await fetch(this.#honest[0]!.url + CONSENSUS_PATH)
    const { document, signatures } = (await response.json()) as Consensus
    // Without one node, another each time; signed by itself, beside the others' signatures of the true one.
    const hidden = this.#shown++ % document.nodes.length
    const forged = { ...document, nodes: document.nodes.filter((_, index) => index !== hidden) }
    const own = signHash(this.#crypto, documentKind(forged), documentHash(forged), this.#seed)
    const others = signatures.filter(({ authority }) => authority !== this.key)
    return { document: forged, signatures: [...others, own].sort((a, b) => (a.authority < b.authority ? -1 : 1)) }
  }
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
  await response.arrayBuffer()
}
