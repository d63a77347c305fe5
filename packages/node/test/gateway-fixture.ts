/** A gateway for tests, on a real port of the loopback, with what it passed on, and clients that are registered with it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import type { MixPacket } from '@mixwright/wire'
import { Gateway, type GatewayOptions } from '../src/gateway/gateway.js'
import { GatewayClient, type Identity, newIdentity, type Way } from './gateway-client.js'

export const LOOPBACK = '127.0.0.1'
/** Removed after the tests. */
export const scratch = mkdtempSync(join(tmpdir(), 'mixwright-gateway-'))
export let crypto: CryptoProvider
let databases = 0
before(async () => {
  crypto = await loadCryptoProvider()
})
after(() => rmSync(scratch, { recursive: true, force: true }))

/** A gateway and what it passed on; closed at the end of the block that holds it. */
export class Fixture implements AsyncDisposable {
  readonly metrics = new MemoryMetrics()
  readonly forwarded: MixPacket[] = []
  readonly databaseFile: string

  private constructor(
    readonly options: Partial<GatewayOptions>,
    databaseFile?: string,
  ) {
    this.databaseFile = databaseFile ?? join(scratch, `${databases++}.sqlite`)
  }

  gateway!: Gateway

  static async open(options: Partial<GatewayOptions> = {}, databaseFile?: string): Promise<Fixture> {
    const fixture = new Fixture(options, databaseFile)
    fixture.gateway = await Gateway.open({
      clock: new RealClock(),
      random: new SystemRandom(),
      logger: silentLogger,
      metrics: fixture.metrics,
      crypto,
      identitySeed: new Uint8Array(32).fill(9),
      listen: { host: LOOPBACK, port: 0 },
      databaseFile: fixture.databaseFile,
      forward: (mixPacket) => fixture.forwarded.push(mixPacket),
      ...options,
    })
    return fixture
  }

  connect(identity: Identity, way: Way = {}): Promise<GatewayClient> {
    const { websocketPort, secureWebsocketPort } = this.gateway
    return GatewayClient.connect(way.ca === undefined ? websocketPort : secureWebsocketPort!, identity, crypto, way)
  }

  /** A registered client that closed its first connection, as every shipped program does. */
  async registered(way: Way = {}): Promise<Identity> {
    const identity = newIdentity(crypto)
    const client = await this.connect(identity, way)
    assert.equal((await client.register()).type, 'register')
    await client.drop()
    return identity
  }

  async authenticated(identity: Identity, way: Way = {}): Promise<GatewayClient> {
    const client = await this.connect(identity, way)
    const answer = await client.ask(client.authentication())
    assert.equal(answer.type, 'authenticate', JSON.stringify(answer))
    return client
  }

  /** A counter of drops, by reason. */
  dropped(reason: string): number {
    return this.metrics.value('mixwright_dropped_packets_total', { reason })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.gateway.close()
    // The time that clients have to hang up.
    if (this.options.clock instanceof VirtualClock) this.options.clock.advance(1_000)
    await closed
  }
}

/** A message of the usual length with a number in front. */
export const message = (number: number) => {
  const bytes = new Uint8Array(1643)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}
export const numberOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
export const turn = () => new Promise((resolve) => setImmediate(resolve))
/** Turns of the event loop go by until it holds. */
export const until = async (condition: () => boolean) => {
  while (!condition()) await turn()
}
export const mixPacket: MixPacket = {
  nextHop: { family: 4, host: LOOPBACK, port: 1789 },
  rotation: 1,
  packet: new Uint8Array(2413).fill(3),
}
