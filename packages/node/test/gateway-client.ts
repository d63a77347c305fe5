/** A client of a gateway for tests: speaks the protocol over a real websocket, and can be told to speak it wrongly. */
import { once } from 'node:events'
import { concatBytes, RealClock, SystemRandom } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  authenticationSignedBytes,
  type ClientRequest,
  decodeGatewayMaterial,
  deriveSharedKey,
  encodeClientRequest,
  encodeHandshakeInit,
  handshakeSignedBytes,
  openBinaryFrame,
  parseServerResponse,
  type ServerResponse,
  seal,
  sealSignature,
} from '@mixwright/wire'
import { WebSocket } from 'ws'

const random = new SystemRandom()

/** A client's long-lived identity, and the key it shares with its gateway once registered. */
export interface Identity {
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  sharedKey?: Uint8Array
}

/** How to connect: over TLS with this certificate, from this address of the loopback. */
export interface Way {
  readonly ca?: string
  readonly localAddress?: string
}

export function newIdentity(crypto: CryptoProvider): Identity {
  const seed = random.bytes(32)
  return { seed, publicKey: crypto.ed25519PublicKey(seed) }
}

export class GatewayClient {
  readonly websocket: WebSocket
  /** Everything that came, texts parsed and pushes opened, in order. */
  readonly received: (ServerResponse | { type: 'push'; message: Uint8Array })[] = []
  readonly closed: Promise<unknown>
  #identity: Identity
  #crypto: CryptoProvider
  #taken = 0
  #onMessage = () => {}

  private constructor(websocket: WebSocket, identity: Identity, crypto: CryptoProvider) {
    this.websocket = websocket
    this.#identity = identity
    this.#crypto = crypto
    this.closed = new Promise((resolve) => websocket.once('close', resolve))
    websocket.on('error', () => {})
    websocket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) {
        const frame = openBinaryFrame(this.#identity.sharedKey!, data)
        if (frame.kind === 'opened') this.received.push({ type: 'push', message: frame.plaintext })
      } else {
        const response = parseServerResponse(data.toString('utf8'))
        if (response) this.received.push(response)
      }
      this.#onMessage()
    })
  }

  static async connect(
    port: number,
    identity: Identity,
    crypto: CryptoProvider,
    way: Way = {},
  ): Promise<GatewayClient> {
    const websocket = new WebSocket(`${way.ca === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}/`, way)
    const client = new GatewayClient(websocket, identity, crypto)
    await once(websocket, 'open')
    return client
  }

  /** The next thing that comes, in order; rejects when the connection ends instead. */
  async next(): Promise<ServerResponse | { type: 'push'; message: Uint8Array }> {
    while (this.received.length <= this.#taken) {
      const arrival = new Promise<boolean>((resolve) => {
        this.#onMessage = () => resolve(true)
      })
      if (!(await Promise.race([arrival, this.closed.then(() => false)])) && this.received.length <= this.#taken) {
        throw new Error('the connection ended')
      }
    }
    return this.received[this.#taken++]!
  }

  /** Messages pushed, up to `count` of them. */
  async pushes(count: number): Promise<Uint8Array[]> {
    const messages: Uint8Array[] = []
    while (messages.length < count) {
      const item = await this.next()
      if (item.type === 'push') messages.push(item.message)
    }
    return messages
  }

  send(request: ClientRequest | string | Uint8Array): void {
    this.websocket.send(
      typeof request === 'string' || request instanceof Uint8Array ? request : encodeClientRequest(request),
    )
  }

  async ask(
    request: ClientRequest | string | Uint8Array,
  ): Promise<ServerResponse | { type: 'push'; message: Uint8Array }> {
    this.send(request)
    return this.next()
  }

  /** The whole handshake; resolves with the last answer, `register` or `handshakeError`. */
  async register(
    proposed = 3,
    tamper: { init?: (data: Uint8Array) => Uint8Array; material?: (data: Uint8Array) => Uint8Array } = {},
  ): Promise<ServerResponse | { type: 'push'; message: Uint8Array }> {
    const crypto = this.#crypto
    const secret = random.bytes(32)
    const ephemeral = crypto.x25519Base(secret)
    const salt = random.bytes(16)
    const init = encodeHandshakeInit({ identity: this.#identity.publicKey, ephemeral, salt })
    const payload = (data: Uint8Array) => ({ type: 'handshakePayload', protocol_version: proposed, data }) as const
    const answer = await this.ask(payload(tamper.init?.(init) ?? init))
    if (answer.type !== 'handshakePayload') return answer
    const material = decodeGatewayMaterial(answer.data)!
    const sharedKey = deriveSharedKey(crypto.x25519(secret, material.ephemeral)!, salt)
    const signature = crypto.ed25519Sign(handshakeSignedBytes(ephemeral, material.ephemeral), this.#identity.seed)
    const sealed = sealSignature(sharedKey, random.bytes(12), signature)
    const done = await this.ask(payload(tamper.material?.(sealed) ?? sealed))
    if (done.type !== 'handshakePayload') return done
    this.#identity.sharedKey = sharedKey
    return this.next()
  }

  /** The request that a client with this identity would send now. */
  authentication(protocolVersion = 4, atSeconds?: number): ClientRequest & { type: 'authenticateV2' } {
    const nonce = random.bytes(12)
    const request = {
      protocolVersion,
      clientIdentity: this.#identity.publicKey,
      addressCiphertext: seal(this.#identity.sharedKey!, nonce, this.#identity.publicKey),
      nonce,
      requestUnixTimestamp: atSeconds ?? Math.floor(new RealClock().now() / 1000),
    }
    const requestSignature = this.#crypto.ed25519Sign(authenticationSignedBytes(request)!, this.#identity.seed)
    return { type: 'authenticateV2', ...request, requestSignature }
  }

  /** A sealed binary frame. */
  frame(kind: number, plaintext: Uint8Array): Uint8Array {
    const nonce = random.bytes(12)
    return concatBytes(Uint8Array.of(kind, 1), nonce, seal(this.#identity.sharedKey!, nonce, plaintext))
  }

  /** End the TCP connection at once, as a crashed client would. */
  async drop(): Promise<void> {
    this.websocket.terminate()
    await this.closed
  }
}
